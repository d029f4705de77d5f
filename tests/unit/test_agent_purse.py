"""Nothing is sent that was not reserved; what was reserved and never settled stays spent."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import pytest

from anima.agent.inbox import Open
from anima.agent.purse import Means, Purse
from anima.agent.steps import Progress
from anima.agent.stuck import idle_steps
from anima.bus.loopback import Loopback
from anima.config.schema import Budget
from anima.errors import Refused, Spent, Unavailable
from anima.ids import new_id
from anima.nous.model import Delta, Done, Message, Model, Request, Text
from anima.nous.prices import FREE, Price
from anima.wire.events import Event, ModelCalled, Reflected, ToolCall, ToolResponse, event
from anima.wire.spending import BudgetReserved

DEAR = Price(1_000_000.0, 2_000_000.0, 100_000.0, 1_250_000.0)  #: a US dollar for a token read, two for one written
REQUEST = Request(system="", messages=(Message("user", "hello"),), tokens_max=10)


class Odd:
    """A model that does what it is told to: answer, fail, or wait for ever."""

    name = "odd"

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.asked = 0
        self._error = error
        self._hangs = hangs

    async def stream(self, _: Request) -> AsyncIterator[Delta]:
        self.asked += 1
        if self._error:
            raise self._error
        yield Text("hi")
        if self._hangs:
            await asyncio.Event().wait()
        yield Done("end_turn", 6, 1, model="odd")

    async def close(self) -> None:
        """Nothing to close."""


class Paying:
    """A purse, a bus, and a turn."""

    def __init__(self, budget: Budget, price: Price | None = FREE, bus: Loopback | None = None, turn: str = "") -> None:
        self.bus = bus or Loopback()
        self.turn = turn or new_id()
        self.purse = Purse(Means("arya", budget, UTC, 60.0, lambda _: price, ("odd",)), self.bus)

    async def ask(self, model: Model, attempt: int = 1) -> Done | None:
        """One call to its end; settled as a turn does it."""
        self.purse.begin(Open(self.turn, 1, "main", "hello", "heartbeat"), attempt)
        done = None
        async for delta in self.purse.metered(model).stream(REQUEST):
            done = delta if isinstance(delta, Done) else None
        if done:
            called = self.purse.settle(ModelCalled(self.turn, 1, "odd", 6, 1, 0.1), done, 0)
            await self.bus.append(event(called, agent="arya", source="agent:arya"))
        return done

    def of(self, kind: str) -> list[Event]:
        return [each for each in self.bus.events if each.kind == kind]


async def test_a_call_is_reserved_at_the_dearest_and_settled_at_what_it_took() -> None:
    paying = Paying(Budget(), DEAR)
    await paying.ask(Odd())
    (reserved,), (called,) = paying.of("budget_reserved"), paying.of("model_called")
    body = reserved.body
    assert isinstance(body, BudgetReserved)
    assert (body.cause, body.model) == ("heartbeat", "odd")
    assert body.tokens > REQUEST.tokens_max
    assert body.cost_usd == pytest.approx((body.tokens - 10) * 1.25 + 10 * 2.0), "all of it may be written to the cache"
    assert called.data["reservation"] == reserved.id
    assert called.data["cost_usd"] == pytest.approx(6 + 2)


async def test_what_does_not_fit_is_never_sent() -> None:
    for budget, price, why in (
        (Budget(turn_calls=0), FREE, "turn_calls"),
        (Budget(day_tokens=5), FREE, "day_tokens"),
        (Budget(turn_usd=20.0), DEAR, "turn_usd"),
        (Budget(day_usd=1.0), None, "nobody knows"),
        (Budget(turn_wall_s=0.0), FREE, "turn_wall_s"),
    ):
        paying, model = Paying(budget, price), Odd()
        with pytest.raises(Spent, match=why):
            await paying.ask(model)
        assert (model.asked, paying.bus.events) == (0, [])


async def test_an_unknown_price_may_be_allowed() -> None:
    paying = Paying(Budget(day_usd=1.0, unknown_price="allow"), None)
    await paying.ask(Odd())
    assert paying.of("model_called")[0].data["cost_usd"] == -1.0


async def test_a_refusal_before_the_first_word_costs_nothing_and_being_away_may_have_cost_all() -> None:
    paying = Paying(Budget(day_calls=1))
    with pytest.raises(Refused):
        await paying.ask(Odd(Refused("no key")))
    assert len(paying.of("budget_released")) == 1
    with pytest.raises(Unavailable):
        await paying.ask(Odd(Unavailable("gone")), attempt=2)
    with pytest.raises(Spent):
        await paying.ask(Odd(), attempt=3)


async def test_after_a_death_what_was_reserved_is_still_spent() -> None:
    first = Paying(Budget(day_calls=2))
    cut = asyncio.create_task(first.ask(Odd(hangs=True)))
    while not first.of("budget_reserved"):
        await asyncio.sleep(0.01)
    cut.cancel()
    await asyncio.wait([cut])
    again = Paying(Budget(day_calls=2), bus=first.bus, turn=first.turn)
    await again.purse.remember()
    await again.ask(Odd(), attempt=2)
    third, model = Paying(Budget(day_calls=2), bus=first.bus, turn=first.turn), Odd()
    await third.purse.remember()
    with pytest.raises(Spent, match="2 of 2"):
        await third.ask(model, attempt=3)
    assert model.asked == 0


async def test_two_turns_at_once_do_not_both_take_the_last_call() -> None:
    paying = Paying(Budget(day_calls=1))
    outcomes = await asyncio.gather(paying.ask(Odd()), paying.ask(Odd()), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Done", "Spent"]


async def test_a_call_is_cut_off_when_the_time_is_spent() -> None:
    paying = Paying(Budget(turn_wall_s=0.2))
    with pytest.raises(Spent, match="budget of time"):
        await paying.ask(Odd(hangs=True))


async def test_nobody_asks_a_model_outside_of_a_turn() -> None:
    purse, model = Paying(Budget()).purse, Odd()
    with pytest.raises(Refused, match="outside of any turn"):
        async for _ in purse.metered(model).stream(REQUEST):
            pass
    assert model.asked == 0


def step(number: int, text: str | None, args: dict[str, Any] | None = None) -> list[Event]:
    """One step of turn t with one call, and its answer if there is one."""
    call = ToolCall("t", number, f"c{number}", "search", args or {"q": "x"})
    bodies = [ModelCalled("t", number, "m", 1, 1, 0.1), call]
    events = [event(body, agent="arya", source="agent:arya") for body in bodies]
    if text is not None:
        done = ToolResponse("t", f"c{number}", "search", ok=True, text=text, intent=events[1].id)
        events.append(event(done, agent="arya", source="sandbox"))
    return events


def idle(*steps: list[Event]) -> int:
    progress = Progress("t")
    for step in reversed(steps):  # in any order, and more than once
        for each in (*step, *step):
            progress.apply(each)
    return idle_steps(progress)


def test_steps_that_bring_nothing_new_are_counted_until_one_does() -> None:
    refused = [event(ModelCalled("t", 9, "m", 1, 1, 0.1, refused=[{"tool": "x"}]), agent="arya", source="agent:arya")]
    assert idle() == 0
    assert idle(step(1, "a"), step(2, "a"), step(3, "a")) == 2
    assert idle(step(1, "a"), step(2, "a"), step(3, "b")) == 0
    assert idle(step(1, "a"), step(2, "a"), step(3, "a", {"q": "y"})) == 0
    assert idle(step(1, "a"), step(2, "a"), refused) == 2
    assert idle(step(1, "a"), step(2, None)) == 0, "no answer yet may be a new one"
    judged = event(Reflected("t", 1, 9, "draft", "revise", "too short"), agent="arya", source="agent:arya")
    assert idle(step(1, "a"), step(2, "a"), [*refused, judged]) == 0, "a draft that is sent back is no circle"
