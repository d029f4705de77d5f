"""What commands take in and put out: words, lines, tables."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.cli.events import human_line, json_line
from anima.cli.logs import last_lines, painted
from anima.cli.table import Column, duration, render, size
from anima.cli.terminal import clean, clip, columns_of, one_line
from anima.cli.words import check_session, fenced, gather
from anima.cli.wrap import Wrap
from anima.errors import Refused
from anima.limits import text_bytes_max
from anima.wire.events import UserMessage, event

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


def piped(content: bytes) -> int:
    reader, writer = os.pipe()
    if content:
        os.write(writer, content)
    os.close(writer)
    return reader


def test_text_on_the_command_line_comes_first_then_standard_input_then_files_each_with_its_name(tmp_path: Path):
    (tmp_path / "notes.md").write_text("# notes\n")
    message = gather("What is this?", [tmp_path / "notes.md"], piped(b"a\nb\n"))
    assert message == f"What is this?\n\n[standard input]\n```\na\nb\n```\n\n[{tmp_path}/notes.md]\n```\n# notes\n```"


def test_standard_input_alone_is_the_message_itself():
    assert gather("", [], piped("héllo\n".encode())) == "héllo"


def test_a_fence_is_longer_than_any_in_the_text_so_that_nothing_escapes_it():
    assert fenced("x", "a\n````\nb").splitlines()[1] == "`````"


@pytest.mark.parametrize(("text", "stream"), [("", None), ("  \n", None), ("", b""), ("", b"\n\n")])
def test_nothing_to_say_is_refused(text: str, stream: bytes | None):
    with pytest.raises(Refused, match="nothing to say"):
        gather(text, [], None if stream is None else piped(stream))


def test_bytes_that_are_not_utf8_are_refused_with_their_place():
    with pytest.raises(Refused, match=r"standard input is not UTF-8 \(byte 0xff at 2\).*nothing was sent"):
        gather("", [], piped(b"ok\xff"))
    with pytest.raises(Refused, match="not UTF-8"):
        gather("caf\udce9", [], None)


def test_a_message_that_is_too_long_is_refused_and_not_even_read_to_its_end(tmp_path: Path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * (5 << 20))
    with large.open("rb") as file, pytest.raises(Refused, match=f"more than {text_bytes_max:,}"):
        gather("", [], os.dup(file.fileno()))
    with pytest.raises(Refused, match="more than"):
        gather("", [large], None)
    with pytest.raises(Refused, match="more than"):
        gather("ä" * (text_bytes_max // 2 + 1), [], None)


def test_a_device_that_never_ends_is_refused_like_a_file_that_is_too_long():
    with pytest.raises(Refused, match="more than"):
        gather("look", [Path("/dev/zero")], None)


def test_a_file_that_is_not_there_is_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(Refused, match="No such file"):
        gather("hi", [tmp_path / "missing"], None)


@pytest.mark.parametrize("session", ["", " ", "a\nb", "\x1b[31m", "x" * 129])
def test_what_cannot_name_a_session_is_refused(session: str):
    with pytest.raises(Refused):
        check_session(session)


def test_a_session_may_have_any_readable_name():
    assert check_session("telegram:42 Büro") == "telegram:42 Büro"


@given(TEXTS)
def test_cleaned_text_steers_no_terminal(text: str):
    assert not {"\x1b", "\r", "\x07", "\x08", "\x9b", "\u202e"} & set(clean(text))
    assert "\n" not in one_line(text, 40)


@given(st.text("aé漢 \u0301", max_size=30), st.integers(0, 20))
def test_clipped_text_never_takes_more_columns_than_given(text: str, columns: int):
    assert columns_of(clip(text, columns)) <= columns
    if columns_of(text) <= columns:
        assert clip(text, columns) == text


@given(st.text("ab漢 \t\n", max_size=80), st.integers(4, 20), st.lists(st.integers(1, 5), max_size=20))
def test_wrapped_text_keeps_every_word_and_fits_wherever_the_pieces_were_cut(text: str, columns: int, cuts: list[int]):
    wrap, shown, rest = Wrap(columns), "", text
    for cut in cuts:
        shown += wrap.feed(rest[:cut])
        rest = rest[cut:]
    shown += wrap.feed(rest) + wrap.end()
    assert shown.split() == text.split()
    for line in shown.split("\n"):
        words = line.split()
        folded = any(columns_of(word) > columns for word in words)  # by the terminal, in the middle
        assert columns_of(line.expandtabs(1).rstrip()) <= columns or folded or line[0] in " \t"


def test_text_that_fits_is_left_as_it_is():
    wrap = Wrap(40)
    assert wrap.feed("  indented code = 1\n\nnext  words") + wrap.end() == "  indented code = 1\n\nnext  words"


COLUMNS = (Column("NAME"), Column("PID", right=True, leaves=2), Column("UP", leaves=1), Column("DOING", flexible=True))
ROWS = [["journal", "12", "3s", "stores every fact and publishes it"], ["agent:arya", "131313", "4m 10s", "idle"]]


def test_a_table_is_aligned_and_fits_the_terminal():
    assert render(COLUMNS, ROWS, 50) == [
        "NAME           PID  UP      DOING",
        "journal         12  3s      stores every fact and…",
        "agent:arya  131313  4m 10s  idle",
    ]


def test_a_narrow_table_leaves_out_what_matters_least():
    assert render(COLUMNS, ROWS, 40)[0] == "NAME           PID  DOING"
    assert render(COLUMNS, ROWS, 30)[0] == "NAME        DOING"


@given(st.lists(st.tuples(*[st.text("ab漢", max_size=12)] * 4), max_size=4), st.integers(34, 100))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows, columns: int):
    assert all(columns_of(line) <= columns for line in render(COLUMNS, [list(row) for row in rows], columns))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0s"), (-1, "0s"), (59.9, "59s"), (60, "1m"), (250, "4m 10s"), (3600, "1h"), (18_120, "5h 2m"), (273_600, "3d 4h")],
)
def test_a_duration_has_at_most_two_units(seconds: float, told: str):
    assert duration(seconds) == told


@pytest.mark.parametrize(("octets", "told"), [(831_488, "812 KB"), (7_549_747, "7.2 MB"), (1_503_238_554, "1.4 GB")])
def test_a_size_has_few_digits(octets: int, told: str):
    assert size(octets) == told


def test_an_event_is_one_line_for_people_and_one_for_programs():
    made = event(UserMessage('two\nlines "quoted" \x1b[31m ü'), agent="arya", session="main", source="cli")
    assert human_line(made, 200).endswith('user_message arya/main cli: two lines "quoted" [31m ü')
    assert columns_of(human_line(made, 70)) == 70
    line = json_line(made)
    assert "\n" not in line
    assert '"kind": "user_message"' in line
    assert "ü" in line


def log(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def test_the_last_lines_of_a_log_reach_back_into_files_put_aside(tmp_path: Path):
    path = tmp_path / "arya.log"
    log(path, "five", "six")
    log(tmp_path / "arya.log.1", "three", "four")
    log(tmp_path / "arya.log.2", "one", "two")
    assert last_lines(path, 3) == (["four", "five", "six"], 9)
    assert last_lines(path, 5)[0] == ["two", "three", "four", "five", "six"]
    assert last_lines(path, 99)[0] == ["one", "two", "three", "four", "five", "six"]
    assert last_lines(path, 0) == ([], 9)


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path):
    path = tmp_path / "arya.log"
    path.write_text("one\ntwo\nthr")
    assert last_lines(path, 2) == (["one", "two"], 8)


@given(st.lists(st.text("ab", max_size=30), max_size=40), st.integers(0, 45))
def test_the_last_lines_are_the_last_lines_however_long_they_are(lines: list[str], number: int):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.log"
        log(path, *lines)
        assert last_lines(path, number)[0] == (lines[-number:] if number else [])


def test_a_log_line_that_would_steer_the_terminal_is_cleaned():
    assert "\x1b" not in painted("2026-11-21T02:24:31.123Z ERROR agent:arya | \x1b[2J")
