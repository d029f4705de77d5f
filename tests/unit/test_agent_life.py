"""An agent's life on an in-process bus: answers once, in order, resumes, gives up, stops."""

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
from anima.errors import ConfigError
from anima.nous.model import Delta, Message, Request
from anima.paths import Home
from anima.wire.events import Event, InterruptAsked, SessionCleared, TurnEnded, TurnStarted, UserMessage, event


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path, tmp_path / "run")
    script(home, {"text": "hello"})
    return home


def script(home: Home, *entries: dict[str, object], **settings: object) -> None:
    folder = home.agent("arya")
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("persona.md").write_text("You are Arya.")
    folder.joinpath("play.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"model": "scripted:play.jsonl", **settings}.items()]
    folder.joinpath("agent.toml").write_text("\n".join(lines) + "\n")


def say(text: str, session: str = "main") -> Event:
    return event(UserMessage(text), agent="arya", session=session, source="cli")


@asynccontextmanager
async def living(home: Home, bus: Loopback) -> AsyncIterator[asyncio.Event]:
    """One incarnation; ends when the block does, as if told to stop."""
    folder = Folder.read(home, "arya")
    stop = asyncio.Event()
    async with Thinker(folder, House()) as thinker:
        life = Life(folder, bus, thinker, lambda _: None)
        await life.remember()
        task = asyncio.create_task(life.until(stop))
        try:
            yield stop
        finally:
            stop.set()
            await task


async def ended(bus: Loopback, count: int) -> list[TurnEnded]:
    async with asyncio.timeout(5):
        while len(found := [body for each in bus.events if isinstance(body := each.body, TurnEnded)]) < count:
            await asyncio.sleep(0.005)
    return found


def kinds(bus: Loopback) -> list[str]:
    """What happened, less the reservations: each call has one, and tests of their own."""
    return [each.kind for each in bus.events if each.kind != "budget_reserved"]


async def test_a_message_is_answered_and_settled(home: Home) -> None:
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("hi"))
        (end,) = await ended(bus, 1)
    assert kinds(bus) == ["user_message", "turn_started", "model_called", "model_recorded", "agent_message", "turn_ended"]
    assert (end.outcome, end.steps, end.settled_seq >= 1) == ("answered", 1, True)
    assert next(each for each in bus.events if each.kind == "agent_message").data["text"] == "hello"
    assert "".join(whisper.text for whisper in bus.whispers) == "hello"


async def test_what_was_said_while_nobody_lived_is_answered_on_waking(home: Home) -> None:
    bus = Loopback()
    await bus.append(say("one"), say("two"))
    async with living(home, bus):
        await ended(bus, 2)
    async with living(home, bus):
        await bus.append(say("three"))
        await ended(bus, 3)
    assert kinds(bus).count("agent_message") == 3


async def test_sessions_run_side_by_side_and_each_in_order(home: Home) -> None:
    script(home, {"text": "slow", "delay_s": 0.05, "match": "slow"}, {"text": "fast"})
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("slow please", "a"), say("and then", "a"), say("quick", "b"))
        await ended(bus, 3)
    answered = [each.data["turn"] for each in bus.events if each.kind == "turn_ended"]
    first, second, other = (each.id for each in bus.events[:3])
    assert answered.index(first) < answered.index(second)
    assert answered[0] == other


async def test_an_interrupted_turn_ends_and_the_next_message_is_served(home: Home) -> None:
    script(home, {"text": "wait", "hang": True, "match": "hang"}, {"text": "fine"})
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("hang"))
        while "turn_started" not in kinds(bus):
            await asyncio.sleep(0.005)
        await bus.append(event(InterruptAsked(), agent="arya", session="main", source="cli"), say("go on"))
        first, second = await ended(bus, 2)
    assert (first.outcome, second.outcome) == ("interrupted", "answered")


