"""All agents of a house, feeling: takes the journal's events, keeps a diary, tells how souls change, answers questions."""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from anima.bus.bus import Bus, Page
from anima.errors import BadMessage, Unavailable
from anima.ids import derived_id
from anima.thymos.being import Being, Nature, Souls, newborn, unpack_being
from anima.thymos.diary import Diary
from anima.thymos.heart import READS, Move
from anima.thymos.natures import usual
from anima.thymos.subscribers import Subscribers
from anima.wire.events import Event, SoulChanged, event
from anima.wire.feelings import write_gains
from anima.wire.frames import Query

TOLD_AT_ONCE = 64  # souls have a few thousand bytes; so many fit one append
COMMIT_S = 1.0  # what was felt is written down once so often: a death costs folding it again, and nothing else

_UNFINISHED = ""  # the nature of an agent that is being folded anew
_log = logging.getLogger(__name__)


class Hearts:
    """`natures` are those of the agents whose settings can be read; `souls` makes what learns."""

    def __init__(
        self,
        bus: Bus,
        diary: Diary,
        natures: Mapping[str, Nature],
        souls: Souls,
        packages: Subscribers | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._bus = bus
        self._diary = diary
        self._natures = natures
        self._souls = souls
        self._packages = packages or Subscribers({})
        self._say = say
        self._beings: dict[str, Being] = {}
        self._moves: dict[str, list[tuple[int, Move]]] = defaultdict(list)  # since the last commit, numbered
        self._told: list[Event] = []  # to be appended after the next commit
        self._heard: list[str] = []
        self._unfinished: set[str] = set()  # agents that are folded anew; a death meanwhile begins again with them
        self._elsewhere: dict[str, int] = {}  # by agent that moved here, up to where it lived elsewhere: what it felt is told
        self._seen, self._told_seq = diary.cursor()
        self._leaps = 0  #: of the journal's clock, backwards
        self._last_ts = 0.0

    async def remember(self) -> None:
        """Read the diary, then what happened while nobody felt it; waits for the journal as long as it takes.

        Who was folded with other settings than today's is folded again from the beginning.
        """
        for each in (await self._bus.read(Query(kinds=("agent_adopted",)), timeout_s=math.inf)).events:
            self._elsewhere[each.agent] = each.data["until"]
        stale: list[str] = []
        for name, digest, packed in self._diary.beings():
            try:
                if digest == self.nature(name).digest:
                    self._beings[name] = unpack_being(packed, self._souls)
                    continue
            except BadMessage as error:
                _log.warning("%s is felt anew: %s", name, error)
            stale.append(name)
        for name in stale:
            await self._anew(name)
        await self._read(Query(since=self._seen, kinds=READS))
        self.commit()
        await self._tell(self._diary.outbox())

    async def _anew(self, name: str) -> None:
        """Fold one agent from its first event up to where everybody else is."""
        fresh = self._beings[name] = newborn(self.nature(name), self._souls)
        self._unfinished.add(name)
        self._diary.write((self._seen, self._told_seq), [(name, _UNFINISHED, fresh.pack())], forget=[name])
        await self._read(Query(agent=name, kinds=READS), until=self._seen)
        self._unfinished.remove(name)
        fresh.dirty = True
        self.commit()

    async def live(self) -> None:
        """Feel what happens, without end. Raises Unavailable if the journal has lost what was felt; then all is felt anew."""
        try:
            async for heard in self._bus.follow(since=self._seen, strict=True):
                if isinstance(heard, Event):
                    await self._hear(heard)
        except Unavailable:
            self._rewind()
            raise
        finally:
            if self._seen:
                self.commit()

    async def _hear(self, heard: Event) -> None:
        """Ask the packages what they find in it, then fold it; nothing is written down between folding and moving on."""
        fresh = heard.seq > max(self._told_seq, self._elsewhere.get(heard.agent, 0))
        ask = self._packages and fresh and heard.agent and heard.kind in READS
        found = await self._packages.felt(heard) if ask else []
        self.take(heard)
        self._told += found
        self._seen = max(self._seen, heard.seq)

    def take(self, heard: Event) -> None:
        """Fold one event; a malformed one is named in the log and left out."""
        if heard.kind == "agent_adopted":
            self._elsewhere[heard.agent] = heard.data["until"]
        if not heard.agent or heard.kind not in READS:
            return
        if heard.ts < self._last_ts and heard.seq > self._elsewhere.get(heard.agent, 0):
            self._leaps += 1
        self._last_ts = max(self._last_ts, heard.ts)
        nature = self.nature(heard.agent)
        being = self._beings.get(heard.agent)
        if being is None:
            being = self._beings[heard.agent] = newborn(nature, self._souls)
        try:
            moves = being.take(heard, nature)
        except BadMessage as error:
            _log.warning("event %d is left out: %s", heard.seq, error)
            return
        if moves:
            first = being.moves - len(moves)
            self._moves[heard.agent].extend(enumerate(moves, first))
        if heard.source == "thymos":
            self._heard.append(heard.id)
        if (news := being.soul.news()) and heard.seq > self._told_seq:
            gains, reason = news
            body = SoulChanged(write_gains(gains), reason, basis=heard.seq)
            self._told.append(
                event(body, agent=heard.agent, source="thymos", cause=heard.id, id=derived_id(heard.id, "soul_changed"))
            )

    def commit(self) -> None:
        """Write down what was felt since the last time. Raises DiskBroken or Unavailable."""
        dirty = {name: each for name, each in self._beings.items() if each.dirty}
        self._told_seq = max(self._told_seq, self._seen)
        self._diary.write(
            (self._seen, self._told_seq),
            [(name, self._digest(name), each.pack()) for name, each in dirty.items()],
            self._moves,
            self._told,
            self._heard,
        )
        for each in dirty.values():
            each.dirty = False
        self._moves.clear()
        self._told.clear()
        self._heard.clear()

    def _digest(self, name: str) -> str:
        return _UNFINISHED if name in self._unfinished else self.nature(name).digest

    def nature(self, name: str) -> Nature:
        """How an agent feels by its settings."""
        return self._natures.get(name) or usual()

    def being(self, name: str) -> Being:
        """An agent, newborn if nothing has happened to it yet."""
        return self._beings.get(name) or newborn(self.nature(name), self._souls)

    @property
    def status(self) -> str:
        """What there is to say of all this, in a few words."""
        return f"idle; the journal's clock went back {self._leaps} times" if self._leaps else "idle"

    def unwritten(self, name: str) -> list[Move]:
        """What moved an agent since the last commit."""
        return [move for _, move in self._moves.get(name, ())]

    async def _read(self, query: Query, until: int = 0) -> None:
        """Fold all that the query finds; up to `until`, if given, for one agent that is felt anew."""
        async with aclosing(self._pages(query)) as pages:
            async for page in pages:
                if not until and page.head < self._seen:
                    self._rewind()
                    break
                for each in page.events:
                    if until and each.seq > until:
                        return
                    await self._hear(each)
                if not until and not page.more:
                    self._seen = max(self._seen, page.head)
                self.commit()
            else:
                return
        await self._read(Query(kinds=query.kinds))

    async def _pages(self, query: Query) -> AsyncGenerator[Page, None]:
        """What the query finds, page by page; the next one is on its way while one is folded."""
        coming = asyncio.ensure_future(self._bus.read(query, timeout_s=math.inf))
        try:
            more = True
            while more:
                page = await coming
                if more := page.more and bool(page.events):
                    rest = Query(since=page.events[-1].seq, agent=query.agent, kinds=query.kinds)
                    coming = asyncio.ensure_future(self._bus.read(rest, timeout_s=math.inf))
                    await asyncio.sleep(0)  # so that the question leaves before the folding begins
                yield page
        finally:
            coming.cancel()

    def _rewind(self) -> None:
        """The journal is not what it was: begin anew, and tell what was not told."""
        _log.warning("the journal has lost what was felt already; everything is felt anew")
        self._diary.write((0, 0), forget=list(self._beings))
        for kept in (self._beings, self._moves, self._told, self._heard):
            kept.clear()
        self._seen = self._told_seq = 0

    async def write(self) -> None:
        """Write down what is felt and tell how souls change, without end. Raises DiskBroken or Unavailable."""
        while True:
            await asyncio.sleep(COMMIT_S)
            if any(each.dirty for each in self._beings.values()):
                told = list(self._told)
                self.commit()
                self._say(self.status)
                await self._tell(told)

    async def _tell(self, events: list[Event]) -> None:
        """Append what souls became; it is in the outbox until it comes back."""
        for place in range(0, len(events), TOLD_AT_ONCE):
            await self._bus.append(*events[place : place + TOLD_AT_ONCE])
