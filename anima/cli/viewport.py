"""What an agent's model sees of a conversation: look at it, and pin what it shall always see."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.names import Name, Session
from anima.cli.table import Column, render
from anima.cli.terminal import NO_TERMINAL_COLUMNS, note, one_line, width
from anima.cli.words import check_session
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus

_SHOWN = (Column("ROLE"), Column("TOKENS", right=True), Column("TEXT", flexible=True))
_LEFT = (Column("TOKENS", right=True), Column("LEFT OUT", flexible=True), Column("WHY", leaves=1))


def viewport(
    context: typer.Context,
    name: Name,
    session: Session = "main",
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Also what was left out, and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Print what the model sees of a conversation.

    If nothing is asked at the moment: what it would see.

    Example: animactl viewport arya --explain
    """
    from anima.cli import live

    home: Home = context.obj
    check_session(session)
    if reason := live.stalled(name, root.agent_process(home, name)):
        raise Refused(reason)

    async def ask(bus: "Bus") -> dict[str, Any]:
        told: dict[str, Any] = await bus.ask(f"agent:{name}", "viewport", session=session)
        return told

    told = live.run(home, ask)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    print("\n".join(lines(told, width(), explain=explain)))
    note(summary(told))


def lines(told: dict[str, Any], columns: int, *, explain: bool) -> list[str]:
    """What is shown and, with `explain`, what is not, as tables for a terminal of that width."""
    rows = [[each["role"], str(each["tokens"]), one_line(each["text"], NO_TERMINAL_COLUMNS)] for each in told["shown"]]
    shown = render(_SHOWN, rows, columns)
    if not explain:
        return shown
    left = [[str(each["tokens"]), one_line(each["what"], NO_TERMINAL_COLUMNS), each["why"]] for each in told["left"]]
    older = ["What is older was not read from the journal: no window reaches it."] if told["older"] else []
    nothing = ["Nothing is left out."] if not left and not older else []
    return [*shown, "", *(render(_LEFT, left, columns) if left else []), *older, *nothing, "", *_estimate(told)]


def _estimate(told: dict[str, Any]) -> list[str]:
    estimate = told["estimate"]
    learned = f"from {estimate['replies']} replies" if estimate["replies"] else "before any reply"
    limit, start = told["limit_tokens"], told["start_tokens"]
    return [
        f"tokens are estimated, {learned}: usually off by {estimate['error']:.1%}",
        f"the window is laid anew when its conversation reaches {limit:,} tokens, then with {start:,} at most",
    ]


def summary(told: dict[str, Any]) -> str:
    """One line: how full the window is."""
    used = told["prompt_tokens"] + told["conversation_tokens"]
    return (
        f"{told['model']}: about {used:,} of {told['window_tokens']:,} tokens; {told['prompt_tokens']:,} for the prompt, "
        f"{told['conversation_tokens']:,} for {told['turns']} turns"
    )


def pin(
    context: typer.Context,
    name: Name,
    seq: Annotated[int, typer.Argument(help="The event's number, as `animactl events` shows it.", min=1)],
    *,
    off: Annotated[bool, typer.Option("--off", help="Show it no longer.")] = False,
) -> None:
    """Always show an event to the model, or no longer.

    However old it becomes, it stands before the conversation it belongs to.

    Example: animactl pin arya 1204
    """
    from anima.cli import live
    from anima.wire.events import EventPinned
    from anima.wire.frames import Query

    home: Home = context.obj
    root.agent_process(home, name)

    async def store(bus: "Bus") -> None:
        page = await bus.read(Query(agent=name, since=seq - 1, before=seq + 1), timeout_s=live.APPEND_TIMEOUT_S)
        if not page.events:
            raise Refused(f"{name} has no event {seq}; `animactl events --agent {name}` shows those there are")
        (found,) = page.events
        if not (text := found.data.get("text")) or not found.session:
            raise Refused(f"event {seq} ({found.kind}) says nothing in a conversation; pin a message, or what a tool returned")
        await live.append(bus, EventPinned(found.id, text, not off), name, found.session)

    live.run(home, store)
    print(f"event {seq} is {'no longer pinned' if off else 'pinned'}")
