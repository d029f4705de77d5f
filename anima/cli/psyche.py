"""`psyche`: the soul of an agent, a matrix of gains: what it is, how it grew, and a person's hand on it."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from anima.cli.names import Name, complete
from anima.cli.table import Column, render
from anima.cli.terminal import colour, note, one_line, width
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus
    from anima.wire.events import Event

app = typer.Typer(help="Show and shape what an agent's soul is made of.", no_args_is_help=True)

NEUTRAL = 1.0
PAGES_MAX = 100
TRACE_COLUMNS = 40
_ABBREVIATED = 5
Matrix = Mapping[str, Mapping[str, float]]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show the gains that are not neutral: how strongly each stimulus moves each hormone; 1 is usual.

    Example: animactl psyche show arya
    """
    from anima.cli import feeling

    told = feeling.ask(context.obj, "psyche", name)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    elif not told["gains"]:
        note(f"{name} has a neutral soul: all its gains are 1; `animactl psyche archetype {name} curious` makes it another")
    else:
        print("\n".join(matrix(told["gains"], width())))


@app.command()
def history(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Draw how the soul grew, and tell what moved it each time.

    Example: animactl psyche history arya
    """
    changes = _changes(context.obj, name)
    if as_json:
        print(json.dumps([{"seq": each.seq, "ts": each.ts, "source": each.source, **each.data} for each in changes]))
    elif not changes:
        note(f"the soul of {name} has never changed")
    else:
        print("\n".join(grown(changes, width(), time.time())))


@app.command()
def diff(
    context: typer.Context,
    name: Name,
    other: Annotated[
        str, typer.Argument(help="Another agent; without one: as a person last made it.", autocompletion=complete)
    ] = "",
    as_json: Json = False,
) -> None:
    """Show where two souls differ, or how far one has drifted from what it was made.

    Example: animactl psyche diff arya bran
    """
    from anima.cli import feeling

    home: Home = context.obj
    now = feeling.ask(home, "psyche", name)["gains"]
    if other:
        then = feeling.ask(home, "psyche", other)["gains"]
    else:
        then = next((each.data["gains"] for each in reversed(_changes(home, name)) if each.source != "thymos"), {})
    found = differences(then, now)
    if as_json:
        print(json.dumps([{"stimulus": a, "hormone": b, "then": c, "now": d} for a, b, c, d in found]))
    elif not found:
        note(f"{name} is as {other or 'it was made'}")
    else:
        titles = (other or "MADE", name)
        columns = (Column("STIMULUS", flexible=True), Column("HORMONE"), *(Column(each, right=True) for each in titles))
        rows = [[stimulus, hormone, f"{a:.2f}", f"{b:.2f}"] for stimulus, hormone, a, b in found]
        print("\n".join(render((*columns, Column("BY", right=True)), [[*row, _by(row)] for row in rows], width())))


@app.command("set")
def set_gain(
    context: typer.Context,
    name: Name,
    stimulus: Annotated[str, typer.Argument(help="What happens, e.g. praise.", show_default=False)],
    hormone: Annotated[str, typer.Argument(help="What it moves, e.g. dopamine.", show_default=False)],
    gain: Annotated[float, typer.Argument(help="How strongly; 0 not at all, 1 as usual, 3 at most.", show_default=False)],
) -> None:
    """Set one gain of a soul; it drifts back to what persons made it, not to what it was born with.

    Example: animactl psyche set arya praise dopamine 1.5
    """
    from anima.cli import feeling
    from anima.wire.feelings import read_gains, write_gains

    home: Home = context.obj
    gains = {key: dict(row) for key, row in feeling.ask(home, "psyche", name)["gains"].items()}
    gains.setdefault(stimulus, {})[hormone] = gain
    checked = write_gains(read_gains(gains))
    _make(home, name, checked, f"a person set {stimulus} x {hormone} to {gain:g}", "")
    print(f"{stimulus} moves {hormone} of {name} {gain:g} times as usual")


@app.command("archetype")
def make(
    context: typer.Context,
    name: Name,
    which: Annotated[
        str, typer.Argument(help="neutral, calm, curious, anxious, bold, warm, or seed:TEXT for one of a kind.")
    ] = "",
) -> None:
    """Make the soul one of the archetypes, or a random one that the same seed always gives; without one: list them.

    Example: animactl psyche archetype arya seed:winter
    """
    from anima.cli import feeling

    home: Home = context.obj
    if not which:
        feeling.ask(home, "psyche", name)
        print("\n".join(feeling.ask_thymos(home, "archetypes")["names"]))
        return
    gains = feeling.ask_thymos(home, "archetype", name=which)["gains"]
    _make(home, name, gains, f"a person made it {which}", which)
    print(f"{name} is {which} from now on")


def matrix(gains: Matrix, columns: int) -> list[str]:
    """Stimuli down, hormones across; on a narrow terminal one line a gain."""
    from anima.wire.feelings import HORMONES

    used = [hormone for hormone in HORMONES if any(hormone in row for row in gains.values())]
    table = (Column("STIMULUS"), *(Column(each[:_ABBREVIATED].upper(), right=True) for each in used))
    rows = [[stimulus, *(f"{row[each]:.2f}" if each in row else "·" for each in used)] for stimulus, row in gains.items()]
    lines = render(table, rows, columns)
    if max(map(len, lines)) <= columns:
        return lines
    return [f"{stimulus} {hormone} {gain:.2f}" for stimulus, row in gains.items() for hormone, gain in row.items()]


def differences(then: Matrix, now: Matrix) -> list[tuple[str, str, float, float]]:
    """(stimulus, hormone, then, now) where they differ visibly, the largest first."""
    found = [
        (stimulus, hormone, then.get(stimulus, {}).get(hormone, NEUTRAL), now.get(stimulus, {}).get(hormone, NEUTRAL))
        for stimulus in dict.fromkeys([*then, *now])
        for hormone in dict.fromkeys([*then.get(stimulus, {}), *now.get(stimulus, {})])
    ]
    return sorted((each for each in found if abs(each[2] - each[3]) >= 0.005), key=lambda each: -abs(each[3] - each[2]))  # noqa: PLR2004 - half of the last digit shown


def grown(changes: "list[Event]", columns: int, now: float) -> list[str]:
    """The gains that moved most as sparklines over their changes, then each change with its reason."""
    from anima.cli import feeling
    from anima.wire.feelings import GAIN_MAX

    matrices = [each.data["gains"] for each in changes]
    moved: dict[tuple[str, str], float] = {}
    for before, after in zip([{}, *matrices[:-1]], matrices, strict=True):
        for stimulus, hormone, then, here in differences(before, after):
            moved[stimulus, hormone] = moved.get((stimulus, hormone), 0.0) + abs(here - then)
    most = sorted(moved, key=lambda each: -moved[each])[:8]
    room = min(TRACE_COLUMNS, max(8, columns - 40))
    rows = []
    for stimulus, hormone in most:
        values = [NEUTRAL, *(each.get(stimulus, {}).get(hormone, NEUTRAL) for each in matrices)]
        rows.append([f"{stimulus} x {hormone}", feeling.sparkline(values, GAIN_MAX, room), f"{values[-1]:.2f}"])
    lines = render((Column("GAIN", flexible=True), Column("GROWTH", leaves=1), Column("NOW", right=True)), rows, columns)
    lines.append("")
    for each in changes[-20:]:
        grew = each.source == "thymos"
        line = one_line(f"{feeling.ago(now, each.ts)} {'grew' if grew else 'made'}: {each.data['reason']}", columns)
        lines.append(line if grew else colour(line, "cyan"))
    return lines


def _by(row: list[str]) -> str:
    return f"{float(row[3]) - float(row[2]):+.2f}"


def _make(home: Home, name: str, gains: Matrix, reason: str, archetype: str) -> None:
    from anima.cli import live, root
    from anima.wire.events import SoulChanged

    root.agent_process(home, name)
    body = SoulChanged({key: dict(row) for key, row in gains.items()}, reason, archetype)
    live.run(home, lambda bus: live.append(bus, body, name, ""))


def _changes(home: Home, name: str) -> "list[Event]":
    """All that changed the soul, oldest first."""
    from anima.cli import live, root
    from anima.wire.frames import Query

    root.agent_process(home, name)

    async def read(bus: "Bus") -> "list[Event]":
        found: list[Event] = []
        since, more = 0, True
        while more and len(found) < PAGES_MAX * 1_000:
            page = await bus.read(Query(agent=name, kinds=("soul_changed",), since=since))
            found += page.events
            more, since = page.more and bool(page.events), page.events[-1].seq if page.events else since
        return found

    changes = live.run(home, read)
    for each in changes:
        if not isinstance(each.data.get("gains"), dict):
            raise Refused(f"event {each.seq} makes no sense; look at `animactl events`")
    return changes
