"""Log lines: one shape, no secrets, no harm to the program, whatever the disk does."""

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anima.config.schema import Log
from anima.log.file import LogFile
from anima.log.lines import LEVELS, Line, Origin, format_lines, format_printed, parse_line, stamp
from anima.log.log import Allowance, log_context, open_log
from anima.log.redact import redactor
from anima.paths import Home

WORDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)


@pytest.fixture
def home(tmp_path: Path):
    yield Home(tmp_path, tmp_path / "run")
    for handler in list(logging.getLogger().handlers):
        if handler.__class__.__module__.startswith("anima."):
            logging.getLogger().removeHandler(handler)
            handler.close()
    logging.captureWarnings(False)


def opened(home: Home, process: str, *, level: str = "info", secrets: tuple[str, ...] = ()) -> logging.Logger:
    return open_log(home, process, Log(level=level), secrets)


def read(home: Home, process: str = "agent:arya") -> list[str]:
    return home.log_file(process).read_text().splitlines()


def test_a_moment_is_written_in_utc_with_milliseconds():
    assert stamp(0.0) == "1970-01-01T00:00:00.000Z"
    assert stamp(1795227871.1239) == "2026-11-21T02:24:31.123Z"


@given(st.floats(0, 4e9), st.sampled_from(LEVELS), WORDS, st.none() | WORDS, st.none() | WORDS, TEXTS)
def test_what_is_written_reads_back_the_same(ts, level, process, session, turn, text):
    assume(not text.lstrip().startswith(("session=", "turn=", "|")))
    assume("\n" not in text and "\r" not in text and text.isprintable())
    [line] = format_lines(ts, level, Origin(process, session or "", turn or ""), text)
    assert parse_line(line) == Line(stamp(ts), level, process, session or "", turn or "", False, text)
    [line] = format_printed(ts, level, process, text)
    assert parse_line(line) == Line(stamp(ts), level, process, "", "", True, text)


@given(TEXTS, st.text(max_size=20))
def test_every_line_of_any_text_is_of_the_one_shape_and_steers_no_terminal(text: str, session: str):
    for line in format_lines(1.0, "INFO", Origin("agent:arya", session), text) + format_printed(1.0, "ERROR", "journal", text):
        assert parse_line(line) is not None
        assert not set(map(ord, line)) & {0x00, 0x07, 0x0A, 0x0D, 0x1B, 0x7F, 0x9B, 0x85, 0x202E}


@given(st.text(max_size=200))
def test_any_text_parses_to_a_line_or_to_none(text: str):
    parse_line(text)


def test_a_log_line_carries_process_session_and_turn(home: Home):
    log = opened(home, "agent:arya")
    log.info("woke up")
    with log_context("main", "0192f0c1"):
        log.warning("the model is slow: %d s", 12)
    first, second = map(parse_line, read(home))
    assert (first.level, first.process, first.session, first.text) == ("INFO", "agent:arya", "", "woke up")
    assert (second.level, second.session, second.turn, second.text) == (
        "WARNING",
        "main",
        "0192f0c1",
        "the model is slow: 12 s",
    )


def test_a_traceback_lands_whole_with_every_line_of_the_one_shape(home: Home):
    log = opened(home, "agent:arya")
    try:
        raise RuntimeError("first line\nsecond line")
    except RuntimeError:
        log.exception("it broke")
    lines = list(map(parse_line, read(home)))
    assert None not in lines
    texts = [line.text for line in lines]
    assert texts[:2] == ["it broke", "Traceback (most recent call last):"]
    assert texts[-2:] == ["RuntimeError: first line", "second line"]


def test_a_record_that_cannot_be_formatted_is_told_instead_of_lost(home: Home, capsys: pytest.CaptureFixture[str]):
    opened(home, "agent:arya").info("two %s %s", "one")
    assert "two %s %s" in read(home)[0]
    assert capsys.readouterr().err == ""


def test_lines_of_other_libraries_say_whose_they_are_and_their_chatter_stays_out(home: Home):
    opened(home, "agent:arya")
    logging.getLogger("httpx").info("HTTP Request: POST ...")
    logging.getLogger("zmq").info("hello")
    assert [parse_line(line).text for line in read(home)] == ["zmq: hello"]


def test_a_less_important_line_than_the_level_is_not_kept(home: Home):
    log = opened(home, "agent:arya", level="warning")
    log.info("no")
    log.warning("yes")
    assert len(read(home)) == 1


@pytest.mark.parametrize(
    "secret",
    ["sk-ant-0123456789", 'with "quotes" and \\backslash', "spaces and/ütf8", "-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----"],
)
def test_a_secret_never_reaches_the_file_in_any_of_its_usual_forms(home: Home, secret: str):
    import base64
    import json
    import urllib.parse

    log = opened(home, "agent:arya", secrets=(secret, "sk"))
    log.info("plain %s", secret)
    log.info("repr %r json %s", secret, json.dumps(secret))
    log.info("url %s base64 %s", urllib.parse.quote(secret, safe=""), base64.b64encode(secret.encode()).decode())
    try:
        raise ValueError(f"refused: {secret}")
    except ValueError:
        log.exception("failed")
    text = home.log_file("agent:arya").read_text()
    for form in (*secret.splitlines(), json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe="")):
        assert form not in text
    assert "***" in text
    assert "Traceback" in text


