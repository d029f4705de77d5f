"""The hands' days: remember every call without a response, then carry on each as far as it goes, as events come.

The sandbox is a consumer of the journal and of nothing else: an agent that dies, or that never comes back, changes
nothing about the calls it made.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any

from anima.bus.bus import Bus
from anima.errors import BadMessage
from anima.ids import derived_id
from anima.limits import call_grace_s, left_events_max, settle_calls, settle_events
from anima.sandbox.carry import SOURCE, Carry, Kit
from anima.sandbox.intents import KINDS, Intent, Intents
from anima.sandbox.memory import Memory
from anima.wire.events import Event, SandboxSettled, event
from anima.wire.frames import Query

TIDY_S = 60.0
_FOR_EVER = float("inf")
_log = logging.getLogger(__name__)


class Hands:
    """The one consumer of the whole journal that acts on calls."""

    def __init__(self, bus: Bus, memory: Memory, intents: Intents, status: Callable[[str], None]) -> None:
        self._bus = bus
        self._memory = memory
        self._intents = intents
        self._status = status
        self._kit: Kit | None = None
        self._carries: dict[str, tuple[Carry, asyncio.Task[None]]] = {}
        self._elsewhere: dict[str, int] = {}  # by agent that moved here, up to where its calls were carried out elsewhere
        self.seen = 0  #: the seq up to which every event of the journal was applied
        self._noted = (0, 0)  # seq and number of settled calls at the newest note
        self._stopped = False

    async def remember(self) -> None:
        """Subscribe, then read the journal from where everything was settled; waits for it as long as it takes."""
        await self._bus.subscribed()
        query = Query(agent="", kinds=("sandbox_settled",), newest=True, limit=1)
        newest = await self._bus.read(query, timeout_s=_FOR_EVER)
        since = 0
        for noted in newest.events:
            if isinstance(body := noted.body, SandboxSettled):
                since = min(body.settled_seq, noted.seq)  # and never beyond the event that says so
                await self._read_left(body.left)
        more = True
        while more:
            page = await self._bus.read(Query(since=since, kinds=KINDS), timeout_s=_FOR_EVER)
            for each in page.events:
                self._apply(each)
                since = each.seq
            more = page.more
        self.seen = max(since, page.head)
        self._noted = (self.seen, self._intents.settled)

    async def until(self, stop: asyncio.Event, kit: Kit) -> None:
        """Carry calls on until `stop`, then put down what runs."""
        self._kit = kit
        self._consider(self._intents.open())
        self._tell()
        tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._tidy()),
            asyncio.create_task(stop.wait()),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self._stopped = True
        for task in tasks:
            task.cancel()
        await self._put_down()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def stored(self, own: Event) -> None:
        """An event of our own was acknowledged; what follows from it need not wait until it comes back.

        `seen` stays: events of others may have been stored before it that have not come yet.
        """
        self._hear(own)

    # -- what comes ------------------------------------------------------------------------------------------------------

    async def _read_left(self, seqs: Iterable[int]) -> None:
        """What the note says is still open, however old: event by event."""
        for seq in seqs:
            page = await self._bus.read(Query(since=seq - 1, before=seq + 1), timeout_s=_FOR_EVER)
            for each in page.events:
                self._apply(each)

    async def _listen(self) -> None:
        async for heard in self._bus.follow(since=self.seen, strict=True):
            if isinstance(heard, Event):
                if heard.kind == "agent_adopted":
                    self._elsewhere[heard.agent] = heard.data["until"]
                elif heard.seq > self._elsewhere.get(heard.agent, 0):
                    self._hear(heard)
                self.seen = heard.seq
                if self._due():
                    await self._note()

    def _hear(self, heard: Event) -> None:
        changed = self._apply(heard)
        if self._kit is None or self._stopped:
            return
        for intent in changed:
            running = self._carries.get(intent.id)
            if running:
                running[0].dirty = True
                if intent.interrupted and intent.response is None:
                    running[0].interrupt()
            elif intent.response is None:
                self._consider([intent])
            if intent.response is not None:
                self._consider(self._intents.mates(intent))

    def _apply(self, each: Event) -> list[Intent]:
        try:
            self._memory.apply(each, self._intents)
            return self._intents.apply(each)
        except BadMessage as error:
            _log.warning("event %d is left out: %s", each.seq, error)
            return []

    # -- carrying on -------------------------------------------------------------------------------------------------------

    def _consider(self, intents: Iterable[Intent]) -> None:
        """Begin to carry on those whose turn it is."""
        assert self._kit is not None, "nothing is carried on before everything is remembered"
        pure = self._kit.catalogue.pure()
        for intent in intents:
            if self._stopped or intent.id in self._carries or intent.response is not None:
                continue
            if not intent.interrupted and not self._intents.may_begin(intent, pure):
                continue
            carry = Carry(self._kit, intent)
            task = asyncio.create_task(carry.take())
            self._carries[intent.id] = (carry, task)
            task.add_done_callback(functools.partial(self._carried, intent))

    def _carried(self, intent: Intent, task: asyncio.Task[None]) -> None:
        carry, _ = self._carries.pop(intent.id)
        if not task.cancelled() and (error := task.exception()):
            _log.error("call %s could not be carried on", intent.id, exc_info=error)
        elif carry.dirty:
            self._consider([intent])
        self._tell()

    async def _put_down(self) -> None:
        """Ask unsafe calls to end with their output so far, for nobody may run them again; drop the others, which may be."""
        assert self._kit is not None
        cards = self._kit.catalogue.cards
        for carry, _ in list(self._carries.values()):
            card = cards.get(carry.intent.call.tool)
            if carry.phase == "running" and card is not None and card.effect == "unsafe":
                self._kit.workshop.interrupt(carry.intent.id)
            else:
                carry.put_down()
        tasks = {task for _, task in self._carries.values()}
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=2 * call_grace_s)
        for carry, task in list(self._carries.values()):
            carry.put_down()
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=call_grace_s)
        if self._intents.settled > self._noted[1]:
            await self._note(timeout_s=call_grace_s)

    async def _tidy(self) -> None:
        assert self._kit is not None
        while True:
            await asyncio.sleep(TIDY_S)
            await self._kit.workshop.hosts.tidy()

    def _tell(self) -> None:
        running = sum(carry.phase == "running" for carry, _ in self._carries.values())
        doubts = len(self._intents.doubts())
        words = [f"{running} running"] if running else ["idle"]
        if doubts:
            words.append(f"{doubts} in doubt")
        self._status(", ".join(words))

    # -- notes for the next life -------------------------------------------------------------------------------------------

    def _due(self) -> bool:
        seq, settled = self._noted
        return self._intents.settled - settled >= settle_calls or self.seen - seq >= settle_events

    async def _note(self, **patience: Any) -> None:
        """Store where a new life may begin to read; not while too much is open to be named."""
        intents, kit = self._intents, self._kit
        assert kit is not None
        self._noted = (self.seen, intents.settled)
        left = intents.left()
        if len(left) > left_events_max:
            _log.warning("%d calls are open; a restart will take long until they are settled", len(intents.open()))
            return
        said = event(SandboxSettled(kit.boot, self.seen, left), agent="", source=SOURCE, id=derived_id(kit.boot, self.seen))
        await self._bus.append(said, **patience)
