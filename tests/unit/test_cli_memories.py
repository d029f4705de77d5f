"""What people see of memory at the command line, and how a file is read."""

import time
from pathlib import Path

import pytest

from anima.cli.memories import _since, hit_lines
from anima.cli.memories_file import BATCH_LINES, LINE_BYTES_MAX, _Lines
from anima.cli.telling import tell
from anima.cli.terminal import columns_of
from anima.errors import Refused

HIT = {
    "id": "0192f3c1",
    "score": 1.5,
    "text": "I adopted a dog\nin May \x1b[31m" + "and so on " * 50,
    "ts": 1_683_554_160.0,
    "session": "main",
    "speaker": "Ada",
    "parts": {"words": 1.5},
    "around": [
        {"id": "0192f3c1", "speaker": "Ada", "text": "I adopted a dog"},
        {"id": "x", "speaker": "arya", "text": "Lovely"},
    ],
}


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_hit_fits_every_terminal_and_steers_none(columns: int) -> None:
    lines = list(hit_lines([HIT], columns, explain=True))
    assert all(columns_of(line) <= columns for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_hit_says_when_where_who_and_what_made_its_score() -> None:
    lines = list(hit_lines([HIT], 200, explain=True))
    assert lines[0].startswith("1. I adopted a dog in May")
    assert lines[1] == "   2023-05-08 13:56, main, Ada [0192f3c1]"
    assert lines[2] == "   1.5000: words 1.500"
    assert lines[3:] == ["   > Ada: I adopted a dog", "     arya: Lovely"]


def test_a_span_or_a_date_says_since_when() -> None:
    assert _since("") is None
    assert _since("2023-05-08") == 1_683_504_000.0
    assert _since("30d") == pytest.approx(time.time() - 30 * 86_400, abs=60)
    with pytest.raises(Refused, match="no span and no date"):
        _since("ages")


def test_a_file_is_read_in_batches_and_what_cannot_be_a_line_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "life.jsonl"
    rows = [b"\xef\xbb\xbf{}", b"", b"\xff\xfe", b"x" * (LINE_BYTES_MAX + 1), *[b"{}"] * (2 * BATCH_LINES)]
    path.write_bytes(b"\n".join(rows) + b"\n")
    lines = _Lines(path)
    batches = list(lines.batches())
    assert [len(batch) for batch in batches] == [BATCH_LINES, BATCH_LINES, 1]
    assert batches[0][0] == [1, "{}\n"], "a byte order mark is no part of a line"
    assert batches[0][1][0] == 5, "lines are numbered as the file has them"
    assert [number for number, _ in lines.wrong] == [3, 4]
    assert lines.read == lines.size


def test_a_file_that_cannot_be_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        _Lines(tmp_path / "nowhere.jsonl")
    with pytest.raises(Refused, match="cannot be read"):
        list(_Lines(tmp_path).batches())


def test_events_of_memory_are_told_on_a_line() -> None:
    assert tell("memories_imported", {"rows": [{}, {}], "origin": "life.jsonl"}) == "2 memories from life.jsonl"
    assert (
        tell("memory_changed", {"memory": "m", "changes": {"again": True}, "reason": "said again"})
        == "m again=true: said again"
    )
    assert "level 1, 3 to 9, by extract" in tell(
        "snapshot_stored", {"level": 1, "since": 3, "until": 9, "model": "extract", "text": "x"}
    )
    assert tell("brought_to_mind", {"step": 1, "inserts": [["recalled", "recall", "x"]], "recalled": ["m"]}) == (
        "step 1 · recall · 1 memories"
    )
