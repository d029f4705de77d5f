"""The journal, followed into the store: what happened is remembered within moments, once, wherever this process dies.

What a batch of events comes to is stored in one transaction with the seq of its last event. So a death between two batches
costs reading one of them again, and nothing is there twice: a memory has the id of its event.
"""

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from anima.bus.bus import Bus
from anima.errors import BadMessage, Unavailable
from anima.mneme.folding import Batch, Wish
from anima.mneme.memory import Lens, Memory
from anima.mneme.moods import Moods
from anima.mneme.store import Store
from anima.wire.events import Event
from anima.wire.frames import Query

BATCH_ROWS = 250  # memories put into the store at once: more would make a search wait for it
IDLE_COMMIT_EVENTS = 2_000  # of events that are no memories, before the cursor is written for them alone
_NOW_S = 30.0  # what happened so long ago at most happens now: its mood can be asked for

_log = logging.getLogger(__name__)

Grant = Callable[[Wish], Awaitable[None]]  #: has what an answer wished to remember looked at and stored


class Scribe:
    """The one consumer of the journal here, and the only one who writes into the store what happened."""

    def __init__(self, bus: Bus, store: Store, moods: Moods, secrets: frozenset[str] = frozenset()) -> None:
        self._bus = bus
        self._store = store
        self._moods = moods
        self.secret_values = secrets  #: of the house, which are secret whatever they look like
        self._kept = self.cursor = store.cursor()  # as written, and as read
        self._moved = asyncio.Event()
        self.grown = asyncio.Event()  #: set when there is something new for which there are no vectors yet
        self.secrets = 0  #: secrets that were met and not kept, in this life
        self.grant: Grant | None = None

    # -- what is asked of the store while events are folded --------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> list[Memory]:
        """See folding.Shelf."""
        return self._store.get(list(ids))

    def snapshots(self, agent: str, session: str) -> list[Memory]:
        """See folding.Shelf."""
        return snapshots(self._store, agent, session)

    # -- following -------------------------------------------------------------------------------------------------------

    async def remember(self) -> None:
        """Read what happened while nobody listened; waits for the journal as long as it takes."""
        more = True
        while more:
            page = await self._bus.read(Query(since=self.cursor), timeout_s=math.inf)
            if page.head < self.cursor:
                self.rewind()
                continue
            for portion in portions(page.events):
                await self.take(portion)
                await asyncio.sleep(0)  # questions are answered meanwhile
            more = page.more
        self._reach(max(self.cursor, page.head))

    async def live(self) -> None:
        """Remember what happens, without end. Raises Unavailable if the journal has lost what was read: it is read anew."""
        heard: asyncio.Queue[Event] = asyncio.Queue(maxsize=BATCH_ROWS)
        listening = asyncio.create_task(self._listen(heard))
        try:
            while True:
                getting = asyncio.create_task(heard.get())
                await asyncio.wait({getting, listening}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    self._ended(listening)
                    return
                events = [getting.result()]
                while not heard.empty():
                    events.append(heard.get_nowait())
                for portion in portions(events):
                    await self.take(portion)
                    await asyncio.sleep(0)
        finally:
            listening.cancel()

    def _ended(self, listening: "asyncio.Task[None]") -> None:
        """Raise what ended the listening. If the journal has lost what was read, all is to be read again."""
        try:
            listening.result()
        except Unavailable:
            self.rewind()
            raise

    async def _listen(self, heard: "asyncio.Queue[Event]") -> None:
        async for event in self._bus.follow(since=self.cursor, strict=True):
            if isinstance(event, Event):
                await heard.put(event)

    async def take(self, events: Sequence[Event]) -> None:
        """Store what these events come to, and that they were read. Raises DiskBroken, or Unavailable if the disk is full."""
        batch = Batch(self, self.secret_values)
        for event in events:
            try:
                batch.take(event)
            except BadMessage as error:
                _log.warning("event %d is left out: %s", event.seq, error)
        for wish in batch.wishes:
            if self.grant:
                await self.grant(wish)  # before the cursor passes the answer that wished it
        seq = events[-1].seq if events else self.cursor
        if batch or seq - self._kept >= IDLE_COMMIT_EVENTS:
            put = await self._in_mood(list(batch.put.values()))
            self._store.apply(put=put, change=batch.change, touched=batch.touched, cursor=seq)
            self._kept = seq
            self.secrets += sum(len(each.data.get("secrets", ())) for each in put)
            if put or any("text" in changes for changes in batch.change.values()):
                self.grown.set()
        self._reach(seq)

    async def _in_mood(self, put: list[Memory]) -> list[Memory]:
        """The memories with the mood they were made in, where that is now."""
        now = time.time()
        young = {each.agent for each in put if each.kind in ("episode", "fact") and each.seq and abs(now - each.ts) < _NOW_S}
        moods = {agent: await self._moods.of(agent) for agent in young}
        return [
            dataclasses.replace(each, mood=moods[each.agent])
            if moods.get(each.agent) and each.seq and not each.mood and abs(now - each.ts) < _NOW_S
            else each
            for each in put
        ]

    def rewind(self) -> None:
        """The journal is not what it was: read it again from the beginning. What is known stays known by its id."""
        self._store.apply(cursor=0)
        self.cursor = self._kept = 0

    # -- being waited for ------------------------------------------------------------------------------------------------

    def _reach(self, seq: int) -> None:
        self.cursor = seq
        self._moved.set()
        self._moved = asyncio.Event()

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until everything up to `seq` is remembered; whether it is, after so long at most."""
        deadline = time.monotonic() + timeout_s
        while self.cursor < seq:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            moved = self._moved
            try:
                async with asyncio.timeout(left_s):
                    await moved.wait()
            except TimeoutError:
                return self.cursor >= seq
        return True


def portions(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events in pieces that become BATCH_ROWS memories each, at most, unless one event alone is more."""
    portion: list[Event] = []
    rows = 0
    for event in events:
        weight = len(event.data.get("rows", ())) if event.kind == "memories_imported" else 1
        if portion and rows + weight > BATCH_ROWS:
            yield portion
            portion, rows = [], 0
        portion.append(event)
        rows += weight
    if portion:
        yield portion


def snapshots(store: Store, agent: str, session: str) -> list[Memory]:
    """The snapshots of a session that are shown, oldest first."""
    found = store.page(agent, Lens(session, only_session=True, kinds=("snapshot1", "snapshot2")), limit=_SNAPSHOTS_MAX)
    return [each for each in found if each.state == "live"]


_SNAPSHOTS_MAX = 10_000
