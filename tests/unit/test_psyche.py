"""A soul that grows: the spider that became an entomologist, what praise and blame do, and what must never happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import Refused
from anima.psyche.archetypes import archetype, archetypes, seeded
from anima.psyche.growth import DRIFT_HALF_LIFE_S, HABIT_RATE, HARM, REWARDS, Growth, live, set_soul, untold
from anima.thymos.decay import halved
from anima.wire.feelings import GAIN_MAX, HORMONES, NEUTRAL, STIMULI

PLACE = {name: place for place, name in enumerate(HORMONES)}
DAY_S = 86_400.0
NOTHING = (0.0,) * len(HORMONES)


def moved(**named: float) -> tuple[float, ...]:
    return tuple(named.get(name, 0.0) for name in HORMONES)


def gain(growth: Growth, stimulus: str, hormone: str) -> float:
    return growth.gains.get(stimulus, NEUTRAL)[PLACE[hormone]]


def anxious() -> Growth:
    growth = Growth()
    set_soul(growth, archetype("anxious"))
    return growth


def test_whoever_feared_spiders_and_was_never_harmed_becomes_an_entomologist() -> None:
    """Mission: fear gain 0.9 -> 0.2, curiosity gain 0.1 -> 0.7; on our scale of 3 that is 2.7 -> 0.6 and 0.3 -> 2.1."""
    growth = anxious()
    assert (gain(growth, "threat", "cortisol"), gain(growth, "threat", "dopamine")) == (2.7, 0.3)
    for day in range(90):
        live(growth, 1_000.0 + day * DAY_S / 4, "threat", moved(cortisol=10, dopamine=1), halved)
    assert gain(growth, "threat", "cortisol") < 0.75
    assert gain(growth, "threat", "dopamine") > 1.95
    assert any("no harm" in reason for reason in growth.reasons)


def test_whoever_is_harmed_each_time_does_not_get_used_to_it() -> None:
    growth = anxious()
    for day in range(60):
        at = 1_000.0 + day * DAY_S
        live(growth, at, "threat", moved(cortisol=10), halved)
        live(growth, at + 60, "task_failed", NOTHING, halved)
    assert gain(growth, "threat", "cortisol") > 2.0


def test_praise_strengthens_the_response_that_came_before_it_and_blame_weakens_it() -> None:
    praised, blamed = Growth(), Growth()
    for growth, outcome in ((praised, "praise"), (blamed, "criticism")):
        live(growth, 1_000.0, "novelty", moved(dopamine=7), halved)
        live(growth, 1_010.0, outcome, NOTHING, halved)
    assert gain(praised, "novelty", "dopamine") > 1.02
    assert gain(blamed, "novelty", "dopamine") < 0.98
    assert gain(praised, "novelty", "cortisol") == 1.0
    assert "praise after novelty" in praised.reasons


def test_what_was_felt_long_ago_has_no_part_in_it() -> None:
    growth = Growth()
    live(growth, 1_000.0, "novelty", moved(dopamine=7), halved)
    live(growth, 1_000.0 + DAY_S, "praise", NOTHING, halved)
    assert gain(growth, "novelty", "dopamine") == 1.0


def test_a_soul_drifts_back_half_of_the_way_in_half_a_year() -> None:
    growth = anxious()
    live(growth, 1_000.0, "novelty", NOTHING, halved)
    growth.gains["threat"] = tuple(1.0 for _ in HORMONES)
    live(growth, 1_000.0 + DRIFT_HALF_LIFE_S, "novelty", NOTHING, halved)
    assert gain(growth, "threat", "cortisol") == pytest.approx((2.7 + 1.0) / 2)


@given(
    st.lists(
        st.tuples(st.sampled_from(STIMULI), st.tuples(*[st.floats(-100, 100)] * len(HORMONES)), st.floats(0, 1e6)), max_size=40
    )
)
def test_whatever_happens_gains_stay_in_range_and_the_same_life_makes_the_same_soul(
    life: list[tuple[str, tuple[float, ...], float]],
) -> None:
    twins = (Growth(), Growth())
    for growth in twins:
        ts = 1_000.0
        for stimulus, change, gap in life:
            ts += gap
            live(growth, ts, stimulus, change, halved)
    assert twins[0] == twins[1]
    assert all(0 <= each <= GAIN_MAX for row in twins[0].gains.values() for each in row)


def test_a_change_is_told_only_when_it_is_one() -> None:
    growth = Growth()
    live(growth, 1_000.0, "novelty", moved(dopamine=7), halved)
    assert not untold(growth)
    live(growth, 1_001.0, "praise", NOTHING, halved)
    assert not untold(growth), "a small change waits for the next one"
    live(growth, 1_002.0, "praise", NOTHING, halved)
    assert untold(growth)
    growth.told = dict(growth.gains)
    assert not untold(growth)


def test_archetypes_are_souls_of_their_own_and_an_unknown_one_is_refused() -> None:
    assert set(archetypes()) == {"calm", "curious", "anxious", "bold", "warm"}
    assert archetype("neutral") == {}
    with pytest.raises(Refused, match="calm, curious"):
        archetype("angry")


def test_a_seed_makes_the_same_soul_again_and_another_seed_another() -> None:
    assert seeded("arya") == seeded("arya") != seeded("bran")
    assert seeded("arya")["threat"] == seeded("arya")["threat"]
    assert all(0.3 <= each <= 1.7 for row in seeded("arya").values() for each in row)


def test_tables_name_only_what_exists() -> None:
    assert set(REWARDS) | HARM <= set(STIMULI)
    assert 0 < HABIT_RATE < 1
