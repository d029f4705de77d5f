"""Feelings as a fold over events: the numbers of the worked example, and what must hold for any life."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import BadMessage
from anima.thymos.appraise import appraise
from anima.thymos.decay import decayed, halved
from anima.thymos.glands import COUPLINGS, REACTIONS
from anima.thymos.heart import ANSWER_S, SILENCE_S, Heart, Temper, at, beat, pack, unpack
from anima.thymos.levels import after, moved
from anima.wire.events import (
    AgentMessage,
    Body,
    Event,
    ProcessEnded,
    ProcessReady,
    SoulChanged,
    Stimulus,
    ToolCall,
    ToolResponse,
    TurnEnded,
    UserMessage,
    event,
)
from anima.wire.feelings import GAIN_MAX, GLANDS, HORMONES, LEVEL_MAX, STIMULI, read_gains, write_gains

PLACE = {name: place for place, name in enumerate(HORMONES)}
TEMPER = Temper(appraise=appraise)
level = st.floats(0, LEVEL_MAX)
levels = st.tuples(*[level] * len(HORMONES))


def fact(body: Body, ts: float, seq: int = 1, session: str = "main") -> Event:
    return replace(event(body, agent="arya", source="test", session=session), ts=ts, seq=seq)


def failure() -> ToolResponse:
    return ToolResponse("t", "c", "exec", ok=False, text="no", outcome="failed")


def lived(*facts: Event) -> Heart:
    heart = Heart()
    for each in facts:
        beat(heart, each, TEMPER)
    return heart


def felt(heart: Heart, hormone: str) -> float:
    return heart.levels[PLACE[hormone]]


def test_three_failures_make_the_frustration_of_the_worked_example() -> None:
    heart = lived(*(fact(failure(), 1_000.0 + 10 * n) for n in range(3)))
    assert round(felt(heart, "frustration"), 1) == 29.9
    assert round(felt(at(heart, 1_020.0 + 1_800, TEMPER), "frustration"), 1) == 14.9  # a half-life later


@given(st.floats(0, 2_000))
def test_halving_is_right_to_the_last_places_and_never_grows(times: float) -> None:
    assert math.isclose(halved(times), 2.0**-times, rel_tol=1e-15, abs_tol=5e-324)
    assert 0 <= halved(times) <= 1


@given(levels, st.sampled_from(STIMULI), st.floats(0.01, 10), st.floats(0, GAIN_MAX))
def test_no_stimulus_drives_a_level_out_of_its_range_from_anywhere_in_the_cube(
    start: tuple[float, ...], stimulus: str, strength: float, gain: float
) -> None:
    gains = {stimulus: (gain,) * len(HORMONES)}
    end = moved(start, stimulus, strength, gains)
    assert all(0 <= each <= LEVEL_MAX for each in end)


@given(levels, st.sampled_from(STIMULI), st.floats(0.01, 10))
def test_couplings_only_ever_make_a_rise_smaller(start: tuple[float, ...], stimulus: str, strength: float) -> None:
    for place, (before, now) in enumerate(zip(start, moved(start, stimulus, strength, {}), strict=True)):
        alone = REACTIONS[stimulus].get(HORMONES[place], 0.0) * strength
        assert abs(now - before) <= abs(alone) + 1e-9
        assert (now - before) * alone >= 0


def test_every_coupling_is_a_share_and_every_gland_rests_within_range() -> None:
    assert all(0 <= share <= 1 and source != target for source, target, share in COUPLINGS)
    assert set(GLANDS) == set(HORMONES)
    assert all(0 <= gland.baseline <= LEVEL_MAX and gland.half_life_s > 0 for gland in GLANDS.values())
    assert set(REACTIONS) == set(STIMULI)


@given(levels, st.floats(0, 1e7), st.floats(0, 1e7))
def test_decay_in_two_steps_is_decay_in_one(start: tuple[float, ...], first: float, second: float) -> None:
    once, twice = after(start, first + second), after(after(start, first), second)
    assert all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(once, twice, strict=True))


def test_a_clock_that_goes_back_is_no_time_at_all() -> None:
    assert decayed(50.0, 10.0, 60.0, -5.0) == 50.0
    heart = lived(fact(failure(), 1_000.0), fact(failure(), 900.0))
    assert heart.ts == 1_000.0
    assert felt(heart, "frustration") == 20.0


BODIES: list[Body] = [
    failure(),
    ToolResponse("t", "c", "exec", ok=True, text="yes", outcome="done"),
    ToolCall("t", 1, "c", "exec", {"command": "ls"}),
    UserMessage("well done, thank you!"),
    UserMessage("that is wrong"),
    AgentMessage("Shall I go on?"),
    TurnEnded("t", 1, "answered", steps=3),
    TurnEnded("t", 1, "failed"),
    ProcessEnded("agent:arya", 1, 1, -1, 9, "signal", "killed", 3.0),
    ProcessReady("agent:arya", 2, 2, 0.1),
    Stimulus("novelty", 2.0),
    SoulChanged({"tool_failed": {"frustration": 0.5}}, "test"),
]
life = st.lists(st.tuples(st.integers(0, len(BODIES) - 1), st.floats(0, 2 * SILENCE_S)), max_size=30)


@given(life, st.integers(0, 30))
def test_a_heart_that_was_killed_and_read_back_feels_the_same_to_the_bit(story: list[tuple[int, float]], killed: int) -> None:
    ts, facts = 1_000.0, []
    for seq, (which, gap) in enumerate(story, 1):
        ts += gap
        facts.append(fact(BODIES[which], ts, seq))
    whole, cut = lived(*facts), Heart()
    for each in facts[:killed]:
        beat(cut, each, TEMPER)
    cut = unpack(pack(cut))
    for each in facts[killed:]:
        beat(cut, each, TEMPER)
    assert pack(cut) == pack(whole)
    assert all(0 <= each <= LEVEL_MAX for each in whole.levels)


@given(life, st.floats(0, 10 * SILENCE_S))
def test_asking_how_it_feels_changes_nothing(story: list[tuple[int, float]], later: float) -> None:
    ts, asked, silent = 1_000.0, Heart(), Heart()
    for which, gap in story:
        at(asked, ts + gap / 2, TEMPER)
        ts += gap
        beat(asked, fact(BODIES[which], ts), TEMPER)
        beat(silent, fact(BODIES[which], ts), TEMPER)
    at(asked, ts + later, TEMPER)
    assert pack(asked) == pack(silent)


def test_silence_is_felt_when_it_was_due_whoever_looks_and_whenever() -> None:
    heart = lived(fact(UserMessage("hello"), 1_000.0))
    just_before, just_after = (at(heart, 1_000.0 + SILENCE_S + d, TEMPER) for d in (-1.0, 1.0))
    assert felt(just_after, "oxytocin") < felt(just_before, "oxytocin") - 7
    assert just_after.silences == 1
    assert at(heart, 1_000.0 + 1_000 * SILENCE_S, TEMPER).silences == 5


def test_a_question_of_its_own_that_nobody_answers_is_felt_and_an_answer_ends_it() -> None:
    asked = lived(fact(UserMessage("hi"), 1_000.0), fact(AgentMessage("What shall I do?"), 1_001.0))
    assert felt(at(asked, 1_002.0 + ANSWER_S, TEMPER), "cortisol") > GLANDS["cortisol"].baseline + 2
    answered = lived(
        fact(UserMessage("hi"), 1_000.0), fact(AgentMessage("What shall I do?"), 1_001.0), fact(UserMessage("this"), 1_100.0)
    )
    assert not answered.asked


def test_the_same_call_again_and_again_is_tedious() -> None:
    calls = [fact(ToolCall("t", 1, f"c{n}", "exec", {"command": "ls"}), 1_000.0 + n) for n in range(4)]
    moves = [move.stimulus for each in calls for move in beat(heart, each, TEMPER)] if (heart := Heart()) else []
    assert moves == ["repetition", "repetition"]


def test_a_crash_and_the_return_are_felt_and_a_stop_is_not() -> None:
    heart = Heart()
    ended = ProcessEnded("agent:arya", 1, 1, -1, 9, "signal", "killed", 3.0)
    stopped = ProcessEnded("agent:arya", 1, 1, 0, 0, "stop", "asked to", 3.0)
    ready = ProcessReady("agent:arya", 2, 2, 0.1)
    seen = [[m.stimulus for m in beat(heart, fact(body, 1_000.0), TEMPER)] for body in (stopped, ready, ended, ready)]
    assert seen == [[], [], ["crash"], ["return"]]


def test_contradictory_feelings_coexist() -> None:
    heart = lived(*(fact(Stimulus(name, 5.0), 1_000.0 + n) for n, name in enumerate(("threat", "goal_reached"))))
    assert felt(heart, "cortisol") > 60
    assert felt(heart, "dopamine") > 60


def test_two_souls_live_through_the_same_day_and_come_out_different() -> None:
    anxious = fact(SoulChanged({"tool_failed": {"cortisol": 3.0, "frustration": 2.0}}, "born so"), 999.0)
    day = [fact(failure(), 1_000.0 + 60 * n) for n in range(5)]
    calm, tense = lived(*day), lived(anxious, *day)
    assert felt(tense, "cortisol") > felt(calm, "cortisol") + 10
    assert lived(anxious, *day).levels == tense.levels


@pytest.mark.parametrize(
    "bad",
    [
        {"tool_burned": {}},
        {"tool_failed": {"adrenaline": 1.0}},
        {"tool_failed": {"cortisol": float("nan")}},
        {"tool_failed": {"cortisol": -0.1}},
        {"tool_failed": {"cortisol": 3.1}},
        {"tool_failed": {"cortisol": True}},
        {"tool_failed": 1.0},
    ],
)
def test_a_matrix_that_is_none_is_refused_by_name_and_changes_nothing(bad: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        read_gains(bad)
    heart = lived(fact(failure(), 1_000.0))
    before = pack(heart)
    with pytest.raises(BadMessage):
        beat(heart, fact(SoulChanged(bad, "broken"), 2_000.0), TEMPER)
    assert pack(heart) == before


@pytest.mark.parametrize(("name", "strength"), [("burned", 1.0), ("threat", math.nan), ("threat", 0.0), ("threat", 11.0)])
def test_a_stimulus_that_is_none_is_refused(name: str, strength: float) -> None:
    with pytest.raises(BadMessage):
        beat(Heart(), fact(Stimulus(name, strength), 1_000.0), TEMPER)


def test_a_matrix_survives_being_written() -> None:
    gains = {"tool_failed": {"frustration": 0.5}, "threat": {"cortisol": 2.7, "dopamine": 0.0}}
    assert write_gains(read_gains(gains)) == gains


@pytest.mark.parametrize("body", [[], [1], "heart", None, [[1.0], 0, 0, 0, 0, 0, 0, 0, 0]])
def test_what_is_no_heart_is_refused(body: object) -> None:
    with pytest.raises(BadMessage):
        unpack(body)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "stimuli"),
    [
        ("Well done, thank you!", {"praise", "gratitude"}),
        ("that is not good", {"criticism"}),
        ("nicht schlecht", {"praise"}),
        ("you broke it, that's not what I asked", {"criticism"}),
        ("Vielen Dank, genau richtig", {"gratitude", "praise"}),
        ("I need it ASAP", {"deadline_near"}),
        ("please list the files", set()),
        ("", set()),
        ("\x00😀" * 5_000, set()),
    ],
)
def test_words_are_judged_by_the_lexicon(text: str, stimuli: set[str]) -> None:
    found = appraise(text)
    assert set(found) == stimuli
    assert all(0 < strength <= 2 for strength in found.values())
