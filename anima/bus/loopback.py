"""A journal and a bus within one process, with the same interface as the real ones: for tests and for tools.

Facts are kept in memory and decoded from their encoded form, so what could not cross a process boundary does not
pass here either. Not covered: durability, sources, credit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from anima.bus.bus import Answer, Page, Stored
from anima.clock import SYSTEM, Clock
from anima.errors import Refused, Unavailable
from anima.limits import page_events_max
from anima.wire.events import Event, decode_event
from anima.wire.frames import Query
from anima.wire.whispers import Whisper


class Loopback:
    """Everything that would be the journal process, and every server. One per test; all parties share it as their bus."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self.events: list[Event] = []
        self.whispers: list[Whisper] = []
        self.latency_s = 0.0  #: how long an append is on its way; it arrives also if nobody waits for it any more
        self.underway: list[Event] = []  #: sent, and not stored yet
        self._clock = clock
        self._known: dict[str, int] = {}
        self._servers: dict[str, dict[str, Answer]] = {}
        self._listeners: list[asyncio.Queue[Event | Whisper]] = []

    async def append(self, *events: Event, timeout_s: float | None = None) -> list[Stored]:  # noqa: ARG002 - never waits
        """Store after `latency_s`; see Bus.append. Raises BadMessage for a body that is not of its kind."""
        decoded = [decode_event(event.encode()) for event in events]
        for event in decoded:
            assert event.body is not None
        if not self.latency_s:
            return [self._store(event) for event in decoded]
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[list[Stored]] = loop.create_future()
        self.underway.extend(decoded)

        def arrive() -> None:
            self.underway = [each for each in self.underway if each not in decoded]
            places = [self._store(event) for event in decoded]
            if not stored.done():
                stored.set_result(places)

        loop.call_later(self.latency_s, arrive)
        return await stored

    def recall(self, events: Iterable[Event]) -> None:
        """Begin with what another journal holds, its numbers and times included; ascending, before anything is stored."""
        self.events.extend(events)
        self._known.update((event.id, event.seq) for event in self.events)

    def _head(self) -> int:
        return self.events[-1].seq if self.events else 0

    def _store(self, event: Event) -> Stored:
        if event.id in self._known:
            return Stored(self._known[event.id], new=False)
        seq = self._head() + 1
        stored = decode_event(event.encode(), seq, self._clock.now())
        self.events.append(stored)
        self._known[event.id] = seq
        for queue in self._listeners:
            queue.put_nowait(stored)
        return Stored(seq, new=True)

    async def read(self, query: Query, timeout_s: float | None = None) -> Page:  # noqa: ARG002 - never waits
        """Stored events; see Bus.read."""
        found = [event for event in self.events if _matches(event, query)]
        limit = min(query.limit or page_events_max, page_events_max)
        chosen = found[-limit:] if query.newest else found[:limit]
        return Page(chosen, self._head(), len(found) > len(chosen))

    async def follow(
        self,
        *,
        agent: str | None = None,
        since: int | None = None,
        whispers: bool = False,
        strict: bool = False,  # noqa: ARG002 - nothing is ever lost here
    ) -> AsyncIterator[Event | Whisper]:
        """Every event after `since`; see Bus.follow."""
        queue: asyncio.Queue[Event | Whisper] = asyncio.Queue()
        after = self._head() if since is None else since
        for event in self.events:
            if event.seq > after:
                queue.put_nowait(event)
        self._listeners.append(queue)
        try:
            while True:
                item = await queue.get()
                if agent in (None, item.agent) and (whispers or isinstance(item, Event)):
                    yield item
        finally:
            self._listeners.remove(queue)

    async def subscribed(self) -> None:
        """Be told at once, as always here."""

    async def ask(self, server: str, verb: str, timeout_s: float | None = None, /, **arguments: Any) -> Any:  # noqa: ARG002
        """One question; see Bus.ask."""
        if server not in self._servers:
            raise Unavailable(f"{server} is not there")
        if verb not in self._servers[server]:
            raise Refused(f"there is no question '{verb}' here")
        return await self._servers[server][verb](arguments)

    async def serve(self, server: str, verbs: dict[str, Answer]) -> None:
        """Answer questions; see Bus.serve."""
        self._servers[server] = verbs

    def whisper(self, whisper: Whisper) -> None:
        """Keep it for the test to look at, and pass it on."""
        self.whispers.append(whisper)
        for queue in self._listeners:
            queue.put_nowait(whisper)

    async def close(self) -> None:
        """Nothing to let go of."""


def _matches(event: Event, query: Query) -> bool:
    return (
        event.seq > query.since
        and (not query.before or event.seq < query.before)
        and query.agent in (None, event.agent)
        and query.session in (None, event.session)
        and (not query.kinds or event.kind in query.kinds)
    )
