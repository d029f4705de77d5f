"""An answer is looked at before it leaves: who sees what, what is stored, what a death in between costs, and the hooks."""

import asyncio
import importlib.metadata
import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_agent_calls import LS, ArmedHouse
from test_agent_replay import played

from anima.agent.hooks import GROUP, Hooks
from anima.agent.reflecting import opening, verdict
from anima.agent.thinker import Thinker
from anima.nous.model import Reply, Request
from anima.wire.events import AgentMessage, InterruptAsked, Reflected

GOOD = {"match": "^Before draft", "text": "GOOD"}


def sends_back(round_: int, reason: str = "too short") -> dict[str, object]:
    return {"match": f"^{opening(round_)}", "text": f"REVISE: {reason}"}


@pytest.fixture
def house(tmp_path: Path) -> ArmedHouse:
    return ArmedHouse(tmp_path)


def plays(house: ArmedHouse, *entries: dict[str, object], on: bool = True, **reflection: object) -> None:
    house.plays(*entries)
    file = house.home.agent("arya") / "agent.toml"
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in {"on": on, **reflection}.items()]
    file.write_text(file.read_text() + "[reflection]\n" + "".join(lines))


def verdicts(house: ArmedHouse) -> list[Reflected]:
    return [body for each in house.bus.events if isinstance(body := each.body, Reflected)]


def answers(house: ArmedHouse) -> list[str]:
    return [body.text for each in house.bus.events if isinstance(body := each.body, AgentMessage)]


def heard(house: ArmedHouse, what: str) -> str:
    return "".join(each.text for each in house.bus.whispers if each.what == what)


async def test_a_good_draft_leaves_as_it_is_and_costs_one_more_call(house: ArmedHouse) -> None:
    plays(house, {"text": "42"}, GOOD)
    async with house.living():
        await house.hears("six times seven?")
        (end,) = await house.ends()
    assert answers(house) == ["42"]
    assert end.steps == 1
    (only,) = verdicts(house)
    assert (only.verdict, only.draft, only.round, only.step) == ("good", "42", 1, 1)
    assert end.tokens_in > only.tokens_in > 0
    assert house.kinds().count("model_recorded") == 2


async def test_a_draft_sent_back_is_written_anew_and_nobody_hears_it(house: ArmedHouse) -> None:
    plays(house, {"text": "fourty"}, {"text": "It is 42."}, sends_back(1, "it is 42"), GOOD, revisions_max=2)
    async with house.living():
        await house.hears("six times seven?")
        (end,) = await house.ends()
    assert answers(house) == ["It is 42."]
    assert (end.steps, [each.verdict for each in verdicts(house)]) == (2, ["revise", "good"])
    assert verdicts(house)[0].draft == "fourty"
    assert heard(house, "text") == "", "a draft is nobody's to hear; the answer is told by its event"
    assert "fourty" in heard(house, "thinking")


async def test_after_so_many_revisions_the_answer_leaves_unasked(house: ArmedHouse) -> None:
    plays(house, {"text": "one"}, {"text": "two"}, sends_back(1), sends_back(2), revisions_max=1)
    async with house.living():
        await house.hears("say")
        await house.ends()
    assert answers(house) == ["two"]
    assert len(verdicts(house)) == 1


async def test_without_revisions_the_verdict_is_only_written_down(house: ArmedHouse) -> None:
    plays(house, {"text": "one"}, sends_back(1), revisions_max=0)
    async with house.living():
        await house.hears("say")
        await house.ends()
    assert answers(house) == ["one"]
    assert [each.verdict for each in verdicts(house)] == ["revise"]


async def test_it_is_off_unless_asked_for(house: ArmedHouse) -> None:
    house.plays({"text": "one"})
    async with house.living():
        await house.hears("say")
        await house.ends()
    assert not verdicts(house)
    assert heard(house, "text") == "one"


@pytest.mark.parametrize(
    ("judge", "found"),
    [
        ({"match": "^Before draft", "error": "overloaded"}, "failed"),
        ({"match": "^Before draft", "hang": True}, "failed"),
        ({"match": "^Before draft", "text": "Well, who knows"}, "unclear"),
        ({"match": "^Before draft", "calls": [LS]}, "unclear"),
    ],
)
async def test_without_a_verdict_the_draft_is_the_answer(house: ArmedHouse, judge: dict[str, object], found: str) -> None:
    plays(house, {"text": "one"}, judge, timeout_s=0.3)
    async with house.living():
        await house.hears("say")
        (end,) = await house.ends()
    assert (end.outcome, answers(house)) == ("answered", ["one"])
    assert [each.verdict for each in verdicts(house)] == [found]
    assert "tool_call" not in house.kinds()


@pytest.mark.parametrize("died_at", ["turn_started", "model_called", "reflected"])
async def test_a_verdict_that_is_stored_is_not_asked_for_again(house: ArmedHouse, died_at: str) -> None:
    plays(house, {"text": "one"}, {"text": "two", "delay_s": 0.05}, sends_back(1), GOOD, revisions_max=1)
    async with house.killed_when(died_at):
        await house.hears("say")
    async with house.living():
        await house.ends()
    assert answers(house) == ["two"]
    assert [(each.round, each.verdict) for each in verdicts(house)] == [(1, "revise")]
    assert house.kinds().count("turn_ended") == 1


