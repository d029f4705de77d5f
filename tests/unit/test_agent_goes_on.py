"""Answers cut in the middle, conversations too long for the model, and what the journal remembers of how tokens are counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from anima.agent.folder import Folder
from anima.agent.life import Life
from anima.agent.steps import GO_ON
from anima.agent.thinker import Thinker
from anima.agent.turn import PIECES_MAX
from anima.bus.loopback import Loopback
from anima.config.schema import House
from anima.errors import Refused
from anima.nous.model import Delta, Done, Overflow, Request, Text
from anima.nous.tokens import estimate_request
from anima.paths import Home
from anima.wire.events import AgentMessage, ModelCalled, TurnEnded, UserMessage, event

Reply = tuple[str, str] | Exception


class Plays:
    """A model that says one thing after the other, the last one for ever."""

    name = "scripted:plays"

    def __init__(self, replies: list[Reply], factor: float = 1.0) -> None:
        self.replies = replies
        self.factor = factor  #: its tokens to estimated ones
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
        self.requests.append(request)
        if isinstance(reply, Exception):
            raise reply
        text, reason = reply
        yield Text(text)
        yield Done(reason, int(estimate_request(request) * self.factor), 5)

    async def close(self) -> None:
        """Nothing to let go of."""


class Arya:
    """An agent with such a model."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root, root / "run")
        self.bus = Loopback()
        folder = self.home.agent("arya")
        folder.mkdir(parents=True)
        folder.joinpath("persona.md").write_text("You are Arya.")
        folder.joinpath("agent.toml").write_text('model = "scripted:x"\nturn_steps_max = 40\n')

    @asynccontextmanager
    async def living(self, *replies: Reply, factor: float = 1.0) -> AsyncIterator[tuple[Plays, Life]]:
        stop, model = asyncio.Event(), Plays(list(replies), factor)
        async with Thinker(Folder.read(self.home, "arya"), House()) as thinker:
            thinker._model = model
            life = Life(Folder.read(self.home, "arya"), self.bus, thinker, lambda _: None)
            await life.remember()
            task = asyncio.create_task(life.until(stop))
            try:
                yield model, life
            finally:
                stop.set()
                await asyncio.wait([task])
                task.exception()  # of a model that plays a bug

    async def hears(self, text: str) -> tuple[TurnEnded, str]:
        """Say something and wait for the end; returns it with the answer."""
        said = event(UserMessage(text), agent="arya", session="main", source="cli")
        await self.bus.append(said)
        async with asyncio.timeout(10):
            while True:
                bodies = [each.body for each in self.bus.events if each.data.get("turn") == said.id]
                for end in bodies:
                    if isinstance(end, TurnEnded):
                        return end, "".join(each.text for each in bodies if isinstance(each, AgentMessage))
                await asyncio.sleep(0.005)

    def calls(self) -> list[ModelCalled]:
        return [body for each in self.bus.events if isinstance(body := each.body, ModelCalled)]


@pytest.fixture
def arya(tmp_path: Path) -> Arya:
    return Arya(tmp_path)


async def test_a_cut_answer_goes_on_and_is_one_answer(arya: Arya) -> None:
    async with arya.living(("Once upon", "max_tokens"), (" a time there", "max_tokens"), (" was.", "end_turn")) as (model, _):
        end, text = await arya.hears("tell")
        assert (end.outcome, end.steps, text) == ("answered", 3, "Once upon a time there was.")
        await arya.hears("more")
    assert [each.text for each in model.requests[2].messages] == ["tell", "Once upon", GO_ON, " a time there", GO_ON]
    assert [each.text for each in model.requests[3].messages] == ["tell", text, "more"], "the whole stands for its pieces"


async def test_an_answer_that_never_ends_is_given_as_far_as_it_came(arya: Arya) -> None:
    async with arya.living(("la ", "max_tokens")):
        end, text = await arya.hears("sing")
    assert (end.outcome, text) == ("answered", "la " * (PIECES_MAX + 1))


async def test_a_cut_answer_survives_the_death_of_the_process(arya: Arya) -> None:
    async with arya.living(("Once ", "max_tokens"), RuntimeError("a bug")):
        said = event(UserMessage("tell"), agent="arya", session="main", source="cli")
        await arya.bus.append(said)
        async with asyncio.timeout(10):
            while not arya.calls():
                await asyncio.sleep(0.005)
    async with arya.living(("more", "end_turn")):
        async with asyncio.timeout(10):
            while not (told := [body for each in arya.bus.events if isinstance(body := each.body, AgentMessage)]):
                await asyncio.sleep(0.005)
    assert [each.text for each in told] == ["Once more"]


async def test_a_model_that_only_thought_until_the_limit_has_not_answered(arya: Arya) -> None:
    async with arya.living((" ", "max_tokens")):
        end, _ = await arya.hears("tell")
    assert end.outcome == "failed"
    assert "answer_tokens_max" in end.reason


async def test_a_conversation_too_long_for_the_model_is_shown_in_a_smaller_window_once(arya: Arya) -> None:
    long = "word " * 4_000
    fine: Reply = ("fine", "end_turn")
    async with arya.living(*[fine] * 5, Overflow("too long"), fine) as (model, _):
        for _ in range(6):
            end, _ = await arya.hears(long)
            assert end.outcome == "answered"
        before, after = model.requests[5:7]
        assert estimate_request(after) < estimate_request(before)
        assert after.messages[-1].text == long


async def test_a_message_too_long_for_any_window_fails_with_the_model_s_sentence(arya: Arya) -> None:
    async with arya.living(Overflow("the conversation is longer than the window of x")) as (model, _):
        end, _ = await arya.hears("word " * 4_000)
    assert end.outcome == "failed"
    assert "longer than the window" in end.reason
    assert len(model.requests) == 2


async def test_a_refusal_is_no_reason_to_shrink_the_window(arya: Arya) -> None:
    async with arya.living(Refused("no")) as (model, _):
        end, _ = await arya.hears("hi")
    assert end.outcome == "failed"
    assert len(model.requests) == 1


async def test_reported_usage_corrects_the_estimate_and_the_journal_remembers(arya: Arya) -> None:
    async with arya.living(("fine", "end_turn"), factor=0.5) as (_, life):
        for _ in range(4):
            await arya.hears("hi")
        told = await life.viewport({"session": "main"})
    assert told["estimate"]["replies"] == 4
    assert told["estimate"]["factor"] == pytest.approx(0.5, abs=0.05)
    async with arya.living(("fine", "end_turn")) as (_, life):
        again = await life.viewport({"session": "main"})
    assert again["estimate"] == told["estimate"]
    assert [each["text"] for each in again["shown"]] == ["hi", "fine"] * 4


async def test_the_estimate_of_a_request_is_what_the_request_weighs(arya: Arya) -> None:
    async with arya.living(("fine", "end_turn")) as (model, _):
        for text in ("hi", "and now? " * 100):
            await arya.hears(text)
    for called, request in zip(arya.calls(), model.requests, strict=True):
        assert called.tokens_estimated == pytest.approx(estimate_request(request), abs=3)
        assert len(called.layout) == 5
