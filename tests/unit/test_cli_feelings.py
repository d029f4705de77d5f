"""Feelings for people: bars, tables and pictures that fit, and spans of time that make sense."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.cli import feeling, psyche, svg, thymos
from anima.cli.terminal import columns_of
from anima.errors import Refused
from anima.wire.events import Event, SoulChanged, event
from anima.wire.feelings import GLANDS, HORMONES

LEVELS = dict.fromkeys(HORMONES, 42.0)
TOLD = {
    "ts": 1_000.0,
    "levels": LEVELS,
    "baselines": {name: each.baseline for name, each in GLANDS.items()},
    "half_lives_s": {name: each.half_life_s for name, each in GLANDS.items()},
    "hour": {name: [42.0] * 60 for name in HORMONES},
    "words": "Hmm, that didn't work\nYou want to find out more.",
    "causes": [{"hormone": "frustration", "delta": 10.0, "stimulus": "tool_failed", "ts": 940.0}] * 9,
}


@given(st.lists(st.floats(0, 100), max_size=200), st.integers(0, 80))
def test_a_sparkline_has_as_many_bars_as_fit(values: list[float], columns: int) -> None:
    drawn = feeling.sparkline(values, 100.0, columns)
    assert len(drawn) == (min(columns, len(values)) if columns else 0)
    assert set(drawn) <= set("▁▂▃▄▅▆▇█")


def test_a_short_peak_is_seen_in_a_narrow_sparkline() -> None:
    assert feeling.sparkline([0.0] * 30 + [100.0] + [0.0] * 29, 100.0, 6) == "▁▁▁█▁▁"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604_800), (" 2w ", 1_209_600)]
)
def test_spans_of_time(text: str, seconds: float) -> None:
    assert feeling.span_s(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "24", "-1h", "0h", "yesterday", "1h30m", "nan"])
def test_what_is_no_span_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refused, match="30m"):
        feeling.span_s(text)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_is_shown_fits_the_terminal(columns: int) -> None:
    lines = thymos.shown(TOLD, columns)
    assert max(map(columns_of, lines)) <= columns
    assert not any("…" in line for line in lines[: 1 + len(HORMONES)]), "the newest bar is cut off"
    text = "\n".join(lines)
    assert "frustration" in text
    assert "heard: Hmm, that didn't work" in text
    assert text.count("moved:") == 5


def test_the_picture_is_xml_with_a_panel_for_each_curve_and_spells_what_it_is_told() -> None:
    drawn = svg.curves("<arya> & co", [0.0, 1.0, 2.0], {"a<b": [0, 50, 100], "c": [1, 1, 1]}, [{"ts": 1.0, "stimulus": "x&y"}])
    root = ET.fromstring(drawn)
    assert len([each for each in root.iter() if each.tag.endswith("polyline")]) == 2
    assert "<arya> & co" in [each.text for each in root.iter()]


def change(seq: int, source: str, **gains: float) -> Event:
    made = event(SoulChanged({"threat": gains}, f"reason {seq}"), agent="arya", source=source)
    return replace(made, seq=seq, ts=float(seq))


def test_growth_is_drawn_by_what_moved_most_with_each_reason() -> None:
    changes = [change(1, "cli", cortisol=2.7, dopamine=0.3), change(2, "thymos", cortisol=1.0, dopamine=0.4)]
    for columns in (40, 100):
        lines = psyche.grown(changes, columns, 10.0)
        assert lines[1].startswith("threat x cortisol")
        assert any("made: reason 1" in each for each in lines)
        assert any("grew: reason 2" in each for each in lines)


def test_souls_differ_where_they_differ() -> None:
    assert psyche.differences({}, {}) == []
    assert psyche.differences({"threat": {"cortisol": 2.0}}, {"praise": {"dopamine": 1.2}}) == [
        ("threat", "cortisol", 2.0, 1.0),
        ("praise", "dopamine", 1.0, 1.2),
    ]
    assert psyche.differences({"threat": {"cortisol": 1.001}}, {}) == []


def test_a_matrix_becomes_lines_where_it_does_not_fit() -> None:
    gains = {"question_unanswered": dict.fromkeys(HORMONES, 1.5)}
    assert "1.50" in psyche.matrix(gains, 200)[1]
    assert psyche.matrix(gains, 40)[0] == "question_unanswered dopamine 1.50"