async def test_an_interrupted_draft_is_not_shown(house: ArmedHouse) -> None:
    plays(house, {"text": "half a thought and more", "delay_s": 0.1}, GOOD)
    async with house.living():
        said = await house.hears("say")
        await asyncio.sleep(0.15)
        await house.says(InterruptAsked(), said)
        (end,) = await house.ends()
    assert end.outcome == "interrupted"
    assert answers(house) == []


async def test_the_question_about_a_draft_stands_behind_the_very_request_that_brought_it(
    house: ArmedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Request] = []
    stream = Thinker._stream

    def spied(self: Thinker, model: Any, request: Request, *more: Any) -> Any:
        requests.append(request)
        return stream(self, model, request, *more)

    monkeypatch.setattr(Thinker, "_stream", spied)
    plays(house, {"text": "one"}, GOOD, look_at="manners")
    async with house.living():
        await house.hears("say")
        await house.ends()
    thought, judged = requests
    assert (thought.system, thought.tools) == (judged.system, judged.tools)
    assert judged.messages[: len(thought.messages)] == thought.messages
    assert len(judged.messages) == len(thought.messages) + 2
    assert "manners" in judged.messages[-1].text


async def test_a_reflected_turn_is_replayed_with_its_verdicts(house: ArmedHouse) -> None:
    plays(house, {"text": "one"}, {"text": "two"}, sends_back(1), GOOD, revisions_max=2)
    async with house.living():
        said = await house.hears("say")
        await house.ends()
    _, *steps, end = await played(house, said)
    assert [(step["step"], step["round"], step["same"]) for step in steps] == [
        (1, 0, True),
        (1, 1, True),
        (2, 0, True),
        (2, 2, True),
    ]
    assert end["answer"] == "two"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("GOOD", ("good", "")),
        ("**Good.**", ("good", "")),
        ("good: yes", ("good", "")),
        ("REVISE: too long\nreally", ("revise", "too long\nreally")),
        ("Revise: ", ("unclear", "Revise:")),
        ("", ("unclear", "nothing was said")),
        ("I would say it is good", ("unclear", "I would say it is good")),
    ],
)
def test_a_verdict_is_understood_or_called_unclear(said: str, found: tuple[str, str]) -> None:
    assert verdict(said) == found


# -- hooks -----------------------------------------------------------------------------------------------------------------


class Point:
    """An entry point that needs no package."""

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.value, self._function = name, f"tests:{name}", function

    def load(self) -> Any:
        if isinstance(self._function, Exception):
            raise self._function
        return self._function


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[Point]:
    points: list[Point] = []
    real = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **by: points if by.get("group") == GROUP else real(**by))
    return points


async def test_hooks_see_and_change_what_goes_in_and_out(house: ArmedHouse, installed: list[Point]) -> None:
    seen: list[Any] = []

    def polite(request: Request) -> Request:
        return replace(request, system=f"{request.system}\nBe polite.")

    def heard_by(request: Request, reply: Reply) -> None:
        seen.append((request.system.endswith("Be polite."), reply.text))

    installed += [
        Point("before_model", polite),
        Point("ear.after_model", heard_by),
        Point("before_answer", lambda text, about: f"{text}, {about['agent']} says"),
        Point("after_turn", lambda about: seen.append(about["answer"])),
    ]
    house.plays({"text": "hello"})
    async with house.living():
        said = await house.hears("hi")
        await house.ends()
    assert answers(house) == ["hello, arya says"]
    assert seen == [(True, "hello"), "hello, arya says"]
    _, step, end = await played(house, said)
    assert step["same"] is False
    assert "the hooks before_model changed it" in step["departs"][-1]
    assert (end["answer"], len(seen)) == ("hello", 2), "a replay calls no hook"


async def test_a_hook_that_raises_blocks_lies_or_cannot_be_loaded_is_left_out(
    house: ArmedHouse, installed: list[Point], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Hooks.__init__, "__defaults__", (0.1,))
    release = threading.Event()

    def bug(_: Any) -> None:
        raise ValueError("a bug")

    installed += [
        Point("a.before_model", bug),
        Point("b.before_model", lambda _: release.wait(10)),
        Point("c.before_model", lambda _: "no request"),
        Point("d.before_model", ImportError("no such package")),
        Point("e.before_lunch", bug),
        Point("after_turn", lambda _: sys.exit(3)),
    ]
    house.plays({"text": "hello"})
    begun = time.monotonic()
    async with house.living():
        await house.hears("hi")
        await house.hears("hi again")
        await house.ends(2)
    release.set()
    assert answers(house) == ["hello", "hello"]
    assert time.monotonic() - begun < 5
    told = caplog.text
    for words in (
        "a.before_model failed",
        "b.before_model took longer",
        "c.before_model returned",
        "d.before_model (",
        "end in",
    ):
        assert words in told
    assert told.count("b.before_model took longer") == 1, "one that blocks is not called again"


async def test_an_empty_list_means_no_hooks(installed: list[Point]) -> None:
    installed.append(Point("before_answer", lambda text, _: text + "!"))
    assert await Hooks(()).before_answer("a", {}) == "a"
    assert await Hooks(("after_*",)).before_answer("a", {}) == "a"
    assert await Hooks(("before_*",)).before_answer("a", {}) == "a!"
