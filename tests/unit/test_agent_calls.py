"""A turn that calls tools: what is stored, what is waited for, what a death in between costs (nothing)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from anima.agent.folder import Folder
from anima.agent.life import Life
from anima.agent.thinker import Thinker
from anima.bus.loopback import Loopback
from anima.config.schema import House
from anima.limits import step_calls_max
from anima.paths import Home
from anima.wire.events import (
    ApprovalAsked,
    ApprovalGiven,
    Event,
    InterruptAsked,
    ModelCalled,
    QuestionAsked,
    ToolCall,
    ToolResponse,
    TurnEnded,
    UserMessage,
    event,
)

LS: dict[str, object] = {"tool": "exec", "args": {"command": "ls"}}


class ArmedHouse:
    """One agent that plays a script, and a sandbox that answers when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder, folder / "run")
        self.bus = Loopback()
        self.deaths = 0

    def plays(self, *entries: dict[str, object], **settings: object) -> None:
        folder = self.home.agent("arya")
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("persona.md").write_text("You are Arya.")
        folder.joinpath("play.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        tables = {key: settings.pop(key) for key in list(settings) if isinstance(settings[key], dict)}
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in {"model": "scripted:play.jsonl", **settings}.items()]
        for name, table in tables.items():
            lines += [f"[{name}]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in table.items())]
        folder.joinpath("agent.toml").write_text("".join(lines))

    @asynccontextmanager
    async def living(self) -> AsyncIterator["asyncio.Task[None]"]:
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

    @asynccontextmanager
    async def killed_when(self, kind: str, count: int = 1) -> AsyncIterator[None]:
        """One incarnation that dies without a farewell as soon as the journal holds `count` events of `kind`."""
        folder = Folder.read(self.home, "arya")
        others = asyncio.all_tasks()
        life = Life(folder, self.bus, Thinker(folder, House()), lambda _: None)
        await life.remember()
        asyncio.create_task(life.until(asyncio.Event()))  # noqa: RUF006 - found among all tasks
        await asyncio.sleep(0)
        own = asyncio.all_tasks() - others
        yield
        await self.until(kind, count)
        life._stopped = True
        for turn, task in life._turns.values():  # whatever it does from now on reaches nobody, as if the process were gone
            object.__setattr__(turn._mind, "bus", Loopback())
            own.add(task)
        for each in own:
            each.cancel()
        await asyncio.gather(*own, return_exceptions=True)
        self.deaths += 1

    async def hears(self, text: str, session: str = "main") -> Event:
        said = event(UserMessage(text), agent="arya", session=session, source="cli")
        await self.bus.append(said)
        return said

    async def answers(self, call: Event, text: str = "fine", *, ok: bool = True) -> None:
        """The sandbox settles a call."""
        body = call.body
        assert isinstance(body, ToolCall)
        await self.says(ToolResponse(body.turn, body.call, body.tool, ok, text, call.id, "done" if ok else "failed", 0.2), call)

    async def says(self, body: Any, about: Event) -> None:
        source = "cli" if isinstance(body, ApprovalGiven | InterruptAsked) else "sandbox"
        await self.bus.append(event(body, agent="arya", session=about.session, source=source))

    async def serves(self, answer: Callable[[ToolCall], str] = lambda _: "fine") -> None:
        """A sandbox that answers every call at once, until cancelled."""
        seen = 0
        while True:
            for call in self.bus.events[seen:]:
                seen += 1
                if isinstance(body := call.body, ToolCall):
                    await self.answers(call, answer(body))
            await asyncio.sleep(0.002)

    async def until(self, kind: str, count: int = 1) -> list[Event]:
        async with asyncio.timeout(10):
            while len(found := [each for each in self.bus.events if each.kind == kind]) < count:
                await asyncio.sleep(0.002)
        return found

    async def ends(self, count: int = 1) -> list[TurnEnded]:
        return [body for each in await self.until("turn_ended", count) if isinstance(body := each.body, TurnEnded)]

    def kinds(self) -> list[str]:
        """What happened, less the reservations: each call has one, and tests of their own."""
        return [each.kind for each in self.bus.events if each.kind != "budget_reserved"]

    def steps(self) -> list[ModelCalled]:
        return [body for each in self.bus.events if isinstance(body := each.body, ModelCalled)]


@pytest.fixture
def house(tmp_path: Path) -> ArmedHouse:
    return ArmedHouse(tmp_path)


@pytest.fixture
async def sandbox(house: ArmedHouse) -> AsyncIterator[None]:
    """The sandbox is there, and every call succeeds at once."""
    serving = asyncio.create_task(house.serves())
    yield
    serving.cancel()


async def test_all_calls_of_a_step_are_stored_with_its_words_and_the_answer_comes_after_their_responses(
    house: ArmedHouse,
) -> None:
    house.plays({"text": "I look.", "calls": [LS, {"tool": "now"}]}, {"text": "there"})
    async with house.living():
        said = await house.hears("look")
        first, second = await house.until("tool_call", 2)
        assert house.kinds() == ["user_message", "turn_started", "model_called", "tool_call", "tool_call", "model_recorded"]
        assert [(each.data["place"], each.data["calls"], each.data["tool"]) for each in (first, second)] == [
            (0, 2, "exec"),
            (1, 2, "now"),
        ]
        assert house.steps()[0].text == "I look."
        await house.answers(second)
        await asyncio.sleep(0.05)
        assert len(house.steps()) == 1, "one response is still missing"
        await house.answers(first)
        (end,) = await house.ends()
    assert (end.outcome, end.steps, end.turn) == ("answered", 2, said.id)
    assert house.kinds().count("agent_message") == 1


@pytest.mark.parametrize("died_at", [("turn_started", 1), ("model_called", 1), ("tool_call", 2), ("tool_response", 1)])
async def test_a_death_at_any_point_of_a_step_costs_nothing_and_nothing_is_asked_twice(
    house: ArmedHouse, died_at: tuple[str, int]
) -> None:
    house.plays({"text": "I look.", "calls": [LS, {"tool": "now"}]}, {"text": "there", "delay_s": 0.05})
    async with house.killed_when(*died_at):
        await house.hears("look")
        if died_at[0] == "tool_response":
            first, _ = await house.until("tool_call", 2)
            await house.answers(first)
    async with house.living():
        calls = await house.until("tool_call", 2)
        for call in calls:
            if all(each.data.get("intent") != call.id for each in house.bus.events):
                await house.answers(call)
        (end,) = await house.ends()
    assert (end.outcome, house.deaths) == ("answered", 1)
    assert house.kinds().count("turn_started") == 2
    assert "turn_paused" not in house.kinds(), "that was no farewell"
    assert [called.step for called in house.steps()] == [1, 2]
    assert house.kinds().count("tool_call") == 2
    assert house.kinds().count("agent_message") == house.kinds().count("turn_ended") == 1


async def test_what_was_answered_while_nobody_lived_is_collected(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"})
    async with house.killed_when("tool_call"):
        await house.hears("look")
    (call,) = await house.until("tool_call")
    await house.answers(call, "a.txt")
    async with house.living():
        (end,) = await house.ends()
    assert (end.outcome, end.steps) == ("answered", 2)
    assert house.kinds().count("tool_call") == 1


async def test_a_step_that_was_on_its_way_when_its_agent_died_counts_as_it_was_stored(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"})
    house.bus.latency_s = 0.2
    async with house.living() as life:
        await house.hears("look")
        await house.until("turn_started")
        await asyncio.sleep(0.1)  # the step is sent, and not yet stored
        life.cancel()
    house.bus.latency_s = 0.0
    house.plays({"calls": [{"tool": "python", "args": {"code": "1"}}]}, {"text": "there"})
    async with house.living():
        (call, *more) = await house.until("tool_call")
        assert not more
        await house.answers(call)
        (end,) = await house.ends()
    assert end.outcome == "answered"
    assert house.kinds().count("tool_call") == 1


async def test_an_interrupted_turn_ends_at_once_and_the_late_response_harms_nobody(house: ArmedHouse) -> None:
    house.plays({"calls": [LS], "match": "look"}, {"text": "on it", "match": "go on"})
    async with house.living():
        said = await house.hears("look")
        (call,) = await house.until("tool_call")
        await house.says(InterruptAsked(), said)
        (first,) = await house.ends()
        await house.answers(call, "too late")
        await house.hears("go on")
        _, second = await house.ends(2)
    assert (first.outcome, second.outcome) == ("interrupted", "answered")


async def test_a_turn_that_waits_for_a_tool_is_put_down_at_once_and_taken_up_where_it_was(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"})
    loop = asyncio.get_running_loop()
    async with house.living():
        await house.hears("look")
        (call,) = await house.until("tool_call")
        begun = loop.time()
    assert loop.time() - begun < 1.0, "nothing is gained by the grace a working turn has"
    assert "turn_paused" in house.kinds()
    await house.answers(call)
    async with house.living():
        (end,) = await house.ends()
    assert end.outcome == "answered"


async def test_a_tool_s_time_is_the_turn_s_and_a_person_s_is_not(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"}, turn_timeout_s=0.5)
    async with house.living():
        said = await house.hears("look")
        (call,) = await house.until("tool_call")
        await house.says(ApprovalAsked(call.id, said.id, "exec", "dangerous", "may it?"), call)
        await asyncio.sleep(1.0)
        assert "turn_ended" not in house.kinds()
        await house.says(ApprovalGiven(call.id, granted=True), call)
        (end,) = await house.ends()
    assert end.outcome == "failed"
    assert "turn_timeout_s" in end.reason


async def test_turns_that_wait_for_a_person_leave_room_for_others(house: ArmedHouse) -> None:
    house.plays(
        {"calls": [{"tool": "ask_person", "args": {"question": "blue?"}}], "match": "ask"},
        {"text": "quick", "match": "quick"},
        sessions_parallel_max=1,
    )
    async with house.living():
        said = await house.hears("ask", "slow")
        (call,) = await house.until("tool_call")
        await house.says(QuestionAsked(call.id, said.id, "blue?"), call)
        await house.hears("quick", "other")
        (end,) = await house.ends()
    assert (end.outcome, end.turn != said.id) == ("answered", True)


@pytest.mark.usefixtures("sandbox")
async def test_the_fourth_identical_call_is_not_passed_on_and_the_model_is_told_so(house: ArmedHouse) -> None:
    house.plays(*[{"calls": [LS]}] * 5, {"text": "I give up"})
    async with house.living():
        await house.hears("look")
        (end,) = await house.ends()
    assert (end.outcome, end.steps) == ("answered", 6)
    assert house.kinds().count("tool_call") == 3
    (told,) = house.steps()[3].refused
    assert (told["tool"], told["place"]) == ("exec", 0)
    assert "3 times" in told["text"]


@pytest.mark.usefixtures("sandbox")
async def test_a_turn_that_goes_in_circles_is_ended_with_one_sentence(house: ArmedHouse) -> None:
    house.plays(*[{"calls": [LS]}] * 20, turn_idle_steps_max=4)
    async with house.living():
        await house.hears("look")
        (end,) = await house.ends()
    assert (end.outcome, end.steps) == ("failed", 5), "the first step brought something, the next four nothing"
    assert "the last 4 steps of the turn brought nothing new (turn_idle_steps_max)" in end.reason


@pytest.mark.usefixtures("sandbox")
async def test_a_turn_makes_no_more_calls_than_it_may(house: ArmedHouse) -> None:
    calls = [{"tool": "exec", "args": {"command": str(number)}} for number in range(3)]
    house.plays({"calls": calls}, {"calls": calls[:1]}, {"text": "enough"}, policy={"calls_per_turn_max": 2})
    async with house.living():
        await house.hears("look")
        (end,) = await house.ends()
    assert end.outcome == "answered"
    made = [each.data for each in house.bus.events if each.kind == "tool_call"]
    assert [(each["place"], each["calls"]) for each in made] == [(0, 2), (1, 2)]
    assert ["calls_per_turn_max" in told["text"] for step in house.steps() for told in step.refused] == [True, True]


@pytest.mark.usefixtures("sandbox")
async def test_a_model_that_never_stops_calling_is_stopped_by_the_step_limit(house: ArmedHouse) -> None:
    house.plays(*[{"calls": [{"tool": "exec", "args": {"command": str(number)}}]} for number in range(9)], turn_steps_max=3)
    async with house.living():
        await house.hears("look")
        (end,) = await house.ends()
    assert (end.outcome, end.steps) == ("failed", 3)
    assert "turn_steps_max" in end.reason
    assert house.kinds().count("tool_call") == house.kinds().count("tool_response") == 3


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("form", "call"),
    [
        ("tags", '<tool>{"name": "read_file", "args": {"path": "a.txt", "limit": 3}}</tool>'),
        (
            "functions",
            "<function=read_file>\n<parameter=path>\na.txt\n</parameter>\n<parameter=limit>\n3\n</parameter>\n</function>",
        ),
    ],
)
async def test_a_model_without_blocks_writes_its_calls_as_text(house: ArmedHouse, form: str, call: str) -> None:
    house.plays({"text": f"I read.\n{call}"}, {"text": "it says hello"}, policy={"tool_format": form})
    async with house.living():
        await house.hears("read a.txt")
        (end,) = await house.ends()
    assert (end.outcome, end.steps) == ("answered", 2)
    (made,) = await house.until("tool_call")
    assert (made.data["tool"], made.data["args"]) == ("read_file", {"path": "a.txt", "limit": 3})
    assert house.steps()[0].text == "I read."
    heard = "".join(whisper.text for whisper in house.bus.whispers if whisper.what == "text")
    assert heard == "I read.\nit says hello", "nobody wants to look at the block"


@pytest.mark.usefixtures("sandbox")
async def test_a_call_that_makes_no_sense_goes_back_to_the_model_also_after_a_death(house: ArmedHouse) -> None:
    house.plays({"text": "<tool>{nonsense</tool>"}, {"text": "I see", "delay_s": 0.05}, policy={"tool_format": "tags"})
    async with house.killed_when("model_called"):
        await house.hears("read a.txt")
    async with house.living():
        (end,) = await house.ends()
    assert (end.outcome, end.steps) == ("answered", 2)
    assert "not JSON" in house.steps()[0].refused[0]["text"]
    assert "tool_call" not in house.kinds()


async def test_who_looks_on_hears_what_is_called_and_what_came_back(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"})
    async with house.living():
        await house.hears("look")
        (call,) = await house.until("tool_call")
        await house.answers(call, "\na.txt\nb.txt\n")
        await house.ends()
    assert [each.text for each in house.bus.whispers if each.what == "tool"] == [
        'exec command="ls"',
        "exec: done in 0.2 s: a.txt",
    ]


async def test_deaths_while_a_tool_is_waited_for_are_not_the_message_s(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"})
    await house.hears("look")
    for death in range(1, 6):
        async with house.killed_when("turn_started", death):
            await house.until("tool_call")
    async with house.living():
        (call,) = await house.until("tool_call")
        await house.answers(call)
        (end,) = await house.ends()
    assert (end.outcome, house.deaths) == ("answered", 5)


async def test_sessions_that_wait_for_a_person_are_all_taken_up_again_after_a_death(house: ArmedHouse) -> None:
    house.plays({"calls": [{"tool": "ask_person", "args": {"question": "blue?"}}]}, {"text": "thanks"}, sessions_parallel_max=1)
    async with house.killed_when("question_asked", 3):
        for number in range(3):
            said = await house.hears("ask", f"s{number}")
            call = (await house.until("tool_call", number + 1))[number]
            await house.says(QuestionAsked(call.id, said.id, "blue?"), call)
    async with house.living():
        await house.until("turn_started", 6)
        for call in reversed(await house.until("tool_call", 3)):
            await house.answers(call, "blue")
        ends = await house.ends(3)
    assert {end.outcome for end in ends} == {"answered"}


async def test_the_end_of_a_turn_that_was_interrupted_while_it_waited_is_not_cut_short_by_a_stop(house: ArmedHouse) -> None:
    house.plays({"calls": [LS]}, {"text": "there"})
    async with house.living():
        said = await house.hears("look")
        await house.until("tool_call")
        await house.says(InterruptAsked(), said)
        house.bus.latency_s = 0.3
        await asyncio.sleep(0.05)
    assert [end.outcome for end in await house.ends()] == ["interrupted"]
    assert "turn_paused" not in house.kinds()


async def test_what_a_turn_did_is_remembered_whole_however_little_history_is_shown(
    house: ArmedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anima.agent.history.PAGE_EVENTS", 3)
    steps: list[dict[str, object]] = [{"calls": [{"tool": "exec", "args": {"command": str(number)}}]} for number in range(5)]
    house.plays(*steps, {"text": "there"}, viewport={"window_tokens": 1_024})
    serving = asyncio.create_task(house.serves(lambda _: "word " * 1000))
    async with house.killed_when("tool_response", 3):
        await house.hears("look")
    async with house.living():
        (end,) = await house.ends()
    serving.cancel()
    assert (end.outcome, end.steps) == ("answered", 6)
    commands = [each.data["args"]["command"] for each in house.bus.events if each.kind == "tool_call"]
    assert commands == [str(number) for number in range(5)]


@pytest.mark.usefixtures("sandbox")
async def test_of_more_calls_at_once_than_a_step_takes_the_rest_is_told_to_come_again(house: ArmedHouse) -> None:
    calls = [{"tool": "exec", "args": {"command": str(number)}} for number in range(step_calls_max + 2)]
    house.plays({"calls": calls}, {"text": "there"})
    async with house.living():
        await house.hears("look")
        (end,) = await house.ends()
    assert end.outcome == "answered"
    assert house.kinds().count("tool_call") == step_calls_max
    assert ["at most" in told["text"] for told in house.steps()[0].refused] == [True, True]
