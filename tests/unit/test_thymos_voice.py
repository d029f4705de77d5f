"""From levels to words: exactly the words of the table, never a number, never a hormone, and no flicker."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import ConfigError
from anima.thymos.levels import born
from anima.thymos.resources import shares, thinking_budget
from anima.thymos.voice import read_vocabulary, standard
from anima.wire.feelings import HORMONES, LEVEL_MAX, SHARES

levels = st.tuples(*[st.floats(0, LEVEL_MAX)] * len(HORMONES))


def with_(**named: float) -> tuple[float, ...]:
    return tuple(named.get(name, level) for name, level in zip(HORMONES, born(), strict=True))


@pytest.mark.parametrize(
    ("frustration", "voice"),
    [
        (0, ""),
        (9.9, ""),
        (10, "Hmm, that didn't work"),
        (30, "I keep hitting walls. What am I missing?"),
        (50, "I'm doing something fundamentally wrong"),
        (70, "I need help. This is beyond what I can figure out alone"),
        (100, "I need help. This is beyond what I can figure out alone"),
    ],
)
def test_frustration_says_exactly_what_the_worked_example_says(frustration: float, voice: str) -> None:
    english = standard("en")
    assert english.words(english.felt(with_(frustration=frustration))) == voice


@pytest.mark.parametrize("language", ["en", "de"])
@given(found=levels)
def test_no_digit_no_hormone_and_no_more_than_sixty_tokens_are_ever_heard(language: str, found: tuple[float, ...]) -> None:
    vocabulary = standard(language)
    words = vocabulary.words(vocabulary.felt(found))
    assert not re.search(r"\d", words)
    assert not any(name in words.lower() for name in HORMONES)
    assert len(words) / 3.5 <= 60


@given(levels, st.floats(0, 2.9))
def test_a_feeling_does_not_flicker_when_a_level_trembles(found: tuple[float, ...], tremble: float) -> None:
    english = standard()
    first = english.felt(found)
    up = tuple(min(LEVEL_MAX, each + tremble / 2) for each in found)
    down = tuple(max(0.0, each - tremble / 2) for each in found)
    once = english.felt(up, first)
    assert set(first) <= set(once)
    assert set(first) <= set(english.felt(down, once))


@given(levels, levels)
def test_of_a_band_one_voice_is_heard_at_a_time(before: tuple[float, ...], found: tuple[float, ...]) -> None:
    english = standard()
    felt = english.felt(found, english.felt(before))
    assert sum(name.startswith("frustration_") for name in felt) <= 1


def test_both_sides_of_a_contradiction_are_said() -> None:
    english = standard()
    words = english.words(english.felt(with_(serotonin=20, dopamine=80)))
    assert "too excited to stop" in words


def test_both_languages_have_the_same_feelings() -> None:
    assert {each.name for each in standard("en").feelings} == {each.name for each in standard("de").feelings}


@pytest.mark.parametrize(
    "text",
    [
        "x = ",
        '[en.a]\nwhen = { frustration = [0, 10] }\nsay = "cortisol is up"\n',
        '[en.a]\nwhen = { frustration = [0, 10] }\nsay = "level 9"\n',
        '[en.a]\nwhen = { rage = [0, 10] }\nsay = "x"\n',
        '[en.a]\nwhen = { frustration = [10, 10] }\nsay = "x"\n',
        '[en.a]\nwhen = { frustration = [0, nan] }\nsay = "x"\n',
        '[en.a]\nwhen = { frustration = 3 }\nsay = "x"\n',
        '[en.a]\nwhen = {}\nsay = "x"\n',
        '[en.a]\nwhen = { frustration = [0, 10] }\nsay = ""\n',
        '[en.a]\nwhen = { frustration = [0, 10] }\nsay = "x"\ncolour = "red"\n',
        '[en.a]\nwhen = { frustration = [0, 10] }\nsay = "x"\nfirst = "yes"\n',
        "hysteresis = -1\n[en]\n",
        "tokens_max = 1.5\n[en]\n",
        "[de]\n",
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"my\.toml"):
        read_vocabulary(text, "en", "my.toml")


def test_the_thinking_budget_is_the_formula_and_its_cap() -> None:
    assert thinking_budget(1_000, with_(frustration=30), 10_000) == 1_600
    assert thinking_budget(1_000, with_(frustration=100), 2_500) == 2_500


@given(levels)
def test_every_share_stays_within_its_bounds(found: tuple[float, ...]) -> None:
    told = shares(found)
    assert set(told) == set(SHARES)
    for name, (least, most) in SHARES.items():
        assert least <= told[name] <= most


def test_whoever_feels_as_usual_has_the_means_that_are_configured() -> None:
    assert shares(born()) == dict.fromkeys(SHARES, 1.0)
