"""The agent's side of its budget: nothing is sent to a model that was not reserved before, whoever in here sends it.

    model.stream(request) -> budget_reserved, durable -> the provider -> model_called(reservation)

`Metered` stands around the model itself, so that no call can pass by. For whom it is made says the errand of the task.
"""

import asyncio
import dataclasses
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TypeVar

from anima.agent.folder import Folder
from anima.agent.inbox import Open
from anima.bus.bus import Bus
from anima.config.schema import Budget
from anima.errors import ConfigError, Refused, Spent
from anima.ids import derived_id
from anima.nous.model import Delta, Done, Model, Request
from anima.nous.prices import Price
from anima.nous.tokens import Estimator, estimate_request, estimator
from anima.purser.account import KINDS, Account, Sum, cause_of, day_of, zone_of
from anima.purser.limits import refused, time_left_s
from anima.wire.events import Body, ChoreCalled, Event, ModelCalled, Reflected, event
from anima.wire.frames import Query
from anima.wire.spending import UNKNOWN_USD, BudgetReleased, BudgetReserved

PriceOf = Callable[[str], Price | None]


@dataclass(frozen=True)
class Means:
    """What an agent may spend, and how its calls are priced."""

    name: str
    budget: Budget
    zone: tzinfo
    turn_timeout_s: float
    price_of: PriceOf
    chain: tuple[str, ...]  #: the models that may answer: the one that is asked and those behind it


@dataclass
class Errand:
    """For which turn models are asked in this task."""

    message: Open
    attempt: int
    standing: Callable[[], AbstractContextManager[None]]  #: while in it, the turn's clock stands still
    calls: int = 0
    reservation: Event | None = None  #: the last one
    beside: list[Event] = field(default_factory=list)  #: what is to be stored with the next one


C = TypeVar("C", ModelCalled, Reflected, ChoreCalled)

_errand: ContextVar[Errand | None] = ContextVar("errand", default=None)


