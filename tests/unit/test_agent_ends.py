"""How turns end when things happen at once: slow journals, late interruptions, deaths that are not a message's own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from anima.agent.folder import Folder
from anima.agent.life import Life
from anima.agent.thinker import Thinker
from anima.bus.loopback import Loopback
from anima.config.schema import House
from anima.paths import Home
from anima.wire.events import (
    AgentFrozen,
    AgentThawed,
    Event,
    InterruptAsked,
    ModelCalled,
    TurnEnded,
    TurnStarted,
    UserMessage,
    event,
)


class Arya:
    """One agent on an in-process bus that plays a script."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder, folder / "run")
        self.bus = Loopback()

    def plays(self, *entries: dict[str, object], **settings: object) -> None:
        folder = self.home.agent("arya")
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("persona.md").write_text("You are Arya.")
        folder.joinpath("play.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        told = {"model": "scripted:play.jsonl", **settings}
        folder.joinpath("agent.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items()))

    @asynccontextmanager
    async def living(self) -> AsyncIterator["asyncio.Task[None]"]:
        """One incarnation; told to stop when the block ends."""
        folder, stop = Folder.read(self.home, "arya"), asyncio.Event()
        async with Thinker(folder, House()) as thinker:
            life = Life(folder, self.bus, thinker, lambda _: None)
            await life.remember()
            task = asyncio.create_task(life.until(stop))
            try:
                yield task
            finally:
                stop.set()
                await asyncio.wait([task])

    async def hears(self, text: str, session: str = "main") -> Event:
        said = event(UserMessage(text), agent="arya", session=session, source="cli")
        await self.bus.append(said)
        return said

    async def until(self, kind: str, count: int = 1) -> list[Event]:
        async with asyncio.timeout(10):
            while len(found := [each for each in self.bus.events if each.kind == kind]) < count:
                await asyncio.sleep(0.005)
        return found

    async def until_underway(self, kind: str) -> None:
        async with asyncio.timeout(10):
            while kind not in [each.kind for each in self.bus.underway]:
                await asyncio.sleep(0.005)

    async def ends(self, count: int = 1) -> list[TurnEnded]:
        return [body for each in await self.until("turn_ended", count) if isinstance(body := each.body, TurnEnded)]

    def kinds(self) -> list[str]:
        """What happened, less the reservations: each call has one, and tests of their own."""
        return [each.kind for each in self.bus.events if each.kind != "budget_reserved"]


@pytest.fixture
def arya(tmp_path: Path) -> Arya:
    return Arya(tmp_path)


async def test_the_time_a_slow_journal_takes_to_store_the_end_is_not_the_turn_s(arya: Arya) -> None:
    arya.plays({"text": "hello", "delay_s": 0.05}, turn_timeout_s=0.3)
    async with arya.living():
        await arya.hears("hi")
        await arya.until("turn_started")
        arya.bus.latency_s = 0.8
        await arya.ends()
        await asyncio.sleep(1.0)
    assert arya.kinds() == ["user_message", "turn_started", "model_called", "model_recorded", "agent_message", "turn_ended"]


async def test_the_time_a_slow_journal_takes_to_store_the_start_is_not_the_turn_s(arya: Arya) -> None:
    arya.plays({"text": "hello"}, turn_timeout_s=0.3)
    async with arya.living():
        arya.bus.latency_s = 0.5
        await arya.hears("hi")
        (end,) = await arya.ends()
    assert end.outcome == "answered"


async def test_an_interruption_that_meets_the_end_on_its_way_changes_nothing(arya: Arya) -> None:
    arya.plays({"text": "hello", "delay_s": 0.05})
    async with arya.living():
        await arya.hears("hi")
        await arya.until("turn_started")
        arya.bus.latency_s = 0.3
        await arya.until_underway("turn_ended")
        arya.bus.latency_s = 0.0
        await arya.bus.append(event(InterruptAsked(), agent="arya", session="main", source="cli"))
        (end,) = await arya.ends()
        await asyncio.sleep(0.1)
    assert end.outcome == "answered"
    assert arya.kinds().count("turn_ended") == arya.kinds().count("agent_message") == 1


async def test_interruptions_from_several_sides_end_a_turn_once_and_the_next_message_is_served(arya: Arya) -> None:
    arya.plays({"match": "hang", "text": "hm", "hang": True}, {"text": "fine"})
    async with arya.living():
        await arya.hears("hang")
        await arya.until("turn_started")
        await arya.hears("next")
        arya.bus.latency_s = 0.1
        for _ in range(4):
            asyncio.get_running_loop().call_soon(
                asyncio.ensure_future, arya.bus.append(event(InterruptAsked(), agent="arya", session="main", source="cli"))
            )
            await asyncio.sleep(0.03)
        first, second = await arya.ends(2)
    assert (first.outcome, second.outcome) == ("interrupted", "answered")


async def test_a_turn_whose_end_is_on_its_way_is_not_put_down_as_well(arya: Arya, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anima.agent.life.turn_grace_s", 0.05)
    arya.plays({"text": "hello", "delay_s": 0.05})
    async with arya.living():
        await arya.hears("hi")
        await arya.until("turn_started")
        arya.bus.latency_s = 0.4
        await arya.until_underway("turn_ended")
    await arya.ends()
    await asyncio.sleep(0.5)
    assert "turn_paused" not in arya.kinds()


async def test_a_bug_in_one_session_puts_the_others_down_and_only_its_own_message_counts_a_death(arya: Arya) -> None:
    arya.plays({"match": "bug", "text": "x", "error": "bug"}, {"text": "slow", "delay_s": 5})
    innocent = await arya.hears("slow one", "b")
    async with arya.living() as life:
        await arya.until("turn_started")
        await arya.hears("bug", "a")
        async with asyncio.timeout(5):
            await asyncio.wait([life])
        assert isinstance(life.exception(), RuntimeError)
    assert [each.data["turn"] for each in await arya.until("turn_paused")] == [innocent.id]


async def test_of_messages_that_died_already_only_one_at_a_time_is_tried_again_and_fresh_ones_beside_it(arya: Arya) -> None:
    arya.plays({"match": "again", "text": "slow", "delay_s": 0.1}, {"text": "fresh"})
    one, two = await arya.hears("again", "a"), await arya.hears("again", "b")
    for each in (one, two):
        started = TurnStarted(each.id, 1, 1)
        await arya.bus.append(event(started, agent="arya", session=each.session, source="agent:arya"))
    async with arya.living():
        await arya.until("turn_started", 3)
        fresh = await arya.hears("quick", "c")
        await arya.ends(3)
    told = [(each.kind, each.data["turn"]) for each in arya.bus.events[4:] if each.kind in ("turn_started", "turn_ended")]
    assert told.index(("turn_ended", one.id)) < told.index(("turn_started", two.id))
    assert told.index(("turn_ended", fresh.id)) < told.index(("turn_ended", one.id))


async def test_what_an_earlier_incarnation_spent_counts_towards_the_turn(arya: Arya) -> None:
    arya.plays({"text": "done"})
    asked = await arya.hears("hi")
    for body in (TurnStarted(asked.id, 1, 1), ModelCalled(asked.id, 1, "m", 1000, 500, 0.1)):
        await arya.bus.append(event(body, agent="arya", session="main", source="agent:arya"))
    async with arya.living():
        (end,) = await arya.ends()
    assert end.steps == 2
    assert end.tokens_in > 1000
    assert end.tokens_out > 500


async def test_an_answer_too_large_to_be_stored_is_a_failure_with_its_reason(arya: Arya) -> None:
    arya.plays({"text": "x" * 1_100_000})
    async with arya.living():
        await arya.hears("hi")
        (end,) = await arya.ends()
    assert end.outcome == "failed"
    assert "send less" in end.reason


async def test_a_message_and_the_word_to_freeze_that_come_at_once_lead_to_no_call(arya: Arya) -> None:
    arya.plays({"text": "hello"})
    async with arya.living():
        said = event(UserMessage("hi"), agent="arya", session="main", source="cli")
        await arya.bus.append(said, event(AgentFrozen("enough"), agent="arya", source="cli"))
        await asyncio.sleep(0.2)
        assert not {"turn_ended", "model_called"} & set(arya.kinds())
        assert not [each for each in arya.bus.events if each.kind == "budget_reserved"]
    async with arya.living():
        await asyncio.sleep(0.1)
        assert "turn_ended" not in arya.kinds(), "it forgot over its sleep"
        await arya.bus.append(event(AgentThawed(), agent="arya", source="cli"))
        (end,) = await arya.ends()
    assert end.outcome == "answered"
