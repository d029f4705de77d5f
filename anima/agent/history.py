"""The conversations of an agent, kept in memory as far as they are shown, and read from the journal where they are not.

A session that was not looked at yet is read from its end, page by page, as far back as a window newly laid can reach, and
at least to the message at hand; from then on only what is new is read. What the turn at hand did stands behind its
message, so it is always whole.
"""

from collections import OrderedDict
from dataclasses import replace

from anima.agent.inbox import Open
from anima.agent.inserts import Insert, Place
from anima.agent.scroll import Scroll, Told
from anima.agent.senses import Occasion
from anima.agent.steps import Progress
from anima.agent.viewport import Layout, Shape, View, look
from anima.bus.bus import Bus
from anima.limits import sessions_parallel_max
from anima.nous.tokens import estimate
from anima.wire.events import Event
from anima.wire.frames import Query

PAGE_EVENTS = 200  # more are read while the budget lasts
PINNED_SHARE = 0.05  # of the room, at most
_EVER = ("event_pinned", "snapshot_stored")  # what counts however long ago it was
SESSIONS_MAX = sessions_parallel_max  # kept in memory; of more, the one looked at longest ago is read anew when needed


class History:
    """One session: what was said, and how its window lies."""

    def __init__(self) -> None:
        self.scroll = Scroll()
        self.layout: Layout | None = None
        self.share = 1.0  #: of the room there usually is; less once a model said that this was too much

    async def unroll(self, bus: Bus, agent: str, message: Open, tokens_max: int) -> None:
        """Read what is missing: `tokens_max` back if nothing is known yet, else what is new.

        Takes as long as the journal is away. Raises BadMessage for a malformed event.
        """
        if self.scroll.head:
            events = await _newer(bus, Query(agent=agent, session=message.session, since=self.scroll.head))
        else:
            events, self.scroll.older = await _back(bus, agent, message, tokens_max)
            self.scroll.apply(await _newer(bus, Query(agent=agent, session=message.session, kinds=_EVER)))
        self.scroll.apply(events)

    def look(self, message: Open, shape: Shape, *, anew: bool = False) -> View:
        """What the model is to see, and from now on so."""
        turns = self.scroll.before(message)
        view = look(turns, self.scroll.own(message), None if anew else self.layout, shape, self.scroll.covered)
        if view.layout != self.layout:
            self.layout = view.layout
            self.scroll.forget(view.layout.since)
        return view

    def inserts(self, shape: Shape) -> tuple[Insert, ...]:
        """What is pinned, oldest first; of more than its share of the room, the newest."""
        left = int(shape.room * PINNED_SHARE)
        shown: list[str] = []
        for text in reversed(self.scroll.pins.values()):
            left -= estimate(text)
            if left < 0:
                break
            shown.append(text)
        return tuple(Insert(Place.PINNED, "pinned", text) for text in reversed(shown))

    def occasion(self, message: Open, shape: Shape) -> Occasion:
        """What is told to whoever knows what the message brings to mind."""
        return Occasion(message.session, message.seq, message.text, self.peek(message, shape).layout.since, shape.room)

    def peek(self, message: Open, shape: Shape) -> View:
        """What the model would see; nothing is changed by looking."""
        own = self.scroll.find(message.turn) or Told(message.seq, message.text, Progress(message.turn))
        return look(self.scroll.before(message), own, self.layout, shape, self.scroll.covered)


class Histories:
    """The sessions of one agent, those looked at last."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, History] = OrderedDict()

    def of(self, session: str) -> History:
        """One session; an empty one if it was not looked at for long."""
        history = self._sessions.setdefault(session, History())
        self._sessions.move_to_end(session)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return history


async def _newer(bus: Bus, query: Query) -> list[Event]:
    """All that the query finds, oldest first."""
    events: list[Event] = []
    more = True
    while more:
        page = await bus.read(query, timeout_s=float("inf"))
        events += page.events
        more = page.more and bool(page.events)
        query = replace(query, since=page.events[-1].seq) if more else query
    return events


async def _back(bus: Bus, agent: str, message: Open, tokens_max: int) -> tuple[list[Event], bool]:
    """The session's events from its end, oldest first, and whether there are older ones."""
    pages: list[list[Event]] = []
    before, left = 0, tokens_max
    while True:
        query = Query(agent=agent, session=message.session, newest=True, limit=PAGE_EVENTS, before=before)
        page = await bus.read(query, timeout_s=float("inf"))
        pages.append(list(page.events))
        left -= sum(estimate(each.data.get("text", "")) for each in page.events)
        if not page.more or not page.events:
            break
        before = page.events[0].seq
        if before <= message.seq and (left <= 0 or any(each.kind == "session_cleared" for each in page.events)):
            break
    return [event for events in reversed(pages) for event in events], page.more
