"""`events`: what the journal holds, for people and for programs."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from anima.cli import root
from anima.cli.terminal import colour, one_line, width
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus
    from anima.wire.events import Event
    from anima.wire.frames import Query

_COLOURS = {
    "user_message": "cyan",
    "agent_message": "green",
    "system_message": "yellow",
    "process_parked": "red",
    "tool_call": "blue",
    "tool_response": "blue",
    "approval_asked": "yellow",
    "question_asked": "yellow",
}


def events(  # noqa: PLR0913, PLR0917 - a command line is one parameter per option
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    since: Annotated[
        int | None, typer.Option(help="All after this number instead of the newest.", min=0, show_default=False)
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", "-k", help="Only this kind; may be repeated.", show_default=False)
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only this agent's.", show_default=False)] = None,
    number: Annotated[
        int | None, typer.Option("-n", help="So many at most; 20 without --since.", min=0, show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Show the facts in the journal: messages, turns, lives.

    Example: animactl events -f --agent arya --json
    """
    home: Home = context.obj
    from anima.cli import live
    from anima.wire.frames import Query

    kinds = tuple(_check_kind(each) for each in kind or [])
    root.request(home, "status")
    if since is None:
        query = Query(agent=agent, kinds=kinds, newest=True, limit=20 if number is None else number)
    else:
        query = Query(since=since, agent=agent, kinds=kinds, limit=number or 0)

    async def show(bus: "Bus") -> None:
        async for event in _wanted(bus, query, nothing=number == 0, follow=follow):
            print(json_line(event) if as_json else human_line(event, width()), flush=follow)

    live.run(home, show)


async def _wanted(bus: "Bus", query: "Query", *, nothing: bool, follow: bool) -> AsyncIterator["Event"]:
    """The stored events of the query, page by page, then new ones as they come."""
    from dataclasses import replace

    from anima.wire.events import Event

    if follow and query.newest and nothing:
        head = (await bus.read(replace(query, limit=1))).head
    else:
        left = query.limit
        while True:
            page = await bus.read(query)
            for event in page.events:
                yield event
            head = page.head
            left -= len(page.events)
            if query.newest or not page.more or not page.events or (query.limit and left <= 0):
                break
            query = replace(query, since=page.events[-1].seq, limit=max(left, 0))
    if not follow:
        return
    async for item in bus.follow(agent=query.agent, since=head):
        if isinstance(item, Event) and (not query.kinds or item.kind in query.kinds):
            yield item


def json_line(event: "Event") -> str:
    """The whole event as one line of JSON."""
    return json.dumps(
        {
            "seq": event.seq,
            "ts": event.ts,
            "id": event.id,
            "kind": event.kind,
            "agent": event.agent,
            "session": event.session,
            "source": event.source,
            "cause": event.cause,
            "data": event.data,
        },
        ensure_ascii=False,
        default=lambda odd: odd.hex() if isinstance(odd, bytes) else repr(odd),
    )


def human_line(event: "Event", columns: int) -> str:
    """`seq time kind agent/session source: short text`, of at most `columns` on a terminal and whole elsewhere."""
    from anima.cli.telling import tell
    from anima.log.lines import stamp

    place = f"{event.agent}/{event.session}" if event.session else event.agent or "house"
    head = f"{event.seq:>6} {stamp(event.ts)} "
    tail = f"{place} {event.source}: {tell(event.kind, event.data)}"
    room = columns - len(head) - len(event.kind) - 1
    return head + colour(event.kind, _COLOURS.get(event.kind, "grey")) + " " + one_line(tail, max(room, 20))


def _check_kind(name: str) -> str:
    from anima.config.check import unknown
    from anima.wire.events import KINDS

    if name not in KINDS:
        raise Refused(f"'{name}' is an {unknown(name, sorted(KINDS), 'kind of event')}")
    return name
