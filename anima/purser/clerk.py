"""Who reads what all agents spend, outside of them, and freezes the one that spends more than it may.

An agent keeps to its budget by itself (agent/purse.py). This is for the day on which it does not.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from anima.bus.bus import Bus
from anima.errors import AnimaError, BadMessage, Unavailable
from anima.ids import derived_id
from anima.purser.account import Sum, day_of
from anima.purser.book import READS, Book
from anima.purser.limits import Limit, standing
from anima.purser.wards import Ward
from anima.wire.events import Event, Stimulus, event
from anima.wire.frames import Query
from anima.wire.spending import AgentFrozen

OBEYS_S = 5.0  #: so long a frozen agent has to say that it is; then its process is stopped
COMMIT_S = 1.0  # what was read is written down once so often: a death costs reading it again, and nothing else
LOW = 0.8  # of a day's budget is spent: the agent feels it
_DAYS = "5b0c6f0e-0b5e-4f1c-9a39-6f6f0a9b7d11"  # ids of what is felt once a day derive from it
SLACK = 1.1  # an estimate may be off by that much without anybody's fault; calls are counted, not estimated

_log = logging.getLogger(__name__)


Stop = Callable[[str], Awaitable[None]]  #: has the root end an agent's process, by the agent's name


class Clerk:
    """Reads, sums, freezes. `wards` are the agents that differ from `house`, by name."""

    def __init__(self, bus: Bus, book: Book, wards: Mapping[str, Ward], house: Ward, stop: Stop) -> None:
        self._bus = bus
        self._book = book
        self._wards = wards
        self._house = house
        self._stop = stop
        self._seen = book.cursor
        self._freezing: dict[str, asyncio.Task[None]] = {}
        self._elsewhere: dict[str, int] = {}  # by agent that moved here, up to where it spent elsewhere: booked, not judged
        self._warned: set[tuple[str, str, str]] = set()  # agent, day and limit of which it was told that little is left

    async def remember(self) -> None:
        """Read what happened while nobody did; who overspent meanwhile is frozen now. Waits for the journal."""
        for moved in (await self._bus.read(Query(kinds=("agent_adopted",)), timeout_s=math.inf)).events:
            self._elsewhere[moved.agent] = moved.data["until"]
        spenders: dict[str, Event] = {}
        more = True
        while more:
            page = await self._bus.read(Query(since=self._seen, kinds=READS), timeout_s=math.inf)
            if page.head < self._seen:
                self._book.rewind()
                self._seen = 0
                continue
            for each in page.events:
                if self._take(each) and each.seq > self._elsewhere.get(each.agent, 0):
                    spenders[each.agent] = each
                elif each.kind in ("agent_frozen", "agent_thawed"):
                    spenders.pop(each.agent, None)
                self._seen = each.seq
            self._book.commit()
            more = page.more
        self._seen = max(self._seen, page.head)
        for each in spenders.values():
            self._judge(each)

    async def live(self) -> None:
        """Read what happens, without end. Raises Unavailable if the journal has lost what was read; then all is read anew."""
        committing = asyncio.create_task(self._commit())
        try:
            async for heard in self._bus.follow(since=self._seen, strict=True):
                if not isinstance(heard, Event):
                    continue
                if heard.kind == "agent_adopted":
                    self._elsewhere[heard.agent] = heard.data["until"]
                elif self._take(heard) and heard.seq > self._elsewhere.get(heard.agent, 0):
                    self._judge(heard)
        except Unavailable:
            self._book.rewind()
            raise
        finally:
            committing.cancel()
            for task in self._freezing.values():
                task.cancel()
            self._book.commit()

    async def budget(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Answer `animactl budget`: how each of the named agents stands. Raises BadMessage if there are no names."""
        names = asked.get("agents")
        if not isinstance(names, list):
            raise BadMessage('"agents" is a list of names')
        return [self._standing(str(name)) for name in names]

    def _standing(self, name: str) -> dict[str, Any]:
        ward, frozen = self._ward(name), self._book.frozen(name)
        today, turn = day_of(time.time(), ward.zone), self._book.last_turn(name)
        day, of_turn = self._book.on(name, today), self._book.of(name, turn)
        limits = standing(ward.budget, day, of_turn)
        return {
            "agent": name,
            "day": today,
            "frozen": frozen.reason if frozen else "",
            "today": _amounts(day, self._book.on(name, today, settled_only=True)),
            "turn": {"id": turn, **_amounts(of_turn, self._book.of(name, turn, settled_only=True))},
            "limits": [{"setting": each.setting, "at_most": each.at_most, "left": each.left} for each in limits],
            "parts": self._book.parts(name, today),
        }

    def _take(self, heard: Event) -> bool:
        """Put an event into the book; returns whether it is about something spent."""
        if heard.kind not in READS:
            return False
        try:
            self._book.apply(heard)
        except BadMessage as error:
            _log.warning("event %d is left out: %s", heard.seq, error)
            return False
        return heard.kind in ("budget_reserved", "model_called")

    def _judge(self, spent: Event) -> None:
        """Freeze the agent if this was too much; have its process stopped if it is frozen and spends all the same."""
        name = spent.agent
        if frozen := self._book.frozen(name):
            if spent.kind == "budget_reserved" and spent.ts > frozen.ts + OBEYS_S:
                self._begin(name, self._end(name, "it is frozen and asks its model all the same"))
        elif low := self._low(spent):
            self._begin(name, self._warn(name, spent, low))
        elif over := self._over(spent):
            reason = f"it spent more than it may: {over.sentence()}"
            self._begin(name, self._freeze(name, reason, derived_id(spent.id, "frozen")))

    def _low(self, spent: Event) -> Limit | None:
        """A limit of the day of which little is left, if none is passed and its agent does not know yet."""
        if self._over(spent):
            return None
        ward = self._ward(spent.agent)
        today = day_of(spent.ts, ward.zone)
        for limit in standing(ward.budget, self._book.on(spent.agent, today, settled_only=True), Sum()):
            key = (spent.agent, today, limit.setting)
            if limit.at_most and limit.spent >= LOW * limit.at_most and key not in self._warned:
                self._warned.add(key)
                return limit
        return None

    async def _warn(self, name: str, spent: Event, low: Limit) -> None:
        """Let the agent feel that its budget runs low; once a day and limit, also over deaths of this process."""
        body = Stimulus("budget_low", 1.0, low.sentence())
        day = day_of(spent.ts, self._ward(name).zone)
        felt = derived_id(_DAYS, name, day, low.setting)
        await self._bus.append(event(body, agent=name, source="purser", cause=spent.id, id=felt))

    def _over(self, spent: Event) -> Limit | None:
        ward = self._ward(spent.agent)
        day = self._book.on(spent.agent, day_of(spent.ts, ward.zone))
        turn = self._book.of(spent.agent, str(spent.data.get("turn", "")))
        for limit in standing(ward.budget, day, turn):
            if limit.spent > limit.at_most * (1.0 if limit.amount == "calls" else SLACK):
                return limit
        return None

    def _begin(self, name: str, doing: Any) -> None:
        running = self._freezing.get(name)
        if running and not running.done():
            doing.close()
            return
        self._freezing[name] = asyncio.create_task(doing)

    async def _freeze(self, name: str, reason: str, id_: str) -> None:
        _log.warning("%s is frozen: %s", name, reason)
        await self._bus.append(event(AgentFrozen(reason, "purser"), agent=name, source="purser", id=id_))
        for _ in range(int(OBEYS_S)):
            try:
                answer = await self._bus.ask(f"agent:{name}", "frozen", 1.0)
            except AnimaError:
                answer = {}  # it is away, or hangs
            if answer.get("frozen"):
                return
            await asyncio.sleep(1.0)
        await self._end(name, "it was frozen and does not say that it obeys")

    async def _end(self, name: str, why: str) -> None:
        _log.error("%s is stopped: %s", name, why)
        try:
            await self._stop(name)
        except AnimaError as error:
            _log.error("%s cannot be stopped: %s", name, error)

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            self._book.commit()

    def _ward(self, name: str) -> Ward:
        return self._wards.get(name, self._house)


def _amounts(whole: Any, done: Any) -> dict[str, Any]:
    """Spent and still reserved of each amount."""
    names = ("calls", "tokens", "usd", "wall_s", "unpriced")
    return {
        "spent": {name: getattr(done, name) for name in names},
        "reserved": {name: getattr(whole, name) - getattr(done, name) for name in names},
    }
