"""What an agent feels reaches its model as a fact, and never holds a turn up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from anima.agent.senses import Felt, Remembered, Senses, latest, minded
from anima.bus.loopback import Loopback
from anima.config.feelings import Thymos
from anima.config.schema import Agent
from anima.errors import Unavailable
from anima.wire.events import BroughtToMind, event
from anima.wire.feelings import SHARES, bounded
from tests.unit.test_agent_ends import Arya

VOICE = ["voice", "inner_voice", "I keep hitting walls. What am I missing?"]


class Mood:
    """A thymos that says what it is told to say."""

    def __init__(self, *inserts: list[str], **shares: Any) -> None:
        self.told: Any = {"inserts": list(inserts), "shares": shares}
        self.asked = 0
        self.slow_s = 0.0

    async def feel(self, _: dict[str, Any]) -> Any:
        self.asked += 1
        await asyncio.sleep(self.slow_s)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


@pytest.fixture
def bus() -> Loopback:
    return Loopback()


@pytest.fixture
def arya(tmp_path: Path) -> Arya:
    return Arya(tmp_path)


async def test_words_and_means_come_to_mind_and_stay_as_long_as_nothing_changes(bus: Loopback) -> None:
    mood = Mood(VOICE, thinking=1.6)
    await bus.serve("thymos", {"feel": mood.feel})
    senses = Senses(bus, "arya", Agent(thinking_tokens_max=1000, answer_tokens_max=8000))
    first = await senses.at("t", 1, None)
    assert first == BroughtToMind("t", 1, [VOICE], 1600, 50)
    assert await senses.at("t", 2, first) is first
    mood.told = {"inserts": [VOICE], "shares": {"thinking": 1.7}}
    assert await senses.at("t", 2, first) is first, "a little more frustration within a band must not cost the provider's cache"
    mood.told = {"inserts": [], "shares": {"thinking": 1.0}}
    assert await senses.at("t", 3, first) == BroughtToMind("t", 3, [], 1000, 50)


async def test_who_feels_nothing_has_nothing_in_mind(bus: Loopback) -> None:
    await bus.serve("thymos", {"feel": Mood().feel})
    assert await Senses(bus, "arya", Agent()).at("t", 1, None) is None
    deaf = Senses(bus, "arya", Agent(thymos=Thymos(on=False)))
    await bus.serve("thymos", {"feel": Mood(VOICE).feel})
    assert await deaf.at("t", 1, None) is None


@pytest.mark.parametrize("wrong", [None, [], {"inserts": 3, "shares": {}}, {"inserts": [["voice"]]}, Unavailable("away")])
async def test_a_thymos_that_talks_nonsense_or_is_away_leaves_the_last_words(bus: Loopback, wrong: Any) -> None:
    mood = Mood(VOICE)
    await bus.serve("thymos", {"feel": mood.feel})
    senses = Senses(bus, "arya", Agent())
    first = await senses.at("t", 1, None)
    mood.told = wrong
    assert await senses.at("t", 2, first) is first
    asked = mood.asked
    assert (await senses.at("u", 1, None)) == BroughtToMind("u", 1, [VOICE], 0, 50)
    assert mood.asked == asked, "it is left alone for a while"


class Deaf(Loopback):
    """A bus on which nobody answers in time."""

    async def ask(self, server: str, verb: str, timeout_s: float | None = None, /, **arguments: Any) -> Any:
        assert timeout_s == pytest.approx(0.05)
        raise Unavailable(f"{server} did not answer to {verb} {arguments}")


async def test_an_agent_born_anew_while_thymos_is_away_remembers_the_words_of_the_life_before() -> None:
    bus = Deaf()
    said = BroughtToMind("t", 1, [VOICE, ["recalled", "memory", "a sea"]], 0, 50)
    await bus.append(event(said, agent="arya", session="main", source="agent:arya"))
    assert await Senses(bus, "arya", Agent()).at("u", 1, None) == BroughtToMind("u", 1, [VOICE], 0, 50)


async def test_a_turn_shows_its_model_what_it_feels_as_a_fact_stored_before(arya: Arya) -> None:
    arya.plays({"text": "hello"})
    await arya.bus.serve("thymos", {"feel": Mood(VOICE).feel})
    async with arya.living():
        said = await arya.hears("hi")
        await arya.ends()
    kinds = [each.kind for each in arya.bus.events]
    assert kinds.index("brought_to_mind") + 1 == kinds.index("budget_reserved")
    (fact,) = [each.body for each in arya.bus.events if isinstance(each.body, BroughtToMind)]
    assert fact == BroughtToMind(said.id, 1, [VOICE], 0, 50)


async def test_a_turn_that_is_taken_up_again_is_shown_what_it_was_shown(arya: Arya) -> None:
    arya.plays({"text": "hello", "delay_s": 30})
    mood = Mood(VOICE)
    await arya.bus.serve("thymos", {"feel": mood.feel})
    async with arya.living() as life:
        await arya.hears("hi")
        await arya.until("budget_reserved")
        life.cancel()
    arya.plays({"text": "hello"})
    mood.told = {"inserts": [["voice", "inner_voice", "other words"]], "shares": {}}
    async with arya.living():
        (end,) = await arya.ends()
    assert end.outcome == "answered"
    assert [each.body.inserts for each in arya.bus.events if isinstance(each.body, BroughtToMind)] == [[VOICE]]


async def test_what_was_in_mind_at_a_step_is_what_was_stored_last_up_to_it() -> None:
    bodies = [BroughtToMind("t", step, []) for step in (1, 3)]
    assert [latest(bodies, step) for step in (1, 2, 3, 9)] == [bodies[0], bodies[0], bodies[1], bodies[1]]
    assert latest(bodies, 0) is None
    assert await Remembered(bodies).at("t", 2, None) == bodies[0]


def test_no_share_whatever_it_says_widens_what_is_configured() -> None:
    for value in (-5.0, 0.0, 1.0, 99.0, float("nan"), float("inf"), "much", None, True):
        shares = dict.fromkeys((*SHARES, "approve", "budget"), value)
        settings = Agent(
            thinking_tokens_max=4000, answer_tokens_max=5000, turn_steps_max=10, thymos=Thymos(steps=True, tier=True)
        )
        mind = minded("t", 1, Felt((), shares), settings, "fast")
        assert mind.thinking_tokens_max <= max(4000, 3750)
        assert 5 <= mind.steps_max <= 10
        assert mind.model in ("", "fast")
        assert 0.5 <= mind.recall_share <= 1.5
        assert set(bounded(shares)) == set(SHARES)


def test_each_mean_has_its_own_switch() -> None:
    shares = {"thinking": 2.0, "steps": 0.5, "tier": 0.5, "recall": 0.5}
    usual = Agent(thinking_tokens_max=1000, turn_steps_max=10)
    none = Thymos(thinking=False, recall=False)
    still = minded("t", 1, Felt((), shares), Agent(thinking_tokens_max=1000, turn_steps_max=10, thymos=none), "fast")
    assert still == BroughtToMind("t", 1, [], 1000, 10)
    assert minded("t", 1, Felt((), shares), usual, "fast") == BroughtToMind("t", 1, [], 2000, 10, "", 0.5)
    moved = Agent(
        thinking_tokens_max=1000, turn_steps_max=10, thymos=Thymos(thinking=False, recall=False, steps=True, tier=True)
    )
    assert minded("t", 1, Felt((), shares), moved, "fast") == BroughtToMind("t", 1, [], 1000, 5, "fast")