async def test_a_turn_put_down_by_a_stop_is_taken_up_again_and_not_counted_as_a_death(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anima.agent.life.turn_grace_s", 0.01)
    script(home, {"text": "later", "hang": True})
    bus = Loopback()
    await bus.append(say("hi"))
    for attempt in range(1, 6):
        async with living(home, bus), asyncio.timeout(5):
            while kinds(bus).count("turn_started") < attempt:
                await asyncio.sleep(0.005)
    script(home, {"text": "at last"})
    async with living(home, bus):
        (end,) = await ended(bus, 1)
    assert end.outcome == "answered"


async def test_a_message_that_ended_its_process_three_times_is_given_up_and_the_person_is_told(home: Home) -> None:
    bus = Loopback()
    deadly = say("deadly")
    await bus.append(deadly, say("harmless"))
    for attempt in (1, 2, 3):
        await bus.append(event(TurnStarted(deadly.id, 1, attempt), agent="arya", session="main", source="agent:arya"))
    async with living(home, bus):
        first, second = await ended(bus, 2)
    assert (first.outcome, second.outcome) == ("failed", "answered")
    assert "3 times" in first.reason
    assert "system_message" in kinds(bus)


async def test_a_turn_that_takes_too_long_fails_with_the_name_of_the_limit(home: Home) -> None:
    script(home, {"text": "never", "hang": True}, turn_timeout_s=0.1)
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("hi"))
        (end,) = await ended(bus, 1)
    assert end.outcome == "failed"
    assert "turn_timeout_s" in end.reason


@pytest.mark.parametrize("model", ["anthropic:claude-x", "telepathy:x", "scripted:missing.jsonl"])
async def test_a_model_that_cannot_be_asked_is_said_in_one_sentence_to_the_one_who_asked(
    home: Home, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    script(home, {"text": "x"}, model=model)
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("hi"))
        (end,) = await ended(bus, 1)
    assert end.outcome == "failed"
    assert end.reason
    assert "\n" not in end.reason


async def test_a_cleared_session_forgets_in_the_viewport_only(home: Home) -> None:
    script(home, {"text": "old", "match": "one"}, {"text": "new"})
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("one"))
        await ended(bus, 1)
        await bus.append(event(SessionCleared(), agent="arya", session="main", source="cli"), say("two"))
        await ended(bus, 2)
    assert kinds(bus).count("user_message") == 2


async def test_two_incarnations_that_finish_the_same_turn_store_one_answer(home: Home) -> None:
    bus = Loopback()
    await bus.append(say("hi"))
    async with living(home, bus), living(home, bus):
        await ended(bus, 1)
        await asyncio.sleep(0.05)
    assert kinds(bus).count("agent_message") == kinds(bus).count("turn_ended") == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("see {{include:missing.md}}", "there is no file"),
        ("\n\n{{include:persona.md}}", "itself"),
        ("{{include:../../../../etc/passwd}}", "outside"),
    ],
)
def test_a_wrong_include_names_file_and_line(home: Home, text: str, complaint: str) -> None:
    home.agent("arya").joinpath("persona.md").write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        Folder.read(home, "arya")
    assert "persona.md:" in str(caught.value)


def test_included_files_become_part_of_the_prompt(home: Home) -> None:
    home.agent("arya").joinpath("facts.md").write_text("water is wet\n")
    home.agent("arya").joinpath("persona.md").write_text("You know: {{include:facts.md}}.")
    assert Folder.read(home, "arya").persona == "You know: water is wet."


async def test_an_answer_without_a_word_is_a_failure_with_its_reason_not_silence(home: Home) -> None:
    script(home, {"text": " "})
    bus = Loopback()
    async with living(home, bus):
        await bus.append(say("hi"))
        (end,) = await ended(bus, 1)
    assert end.outcome == "failed"
    assert "without a word" in end.reason


def test_what_a_model_is_told_around_the_conversation(home: Home) -> None:
    script(home, {"text": "x"}, time_zone="Europe/Berlin")
    home.agent("arya").joinpath("always.md").write_text("Speak softly.\n")
    home.agent("arya").joinpath("soul.md").write_text("Honest before kind.\n")

    async def asked() -> Request:
        async with Thinker(Folder.read(home, "arya"), House()) as thinker:
            seen: list[Request] = []

            class Listening:
                name = "scripted:play.jsonl"

                def stream(self, request: Request) -> AsyncIterator[Delta]:
                    seen.append(request)
                    return nothing()

                async def close(self) -> None:
                    """Nothing to let go of."""

            thinker._model = Listening()
            async for _ in thinker.ask((Message("user", "hi"),), "main", 1):
                pass
            return seen[0]

    request = asyncio.run(asked())
    assert request.system.startswith("You are Arya.\n\nHonest before kind.\n")
    for words in ("'arya'", "scripted:play.jsonl", "Europe/Berlin", "workspace/arya", "- read_file: Read"):
        assert words in request.system
    assert request.reminder == "Speak softly.\n"
    assert request.facts["time_zone"] == "Europe/Berlin"
    assert "Speak softly" not in request.system, "what stands last is not part of the stable prefix"


async def nothing() -> AsyncIterator[Delta]:
    return
    yield
