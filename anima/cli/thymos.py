"""`thymos`: how an agent feels, in numbers for people, in words as the agent hears them, and why."""

import json
import sys
import textwrap
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from anima.cli.names import Name
from anima.cli.table import FLEXIBLE_COLUMNS_MIN, Column, duration, render
from anima.cli.terminal import colour, is_terminal, note, one_line, width
from anima.errors import Refused
from anima.paths import Home

app = typer.Typer(help="Show how an agent feels, and why.", no_args_is_help=True, epilog="Example: animactl thymos show arya")

WATCH_S = 1.0
CAUSES = 5
POINTS = 600
_BARS = 30  # of the last hour, where there is room: one for two minutes
_WIDE, _NARROW = 42, 21  # columns that stand beside them, with all of the table and with the least of it
_LEVELS = (
    Column("HORMONE"),
    Column("LEVEL", right=True),
    Column("RESTS AT", right=True, leaves=2),
    Column("HALF-LIFE", right=True, leaves=1),
    Column("LAST HOUR", flexible=True, leaves=3),
)
_MOVES = (
    Column("EVENT", right=True, leaves=2),
    Column("WHEN", right=True, leaves=1),
    Column("STIMULUS", flexible=True),
    Column("HORMONE"),
    Column("BY", right=True),
    Column("TO", right=True),
)
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")]


@app.command()
def show(
    context: typer.Context,
    name: Name,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every second, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show the levels now, where they rest, and what moved them last.

    Nothing ticks in an agent: a level is worked out from the journal when somebody asks.

    Example: animactl thymos show arya --watch
    """
    from anima.cli import feeling

    home: Home = context.obj
    while True:
        told = feeling.ask(home, "show", name)
        if as_json:
            print(json.dumps(told, ensure_ascii=False), flush=True)
        else:
            clear = "\x1b[H\x1b[2J" if watch and is_terminal(sys.stdout) else ""
            print(clear + "\n".join(shown(told, width())), flush=True)
        if not watch:
            return
        time.sleep(WATCH_S)


def shown(told: dict[str, Any], columns: int) -> list[str]:
    """Levels, the words that are heard, and the last causes, for a terminal of that width."""
    from anima.cli import feeling
    from anima.wire.feelings import LEVEL_MAX

    bars = min(_BARS, columns - _WIDE if columns - _WIDE >= FLEXIBLE_COLUMNS_MIN else max(8, columns - _NARROW))
    rows = [
        [
            hormone,
            f"{level:.1f}",
            f"{told['baselines'][hormone]:g}",
            duration(told["half_lives_s"][hormone]),
            feeling.sparkline(told["hour"][hormone], LEVEL_MAX, bars),
        ]
        for hormone, level in told["levels"].items()
    ]
    lines = render(_LEVELS, rows, columns)
    lines.append("")
    for each in filter(None, told["words"].split("\n")):
        lines += [colour(line, "cyan") for line in textwrap.wrap(f"heard: {each}", columns, subsequent_indent="  ")]
    if not told["words"]:
        lines.append("heard: nothing, it feels as usual")
    for cause in told["causes"][:CAUSES]:
        moved = f"{cause['hormone']} {cause['delta']:+.1f}"
        lines.append(one_line(f"moved: {moved}, {cause['stimulus']}, {feeling.ago(told['ts'], cause['ts'])}", columns))
    return lines


@app.command()
def feel(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Print the exact words the agent would hear now; nothing if it would hear none.

    Example: animactl thymos feel arya
    """
    from anima.cli import feeling

    told = feeling.ask(context.obj, "feel", name)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    words = "\n".join(text for _, _, text in told["inserts"])
    if words:
        print(words)
    else:
        note(f"{name} feels as usual, and hears nothing")


@app.command()
def why(
    context: typer.Context,
    name: Name,
    hormone: Annotated[str, typer.Argument(help="Only what moved this one.", show_default=False)] = "",
    number: Annotated[int, typer.Option("-n", help="So many of the newest.", min=1, max=1000)] = 20,
    as_json: Json = False,
) -> None:
    """Show which events moved the agent, and by how much, in order.

    Example: animactl thymos why arya frustration
    """
    from anima.cli import feeling
    from anima.config.check import unknown
    from anima.wire.feelings import HORMONES

    if hormone and hormone not in HORMONES:
        raise Refused(f"'{hormone}' is an {unknown(hormone, list(HORMONES), 'hormone')}")
    told = feeling.ask(context.obj, "why", name, hormone=hormone, limit=number)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    elif not told["moves"]:
        note(f"nothing has moved {name}{f' in {hormone}' if hormone else ''} yet")
    else:
        now = time.time()
        rows = [
            [
                str(move["seq"] or "-"),
                feeling.ago(now, move["ts"]),
                move["stimulus"] + (f" x{move['strength']:g}" if move["strength"] != 1 else ""),
                move["hormone"],
                f"{move['delta']:+.1f}",
                f"{move['level']:.1f}",
            ]
            for move in told["moves"]
        ]
        print("\n".join(render(_MOVES, rows, width())))


@app.command()
def nudge(
    context: typer.Context,
    name: Name,
    stimulus: Annotated[str, typer.Argument(help="What it shall feel, e.g. praise.", show_default=False)],
    strength: Annotated[float, typer.Option(help="1 is the usual; above 0, up to 10.")] = 1.0,
    reason: Annotated[str, typer.Option(help="Why; the journal keeps it.", show_default=False)] = "",
) -> None:
    """Let an agent feel something, as if it had happened.

    Example: animactl thymos nudge arya praise --strength 2
    """
    from anima.cli import live, root
    from anima.config.check import unknown
    from anima.wire.events import Stimulus
    from anima.wire.feelings import STIMULI, check_stimulus

    if stimulus not in STIMULI:
        raise Refused(f"'{stimulus}' is an {unknown(stimulus, list(STIMULI), 'stimulus')}")
    check_stimulus(stimulus, strength)
    home: Home = context.obj
    root.agent_process(home, name)
    stored = live.run(home, lambda bus: live.append(bus, Stimulus(stimulus, strength, reason or "by hand"), name, ""))
    print(f"{name} felt {stimulus} (event {stored.seq})")


@app.command()
def plot(
    context: typer.Context,
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="The SVG file to write.", readable=False, show_default=False)],
    since: Annotated[str, typer.Option(help="How far back: 90s, 30m, 24h, 7d, 2w.")] = "24h",
) -> None:
    """Draw the levels over time, with what moved them, as an SVG file.

    Example: animactl thymos plot arya --since 24h --out arya.svg
    """
    from anima.cli import feeling, svg

    begun = time.time() - feeling.span_s(since)
    told = feeling.ask(context.obj, "series", name, since=begun, points=POINTS)
    try:
        out.write_text(svg.curves(f"{name}, the last {since}", told["ts"], told["levels"], told["marks"]), "utf-8")
    except OSError as error:
        raise Refused(f"{out} cannot be written: {error.strerror}; choose another place") from None
    print(f"{out}: {since} of {name}, {len(told['marks'])} stimuli")
