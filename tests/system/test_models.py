"""The whole house with models that nobody here wrote: aimock in every dialect and with its faults, and what is no model."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anima.bus.client import connect
from anima.wire.events import Event, UserMessage, event
from anima.wire.whispers import Whisper
from tests.system.aimock import Aimock
from tests.system.conftest import House, eventually
from tests.system.odd_server import (
    claude,
    endless,
    nothing_here,
    odd_server,
    page,
    self_signed,
    ten_megabytes,
    wrong_key,
)
from tests.system.test_bad_input import one_sentence

pytestmark = pytest.mark.system

STORY = "Es war einmal ein Käuzchen 🦉, das wohnte in 日本 und zählte: eins, zwei, drei, vier, fünf, sechs."
DIALECTS: dict[str, dict[str, str]] = {
    "claude": {"provider": "anthropic", "model": "claude-test", "path": ""},
    "chat": {"provider": "compatible", "dialect": "chat", "model": "gpt-test", "path": "/v1"},
    "responses": {"provider": "compatible", "dialect": "responses", "model": "gpt-test", "path": "/v1"},
}
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def says(asked: str, text: str = STORY, **more: Any) -> dict[str, Any]:
    """A fixture: whoever asks this is told that."""
    return {"match": {"userMessage": asked}, "response": {"content": text}, **more}


def define(house: House, dialect: str, url: str, name: str = "", **more: Any) -> str:
    """Write models/NAME.toml for a server of that dialect; the name."""
    fields: dict[str, Any] = {"api_key": "sk-test-0123456789", **DIALECTS[dialect], **more}
    fields["base_url"] = url + fields.pop("path")
    folder = house.home.root / "models"
    folder.mkdir(parents=True, exist_ok=True)
    name = name or dialect
    (folder / f"{name}.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
    return name


def inhabited(house: House, dialect: str, url: str, **more: Any) -> House:
    """The house, running, with arya, who thinks with the server at `url`, and hears no inner voice behind what is matched."""
    house.agent("arya", model=define(house, dialect, url, **more), thymos={"on": False})
    house.start()
    return house


def one_agent_for_each_dialect(house: House, url: str, **more: Any) -> None:
    """The house, running, with agents called as their dialects are."""
    for dialect in DIALECTS:
        house.agent(dialect, model=define(house, dialect, url, **more))
    house.start()


def told_all(house: House, text: str, timeout_s: float = 30.0) -> dict[str, tuple[str, str]]:
    """Outcome and reason of one message to each of them, by agent."""
    before = len(house.events("--kind", "turn_ended"))
    for dialect in DIALECTS:
        house.send(dialect, text)

    def ended() -> list[dict[str, Any]]:
        new = house.events("--kind", "turn_ended")[before:]
        return new if len(new) == len(DIALECTS) else []

    turns = eventually(ended, "not all have come to an end", timeout_s, pause_s=0.2)
    return {each["agent"]: (each["data"]["outcome"], each["data"]["reason"]) for each in turns}


# -- a server that behaves ---------------------------------------------------------------------------------------------


@every_dialect
def test_an_answer_of_a_real_server_arrives_whole_and_is_counted(house: House, tmp_path: Path, dialect: str) -> None:
    usage = {"prompt_tokens": 70, "completion_tokens": 30, "input_tokens": 70, "output_tokens": 30}
    told = says("a story")
    told["response"]["usage"] = usage
    with Aimock(tmp_path, told, flags=("--strict",)) as server:
        inhabited(house, dialect, server.url)
        assert house.ask("arya", "tell me a story") == STORY
        (asked,) = server.requests()
        (called,) = house.events("--kind", "model_called")
        assert (called["data"]["tokens_in"], called["data"]["tokens_out"]) == (70, 30)
        texts = [each["content"] for each in asked["body"]["messages"]]
        assert "You are arya." in str(texts[0])
        assert str(texts).count("tell me a story") == 1


@every_dialect
def test_the_next_question_is_asked_with_what_was_said_before(house: House, tmp_path: Path, dialect: str) -> None:
    with Aimock(tmp_path, says("first", "one"), says("second", "two")) as server:
        inhabited(house, dialect, server.url)
        assert [house.ask("arya", "the first"), house.ask("arya", "the second")] == ["one", "two"]
        said = [(each["role"], each["content"]) for each in server.requests()[-1]["body"]["messages"]][1:]
    assert said == [("user", "the first"), ("assistant", "one"), ("user", "the second")]


@every_dialect
def test_a_call_of_a_tool_that_does_not_exist_is_answered_to_the_model_and_the_turn_goes_on(
    house: House, tmp_path: Path, dialect: str
) -> None:
    calls = [
        {"name": "levitate", "arguments": {"height": "3 m"}, "id": "call_1"},
        {"name": "vanish", "arguments": {}, "id": "call_2"},
    ]
    first = {"match": {"userMessage": "magic", "hasToolResult": False}, "response": {"toolCalls": calls}}
    then = {"match": {"userMessage": "magic", "hasToolResult": True}, "response": {"content": "I cannot do that."}}
    with Aimock(tmp_path, first, then) as server:
        inhabited(house, dialect, server.url)
        assert house.ask("arya", "do some magic") == "I cannot do that."
        asked = server.requests()[-1]["body"]["messages"]
    made = [each["function"]["name"] for message in asked for each in message.get("tool_calls") or ()]
    answers = [str(message["content"]) for message in asked if message["role"] == "tool"]
    assert made == ["levitate", "vanish"]
    assert [("levitate" in answers[0]), ("vanish" in answers[1])] == [True, True]
    stored = [each["data"]["tool"] for each in house.events("--kind", "tool_response")]
    assert stored == ["levitate", "vanish"]


def test_signed_thoughts_go_back_to_claude_with_the_answers_of_the_tools(house: House) -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "signed-by-claude"}
    call = {"type": "tool_use", "id": "t1", "name": "levitate", "input": {}}
    asked: list[dict[str, Any]] = []

    def answer(handler: Any) -> None:
        asked.append(json.loads(handler.body))
        claude(handler, *([thought, call] if len(asked) == 1 else [{"type": "text", "text": "No."}]))

    with odd_server(answer) as url:
        house.agent("arya", model=define(house, "claude", url), thinking_tokens_max=2_000, thymos={"on": False})
        house.start()
        assert house.ask("arya", "do some magic") == "No."
    assert [each["thinking"] for each in asked] == [{"type": "enabled", "budget_tokens": 2_000}] * 2
    assert asked[1]["messages"][1]["content"] == [thought, call]
    called = [each for each in house.events() if each["kind"] == "model_called"]
    assert called[0]["data"]["thoughts"][0]["signature"] == "signed-by-claude", "whoever takes the turn up needs it too"


def overheard(house: House, text: str) -> tuple[list[Whisper], Event]:
    """Say something to arya; the whispers of its turn, and its end."""

    async def go() -> tuple[list[Whisper], Event]:
        whispers = []
        async with connect(house.home) as bus, asyncio.timeout(60):
            said = event(UserMessage(text), agent="arya", session="main", source="cli")
            ear = bus.follow(agent="arya", since=0, whispers=True)
            listening = asyncio.ensure_future(anext(ear))
            await asyncio.sleep(0.5)  # the subscription has reached the journal
            await bus.append(said)
            seen = await listening
            while not (isinstance(seen, Event) and seen.kind == "turn_ended"):
                if isinstance(seen, Whisper):
                    whispers.append(seen)
                seen = await anext(ear)
            return whispers, seen

    return asyncio.run(go())


@every_dialect
def test_an_answer_is_whispered_while_it_comes_thoughts_apart(house: House, tmp_path: Path, dialect: str) -> None:
    told = says("story")
    told["response"]["reasoning"] = "an owl would be nice"
    with Aimock(tmp_path, told, flags=("--latency", "30", "--chunk-size", "8")) as server:
        inhabited(house, dialect, server.url)
        whispers, ended = overheard(house, "a story")
    texts = [each.text for each in whispers if each.what == "text"]
    assert ended.data["outcome"] == "answered"
    assert len(texts) > 5
    assert "".join(texts) == STORY
    assert "owl" not in "".join(texts)


# -- faults --------------------------------------------------------------------------------------------------------------


@every_dialect
def test_an_answer_cut_in_the_middle_is_asked_for_again_and_shown_once(house: House, tmp_path: Path, dialect: str) -> None:
    cut = {"match": {"userMessage": "story", "sequenceIndex": 0}, "response": {"content": STORY}, "truncateAfterChunks": 6}
    with Aimock(tmp_path, cut, says("story"), flags=("--latency", "30", "--chunk-size", "8")) as server:
        inhabited(house, dialect, server.url)
        whispers, ended = overheard(house, "a story")
        assert len(server.requests()) == 2
    assert ended.data["outcome"] == "answered"
    assert "".join(each.text for each in whispers if each.what == "text") == STORY, "the second sample goes on with the first"
    assert [each["data"]["text"] for each in house.events("--kind", "agent_message")] == [STORY]


@every_dialect
def test_through_drops_limits_garbage_and_cut_lines_each_message_comes_to_one_end(
    house: House, tmp_path: Path, dialect: str
) -> None:
    flags = [f"--chaos-{fault}" for fault in ("drop", "malformed", "disconnect", "ratelimit")]
    with Aimock(tmp_path, says("story"), flags=tuple(word for flag in flags for word in (flag, "0.1"))) as server:
        inhabited(house, dialect, server.url)
        for number in range(10):
            house.send("arya", f"story {number}", session=f"s{number % 5}")
        ledger = house.until_answered(10, timeout_s=120)
        faults = [each for each in server.requests() if each["response"]["status"] != 200 or "chaosAction" in each["response"]]
    assert (ledger["lost"], ledger["doubled"]) == (0, 0)
    assert ledger["answered"] == 10, house.events("--kind", "turn_ended")
    assert faults, "nothing went wrong, so nothing was tried"
    assert [each["data"]["text"] for each in house.events("--kind", "agent_message")] == [STORY] * 10


@pytest.mark.parametrize("fault", ["drop", "malformed", "disconnect", "ratelimit"])
def test_a_server_that_never_recovers_is_given_up_in_one_sentence(house: House, tmp_path: Path, fault: str) -> None:
    with Aimock(tmp_path, says("story"), flags=(f"--chaos-{fault}", "1.0")) as server:
        one_agent_for_each_dialect(house, server.url, retry_s=2.0)
        one_sentence(house.ctl("ask", "claude", "a story"), "gave up after", "ask again")
        for dialect, (outcome, reason) in told_all(house, "a story").items():
            assert outcome == "failed"
            assert re.fullmatch(r"[^\n]+ \(gave up after [^\n]+\); ask again [^\n]+", reason), (dialect, reason)
        server.chaos()
        assert {each[0] for each in told_all(house, "a story").values()} == {"answered"}, "it is well again, and so are they"
    assert house.audit()["lost"] == 0


def test_an_agent_killed_while_the_answer_comes_asks_again_and_answers_once(house: House, tmp_path: Path) -> None:
    with Aimock(tmp_path, says("story"), flags=("--latency", "150", "--chunk-size", "8")) as server:
        inhabited(house, "claude", server.url)
        house.send("arya", "a story")
        eventually(server.requests, "nobody asked")
        killed = house.kill("agent:arya")
        house.until_up("agent:arya", other_than=killed)
        assert house.until_answered(1)["answered"] == 1
    assert [each["data"]["text"] for each in house.events("--kind", "agent_message")] == [STORY]


def test_a_model_that_is_away_has_another_stand_in_for_it(house: House, tmp_path: Path) -> None:
    with Aimock(tmp_path, says("story")) as server:
        define(house, "claude", server.url, name="second")
        house.agent("arya", model=define(house, "chat", "http://127.0.0.1:9", name="first", retry_s=1.0), fallbacks=["second"])
        house.start()
        assert house.ask("arya", "a story") == STORY
    (called,) = house.events("--kind", "model_called")
    assert called["data"]["model"] == "anthropic:claude-test", "the journal says who answered"


# -- what is no model, or a bad one ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page, r"text/html .*base_url"),
        (nothing_here, r"404"),
        (wrong_key, r"refused the key .*correct"),
        (ten_megabytes, r"grew beyond 900 KiB .*ask for less"),
        (endless, r"had no end after 2 s .*ask for less"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_server_that_is_no_model_or_a_bad_one_is_told_in_one_sentence(
    house: House, answer: Callable[..., None], words: str
) -> None:
    with odd_server(answer) as url:
        one_agent_for_each_dialect(house, url, answer_timeout_s=2.0)
        for dialect, (outcome, reason) in told_all(house, "hello").items():
            assert outcome == "failed"
            assert re.search(words, reason), (dialect, reason)
            assert "\n" not in reason
            assert "Traceback" not in house.log(f"agent:{dialect}")
    ledger = house.audit()
    assert (ledger["failed"], ledger["lost"], ledger["doubled"]) == (3, 0, 0)


def test_a_certificate_nobody_vouches_for_is_told_in_one_sentence_at_once(house: House, tmp_path: Path) -> None:
    with odd_server(page, self_signed(tmp_path)) as url:
        one_agent_for_each_dialect(house, url)  # with the patience of two minutes
        for outcome, reason in told_all(house, "hello", timeout_s=60).values():
            assert outcome == "failed"
            assert re.fullmatch(f"the certificate of {url}[^ ]* cannot be verified; [^\n]+", reason)


def test_a_model_that_stays_silent_meets_the_deadline_of_the_turn(house: House) -> None:
    with odd_server(lambda _: time.sleep(30)) as url:
        house.agent("arya", model=define(house, "claude", url), turn_timeout_s=2.0)
        house.start()
        one_sentence(house.ctl("ask", "arya", "hello"), "longer than 2 s")
