"""The part of the journal a turn is about: its session, newest first, until the budget and the turn itself are covered."""

from anima.agent.inbox import Open
from anima.bus.bus import Bus
from anima.wire.events import Event
from anima.wire.frames import Query

PAGE_EVENTS = 200  # more are read while the budget lasts
TOKEN_BYTES = 4


async def read_history(bus: Bus, agent: str, message: Open, tokens_max: int) -> list[Event]:
    """The session's events, oldest first, as far back as `tokens_max` can reach, and at least to `message` itself.

    Takes as long as the journal is away. What the turn has done so far stands behind its message, so it is always whole.
    """
    events: list[Event] = []
    before, bytes_left = 0, tokens_max * TOKEN_BYTES
    while True:
        query = Query(agent=agent, session=message.session, newest=True, limit=PAGE_EVENTS, before=before)
        page = await bus.read(query, timeout_s=float("inf"))
        events[:0] = page.events
        bytes_left -= sum(len(each.data.get("text", "")) for each in page.events)
        if not page.more or not page.events:
            return events
        before = page.events[0].seq
        if before <= message.seq and (bytes_left <= 0 or any(each.kind == "session_cleared" for each in page.events)):
            return events