class Purse:
    """What one agent has spent, as it knows it, and the door to its models."""

    def __init__(self, means: Means, bus: Bus) -> None:
        self._means = means
        self._bus = bus
        self._account = Account(means.zone)
        self._estimators: dict[str, Estimator] = {}

    async def remember(self) -> None:
        """Read what was spent today; waits for the journal as long as it takes."""
        today, before = self._today(), 0
        pages: list[list[Event]] = []
        while True:
            query = Query(agent=self._means.name, kinds=KINDS, newest=True, before=before)
            page = await self._bus.read(query, timeout_s=math.inf)
            pages.append(page.events)
            if not page.more or not page.events or day_of(page.events[0].ts, self._means.zone) < today:
                break
            before = page.events[0].seq
        for each in (found for events in reversed(pages) for found in events):
            self._account.apply(each)

    def apply(self, heard: Event) -> None:
        """Take an event of the agent. Raises BadMessage for a malformed body."""
        self._account.apply(heard)

    def forget(self, turn: str) -> None:
        """The turn has ended."""
        self._account.forget(turn, self._today())

    def begin(self, message: Open, attempt: int, standing: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """From now on this task asks models for that message. A slow journal's time is not the turn's: see Errand."""
        _errand.set(Errand(message, attempt, standing))

    def beside(self, *events: Event) -> None:
        """Have these stored with the next reservation of this task, in one transaction."""
        _of_task().beside.extend(events)

    def metered(self, model: Model, chain: tuple[str, ...] = ()) -> Model:
        """The model, as it may be asked; `chain` are those that may answer, if they are others than those that think."""
        return Metered(model, self, chain or self._means.chain)

    async def reserve(self, request: Request, chain: tuple[str, ...]) -> float:
        """Reserve for the next call; durable when it returns. Returns how long the call may take, in seconds.

        Raises Spent, one sentence, if it may take more than there is; then nothing was reserved.
        """
        errand = _of_task()
        turn, session = errand.message.turn, errand.message.session
        tokens_in, tokens = self._at_most(request, chain)
        usd = self._usd_at_most(tokens_in, tokens - tokens_in, chain)
        day, so_far = self._account.on(self._today()), self._account.of(turn)
        why = refused(self._means.budget, day, so_far, Sum(1, tokens, max(usd, 0.0), 0.0, int(usd < 0)))
        if why:
            raise Spent(why)
        left_s = time_left_s(self._means.budget, day, so_far)
        wall_s = min(left_s, self._means.turn_timeout_s)
        cause = cause_of(errand.message.source)
        errand.calls += 1
        body = BudgetReserved(turn, errand.calls, chain[0], tokens, usd, wall_s, cause)
        reserved = self._event(body, session, turn, derived_id(turn, "reserved", errand.attempt, errand.calls))
        self._account.apply(dataclasses.replace(reserved, ts=time.time()))  # before anything else can be awaited
        errand.reservation = reserved
        beside, errand.beside = errand.beside, []
        with errand.standing():
            await self._bus.append(*beside, reserved)
        return left_s

    async def release(self, reason: str) -> None:
        """The call was turned away before a word: it costs nothing."""
        errand = _of_task()
        if errand.reservation:
            body = BudgetReleased(errand.reservation.id, errand.message.turn, reason)
            turn = errand.message.turn
            released = self._event(body, errand.message.session, turn, derived_id(errand.reservation.id, "released"))
            errand.reservation = None
            await self._bus.append(released)
            self._account.apply(released)

    def settle(self, called: C, done: Done, restarts: int) -> C:
        """The call, of the one that thinks or of the judge, with its price and the reservation it settles."""
        errand = _errand.get()
        reserved = errand.reservation if errand else None
        price = self._means.price_of(called.model)
        priced = dataclasses.replace(
            called,
            cache_read=done.cache_read,
            cache_written=done.cache_written,
            cost_usd=price.of(done) if price else UNKNOWN_USD,
            reservation=reserved.id if reserved else "",
            restarts=restarts,
        )
        if errand and reserved:
            errand.reservation = None
            self._account.apply(self._event(priced, errand.message.session, priced.turn, ""))
        return priced

    def learn(self, name: str, request: Request, done: Done) -> None:
        """Take from a reply how many tokens its request really had."""
        if done.model in ("", name):
            self._estimators[name] = self._estimator(name).after(estimate_request(request), done.tokens_in)

    def _at_most(self, request: Request, chain: tuple[str, ...]) -> tuple[int, int]:
        """Tokens the call reads, and tokens it takes altogether, at most."""
        estimated = estimate_request(request)
        read = max(self._estimator(name).at_most(estimated) for name in chain)
        return read, read + request.tokens_max

    def _usd_at_most(self, read: int, written: int, chain: tuple[str, ...]) -> float:
        """What the dearest of the models takes, whether it caches or not; -1 if the price of one is unknown."""
        most = 0.0
        for name in chain:
            if (price := self._means.price_of(name)) is None:
                return UNKNOWN_USD
            fresh, cached = Done("", read, written), Done("", read, written, cache_written=read)
            most = max(most, price.of(fresh), price.of(cached))
        return most

    def _estimator(self, name: str) -> Estimator:
        return self._estimators.get(name) or estimator(name)

    def _today(self) -> str:
        return day_of(time.time(), self._means.zone)

    def _event(self, body: Body, session: str, turn: str, id_: str) -> Event:
        name = self._means.name
        return event(body, agent=name, session=session, source=f"agent:{name}", cause=turn, id=id_)


class Metered:
    """A model that is paid for."""

    def __init__(self, model: Model, purse: Purse, chain: tuple[str, ...]) -> None:
        self._model = model
        self._chain = chain
        self._purse = purse

    @property
    def name(self) -> str:
        """As configured."""
        return self._model.name

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model. Raises Spent if there is no budget for it, or no time left of it."""
        left_s = await self._purse.reserve(request, self._chain)
        heard = False
        timeout = asyncio.timeout(left_s if math.isfinite(left_s) else None)
        try:
            async with timeout, aclosing(self._model.stream(request)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    heard = True
                    if isinstance(delta, Done):
                        self._purse.learn(self._chain[0], request, delta)
                    yield delta
        except TimeoutError:
            if not timeout.expired():
                raise
            raise Spent(
                f"the budget of time for models ended after {left_s:.1f} s of this call; `animactl budget` shows it"
            ) from None
        except (Refused, ConfigError) as error:
            if not heard:
                await self._purse.release(str(error))
            raise

    async def close(self) -> None:
        """Let go of connections."""
        await self._model.close()


def _of_task() -> Errand:
    errand = _errand.get()
    if errand is None:
        raise Refused("a model was to be asked outside of any turn; that is a mistake of this program, please report it")
    return errand


def means(folder: Folder, budget: Budget, zone: str, price_of: PriceOf, chain: tuple[str, ...]) -> Means:
    """What the agent of that folder may spend."""
    return Means(folder.name, budget, zone_of(zone), folder.settings.turn_timeout_s, price_of, chain)
