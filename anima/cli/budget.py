"""`budget`, `freeze`, `thaw`: what agents spend on their models, and the switch that ends it."""

import fnmatch
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.names import Names, complete
from anima.cli.table import Column, render
from anima.cli.terminal import colour, note, width
from anima.errors import Refused, Unavailable
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus

PURSER_TIMEOUT_S = 5.0
OBEYS_TIMEOUT_S = 3.0  # an agent says at once that it is frozen, unless it hangs
_COLUMNS = (
    Column("AGENT"),
    Column("WHAT", flexible=True),
    Column("CALLS", right=True),
    Column("TOKENS", right=True),
    Column("US$", right=True),
    Column("SECONDS", right=True, leaves=1),
)
Reason = Annotated[str, typer.Option("--reason", help="Why, for those who look at the status.", show_default=False)]


def budget(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="The agent; all, if none is named.", show_default=False, autocompletion=complete)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False,
) -> None:
    """Show what agents spent on models, and what is left.

    Today and in the last turn. A reservation is what a call takes at most; it counts as spent until the call is over. Of
    calls whose price nobody knows only the number is shown: "0.0100+2?" is that much, and two calls that cost something.

    Example: animactl budget arya
    """
    home: Home = context.obj
    told = _ask_purser(home, _chosen(home, [name or "all"]))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    if not told:
        note("there is no agent yet; `animactl create NAME` makes one")
        return
    print("\n".join(lines(told, width())))


def lines(told: list[dict[str, Any]], columns: int) -> list[str]:
    """The table for a terminal of that width, and a line for each agent that is frozen."""
    rows = [row for each in told for row in _rows(each)]
    frozen = [f"{each['agent']} is {colour('frozen', 'blue')}: {each['frozen']}" for each in told if each["frozen"]]
    return [*render(_COLUMNS, rows, columns), *frozen]


def freeze(context: typer.Context, names: Names, reason: Reason = "") -> None:
    """Stop agents from asking their models, at once: the kill switch.

    What runs is broken off and put down, messages wait; all of it goes on after `thaw`. It outlasts restarts.

    Example: animactl freeze all --reason "I am on a plane"
    """
    home: Home = context.obj
    chosen = _chosen(home, names)
    from anima.cli import live
    from anima.wire.spending import AgentFrozen

    async def store(bus: "Bus") -> list[str]:
        for name in chosen:
            await live.append(bus, AgentFrozen(reason or "a person wants it so", "person"), name, "")
        return [name for name in chosen if not await _obeys(bus, name)]

    deaf = live.run(home, store)
    for name in chosen:
        later = "; its process does not say so: `animactl stop` ends it" if name in deaf else ""
        print(f"{name} is {colour('frozen', 'blue')}{later}")


def thaw(context: typer.Context, names: Names, reason: Reason = "") -> None:
    """Let frozen agents go on where they were put down.

    Example: animactl thaw arya
    """
    home: Home = context.obj
    chosen = _chosen(home, names)
    from anima.cli import live
    from anima.wire.spending import AgentThawed

    async def store(bus: "Bus") -> None:
        for name in chosen:
            await live.append(bus, AgentThawed(reason, "person"), name, "")

    live.run(home, store)
    states = {process["name"]: process for process in root.processes(home)}
    for name in chosen:
        stalled = live.stalled(name, states[f"agent:{name}"])
        print(f"{name} is {colour('thawed', 'green')}" + (f"; but {stalled}" if stalled else ""))


async def _obeys(bus: "Bus", name: str) -> bool:
    """Whether the agent says that it is frozen."""
    try:
        return bool((await bus.ask(f"agent:{name}", "frozen", OBEYS_TIMEOUT_S))["frozen"])
    except Unavailable:
        return False  # not running, or it hangs


def _chosen(home: Home, names: list[str]) -> list[str]:
    """The agents that are meant. Raises Refused for a name or pattern that fits none."""
    agents = [each["name"].removeprefix("agent:") for each in root.processes(home) if each["name"].startswith("agent:")]
    found: dict[str, None] = {}
    for name in names:
        fitting = [each for each in agents if name == "all" or fnmatch.fnmatchcase(each, name)]
        if not fitting and name != "all":
            raise Refused(f"there is no agent '{name}'; `animactl list` names those there are")
        found |= dict.fromkeys(fitting)
    return list(found)


def _ask_purser(home: Home, names: list[str]) -> list[dict[str, Any]]:
    from anima.cli import live

    async def ask(bus: "Bus") -> Any:
        return await bus.ask("purser", "budget", PURSER_TIMEOUT_S, agents=names)

    told: list[dict[str, Any]] = live.run(home, ask)
    return told


def _rows(told: dict[str, Any]) -> list[list[str]]:
    """What one agent spent, as rows of the table."""
    spans = (("today", told["today"]), ("last turn", told["turn"]))
    rows = [[told["agent"], "spent today", *_cells(told["today"]["spent"])]]
    rows += [["", f"reserved, {span}", *_cells(each["reserved"])] for span, each in spans if each["reserved"]["calls"]]
    rows += [["", f"  {part['cause']}, {part['model']}", *_cells(part)] for part in told["parts"]]
    rows.append(["", "spent in the last turn", *_cells(told["turn"]["spent"])])
    for span, word in (("day", "today"), ("turn", "in the last turn")):
        left = {each["setting"]: each["left"] for each in told["limits"] if each["setting"].startswith(span)}
        if left:
            amounts = {name: left.get(f"{span}_{name}") for name in ("calls", "tokens", "usd", "wall_s")}
            rows.append(["", f"left {word}", *_cells({**amounts, "unpriced": 0})])
    return rows


def _cells(amounts: dict[str, Any]) -> list[str]:
    forms = {"calls": "{:.0f}", "tokens": "{:.0f}", "usd": "{:.4f}", "wall_s": "{:.1f}"}
    cells = ["-" if amounts[name] is None else form.format(amounts[name]) for name, form in forms.items()]
    if amounts["unpriced"]:
        cells[2] += f"+{amounts['unpriced']}?"
    return cells
