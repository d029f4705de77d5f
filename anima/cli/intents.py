"""`intents`: every call, in every state; and a person's word about one that is in doubt."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli.names import complete
from anima.cli.table import Column, duration, render
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clean, colour, note, one_line, width
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus
    from anima.cli.hands import Row

app = typer.Typer(
    help="Show calls in every state, or say how one in doubt ended.",
    epilog="Example: animactl intents --state in-doubt",
    invoke_without_command=True,
)

STATES = ("waiting", "asked", "ready", "running", "done", "failed", "denied", "interrupted", "in-doubt", "resolved")
COLUMNS = (
    Column("ID"),
    Column("STATE"),
    Column("AGENT", leaves=3),
    Column("SESSION", leaves=1),
    Column("AGE", right=True, leaves=2),
    Column("CALL", flexible=True),
)
_COLOURS = {"done": "green", "failed": "red", "denied": "yellow", "in-doubt": "red", "waiting": "yellow", "asked": "yellow"}


def complete_state(incomplete: str) -> list[str]:
    """The states that begin so."""
    return [state for state in STATES if state.startswith(incomplete)]


@app.callback()
def intents(
    context: typer.Context,
    state: Annotated[
        str, typer.Option(help=f"Only those: {', '.join(STATES)}.", show_default=False, autocompletion=complete_state)
    ] = "",
    agent: Annotated[
        str, typer.Option("--agent", "-a", help="Only this agent's.", show_default=False, autocompletion=complete)
    ] = "",
    number: Annotated[int, typer.Option("-n", help="So many of the newest at most; 0: all that are told of.", min=0)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of a table.")] = False,
) -> None:
    """Show calls of tools in every state, newest last.

    All that are still open or in doubt, and the newest of the others; the journal has them all (`animactl events -k
    tool_call`). In doubt is a call that a crash cut off and that must not run twice: look what it did, then say so with
    `animactl intents resolve ID done|failed`.
    """
    if context.invoked_subcommand:
        return
    home: Home = context.obj
    if state and state not in STATES:
        from anima.config.check import unknown

        raise Refused(f"'{state}' is an {unknown(state, list(STATES), 'state')}")
    from anima.cli import hands

    rows = hands.ask(home, "intents", state=state, agent=agent)["intents"]
    rows = rows[-number:] if number else rows
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, default=repr))
    elif not rows:
        note("there is no such call" if state or agent else "no tool was called yet")
    else:
        print("\n".join(lines(rows, width(), time.time())))
        if any(row["state"] == "in-doubt" for row in rows):
            note("look what became of those in doubt, then `animactl intents resolve ID done|failed`")


@app.command()
def resolve(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The call, by the beginning of its id.", show_default=False)],  # noqa: A002
    outcome: Annotated[str, typer.Argument(help="done or failed.", show_default=False)],
    remark: Annotated[str, typer.Option("--note", help="What you found; the journal keeps it.", show_default=False)] = "",
) -> None:
    """Say how a call in doubt really ended, after having looked.

    Example: animactl intents resolve 0193a1b2 done --note "the mail is in the outbox"
    """
    home: Home = context.obj
    if outcome not in ("done", "failed"):
        raise Refused(f"'{outcome}' is no way for a call to end; say done or failed")
    from anima.cli import hands, live
    from anima.cli.words import check_size
    from anima.wire.events import IntentResolved

    check_size(len(remark.encode(errors="replace")))

    async def do(bus: "Bus") -> "Row":
        rows = (await hands.ask_on(bus, "intents", state="in-doubt"))["intents"]
        row = hands.pick(rows, id)
        if row is None:
            known = (await hands.ask_on(bus, "intents"))["intents"]
            raise hands.nothing_named(id, known, "`animactl intents --state in-doubt`")
        said = IntentResolved(row["id"], outcome, remark.encode(errors="replace").decode())
        await live.append(bus, said, row["agent"], row["session"])
        return row

    hands.check(home)
    row = live.run(home, do)
    print(f"{clean(row['tool'])} of {row['agent']} is resolved: {outcome}")


def lines(rows: list[dict[str, Any]], columns: int, now: float) -> list[str]:
    """The table for a terminal of that width."""
    from anima.cli import hands
    from anima.cli.readable import brief

    names = hands.shorten(row["id"] for row in rows)

    def paint(row: int, title: str, text: str) -> str:
        return colour(text, _COLOURS.get(rows[row]["state"], "grey")) if title == "STATE" else text

    cells = [
        [
            names[row["id"]],
            row["state"],
            row["agent"],
            one_line(row["session"], NO_TERMINAL_COLUMNS),
            duration(now - row["asked_at"]) if row["asked_at"] else "-",
            one_line(f"{row['tool']} {brief(row['args'], NO_TERMINAL_COLUMNS)}", NO_TERMINAL_COLUMNS),
        ]
        for row in rows
    ]
    return render(COLUMNS, cells, columns, paint)