@given(st.lists(st.text(min_size=4, max_size=12), max_size=4), TEXTS, TEXTS)
def test_no_secret_survives_redaction(secrets: list[str], before: str, after: str):
    redact = redactor(secrets)
    for secret in secrets:
        if len(secret.strip()) >= 4 and "*" not in secret:
            assert secret not in redact(before + secret + after)


def test_a_full_file_is_put_aside_and_only_so_many_are_kept(tmp_path: Path):
    file = LogFile(tmp_path / "arya.log", bytes_max=100, files_max=3)
    for number in range(12):
        assert file.write([f"{number:040d}"], lambda lost: [])
    file.close()
    kept = {path.name: path.read_text().split() for path in tmp_path.iterdir()}
    assert sorted(kept) == ["arya.log", "arya.log.1", "arya.log.2"]
    assert [int(line) for name in ("arya.log.2", "arya.log.1", "arya.log") for line in kept[name]] == list(range(6, 12))


def test_a_log_that_someone_moved_away_is_begun_anew(tmp_path: Path):
    file = LogFile(tmp_path / "arya.log", bytes_max=1000, files_max=3)
    file.write(["one"], lambda lost: [])
    file.path.rename(tmp_path / "moved")
    file.write(["two"], lambda lost: [])
    file.path.unlink()
    file.write(["three"], lambda lost: [])
    assert file.path.read_text() == "three\n"
    file.close()


def test_a_disk_that_takes_nothing_costs_lines_and_says_how_many(home: Home):
    log = opened(home, "agent:arya")
    home.log.write_text("a file where the folder belongs")
    log.info("lost")
    log.info("lost too")
    home.log.unlink()
    log.info("kept")
    texts = [parse_line(line).text for line in read(home)]
    assert texts == ["2 lines are missing here: the disk did not take them", "kept"]


def test_a_disk_that_fills_up_within_a_line_never_raises_and_the_next_line_is_whole(tmp_path: Path):
    program = """
import resource, signal, sys
from pathlib import Path
from anima.log.file import LogFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = LogFile(Path(sys.argv[1]), bytes_max=1 << 20, files_max=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for number in range(5):
    file.write([f"{number}" * 40], lambda lost: [f"{lost} lost"])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write(["end"], lambda lost: [f"{lost} lost"])
"""
    path = tmp_path / "arya.log"
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd=Path(__file__).parents[2], timeout=20)
    assert path.read_text() == "0" * 40 + "\n" + "1" * 40 + "\n" + "2" * 18 + "\n3 lost\nend\n"


def test_a_flood_is_cut_and_errors_still_find_room():
    allowance = Allowance(rate=10, burst=100, now=0.0)
    assert sum(allowance.take(0.0, error=False) for _ in range(1000)) == 90
    assert sum(allowance.take(0.0, error=True) for _ in range(1000)) == 10
    assert sum(allowance.take(2.0, error=False) for _ in range(1000)) == 10


def test_a_process_that_floods_its_log_says_how_much_it_dropped(home: Home):
    log = opened(home, "agent:arya")
    for number in range(5000):
        log.info("line %d", number)
    log.error("the end")
    lines = read(home)
    assert 1800 <= len(lines) < 4000
    assert parse_line(lines[-1]).text == "the end"
    dropped = [line for line in lines if "dropped" in line]
    assert dropped
    kept = sum(" line " in line and "dropped" not in line for line in lines)
    assert kept + sum(int(line.split("dropped ")[1].split()[0]) for line in dropped) == 5000


def test_what_the_process_printed_is_told_apart_from_what_it_logged(home: Home):
    opened(home, "agent:arya")
    logging.getLogger("output").info("hello\x1b[31m from print")
    [line] = map(parse_line, read(home))
    assert (line.printed, line.text) == (True, "hello\\x1b[31m from print")


def test_the_last_call_decides_where_the_log_goes(home: Home):
    opened(home, "agent:arya")
    opened(home, "journal").info("here")
    assert not home.log_file("agent:arya").exists()
    assert len(read(home, "journal")) == 1


def test_a_log_is_for_its_owner_only(home: Home):
    opened(home, "agent:arya").info("private")
    assert home.log_file("agent:arya").stat().st_mode & 0o077 == 0


def test_a_warning_of_python_is_logged_and_not_printed(home: Home):
    import warnings

    opened(home, "agent:arya")
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        assert sys.stderr.getvalue() == ""
    finally:
        sys.stderr = stderr
    assert "DeprecationWarning: old" in read(home)[0]
