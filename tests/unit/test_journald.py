"""Talking to systemd's journal: its protocol byte by byte, and what happens when it takes nothing."""

import array
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima import journald, limits
from anima.cli.journalctl import entry_lines
from anima.cli.logs import merged
from anima.config.schema import Log
from anima.journald import KNOWN, Journal, encode, identity, is_ours
from anima.log.lines import parse_line, printable
from anima.log.log import log_context, open_log
from anima.paths import Home
from anima.supervisor.logfile import LogFile

REPO = Path(__file__).parent.parent.parent
CATALOG = REPO / "systemd" / "anima.catalog"
DOCS = REPO / "docs" / "logs.md"
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,30}", fullmatch=True)
Entry = dict[str, str]


def decode(datagram: bytes) -> Entry:
    """The fields of a datagram, as the protocol's own page describes them; the receiving side of `encode`."""
    fields, rest = {}, datagram
    while rest:
        head, _, rest = rest.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


class Desk:
    """The journal's end of the socket: what it was sent, until it is closed or full."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.setblocking(False)

    def entries(self) -> list[Entry]:
        found = []
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return found
            for _, _, sent in ancillary:
                (fd,) = array.array("i", sent)
                with os.fdopen(fd, "rb") as file:
                    file.seek(0)
                    data = file.read()
            found.append(decode(data))

    def said(self) -> list[str]:
        return [entry["MESSAGE"] for entry in self.entries()]

    def close(self) -> None:
        self._socket.close()
        self.address.unlink(missing_ok=True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "journal")
    yield desk
    desk.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path, tmp_path / "run")
    home.log.mkdir()
    yield home
    for handler in list(logging.getLogger().handlers):
        if handler.__class__.__module__.startswith("anima."):
            logging.getLogger().removeHandler(handler)
            handler.close()
    logging.captureWarnings(False)


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_categories=("Cs",)), min_size=1), max_size=8))
def test_what_is_encoded_is_what_the_journal_reads(fields: dict[str, str]):
    assert decode(encode(fields)) == fields


def test_an_empty_field_is_left_out_and_a_broken_text_is_spelled_out():
    assert encode({"A": "", "B": 7, "C": "\udc80"}) == b"B=7\nC=\\udc80\n"


def test_a_large_entry_goes_as_a_file(desk: Desk):
    assert Journal(desk.address).send(encode({"MESSAGE": "x" * 1_000_000}))
    assert [len(text) for text in desk.said()] == [1_000_000]


def test_a_journal_that_is_away_or_full_takes_nothing_and_nobody_waits(desk: Desk, tmp_path: Path):
    assert not Journal(tmp_path / "nobody").send(b"MESSAGE=x\n")
    journal, sent = Journal(desk.address), 0
    while journal.send(b"MESSAGE=x\n"):
        sent += 1
    assert len(desk.entries()) == sent > 0
    assert journal.send(b"MESSAGE=again\n")


def test_a_journal_that_was_started_anew_is_found_at_once(desk: Desk):
    journal = Journal(desk.address)
    assert journal.send(b"MESSAGE=before\n")
    desk.close()
    assert not journal.send(b"MESSAGE=nobody\n")
    other = Desk(desk.address)
    assert journal.send(b"MESSAGE=after\n")
    assert other.said() == ["after"]
    other.close()


def test_only_the_stream_that_systemd_names_is_the_journal(tmp_path: Path):
    with (tmp_path / "stream").open("w") as file:
        here = os.fstat(file.fileno())
        assert is_ours({"JOURNAL_STREAM": f"{here.st_dev}:{here.st_ino}"}, file.fileno())
        for wrong in (f"{here.st_dev}:{here.st_ino + 1}", "", "8:", "nonsense"):
            assert not is_ours({"JOURNAL_STREAM": wrong}, file.fileno())
    assert not is_ours({}, 2)
    assert not is_ours({"JOURNAL_STREAM": "1:2"}, 999)


def test_an_agents_line_carries_who_where_and_in_which_turn(home: Home, desk: Desk):
    log = open_log(home, "agent:arya", Log(), ["sk-secret"], Journal(desk.address))
    with log_context("main", "0192f0c1", seq=812):
        log.warning("the key is %s", "sk-secret")
    (entry,) = desk.entries()
    assert Path(entry.pop("CODE_FILE")).name == "test_journald.py"
    assert int(entry.pop("CODE_LINE")) > 0
    assert entry == {
        "SYSLOG_IDENTIFIER": "anima-arya",
        "ANIMA_PROCESS": "agent:arya",
        "ANIMA_AGENT": "arya",
        "ANIMA_HOME": str(home.root),
        "ANIMA_SESSION": "main",
        "ANIMA_TURN": "0192f0c1",
        "ANIMA_SEQ": "812",
        "PRIORITY": "4",
        "MESSAGE": "the key is ***",
        "CODE_FUNC": "test_an_agents_line_carries_who_where_and_in_which_turn",
    }
    assert not home.log_file("agent:arya").exists()


def test_a_line_in_a_call_carries_the_call_and_a_process_that_is_no_agent_names_none(home: Home, desk: Desk):
    log = open_log(home, "sandbox", Log(), (), Journal(desk.address))
    with log_context("main", "t1", "c1", 5):
        log.error("it broke")
    (entry,) = desk.entries()
    assert (entry["ANIMA_CALL"], entry["ANIMA_SEQ"], entry["PRIORITY"]) == ("c1", "5", "3")
    assert "ANIMA_AGENT" not in entry


def test_a_traceback_is_one_entry_and_steers_no_terminal(home: Home, desk: Desk):
    log = open_log(home, "agent:arya", Log(), (), Journal(desk.address))
    try:
        raise RuntimeError("red \x1b[31m")
    except RuntimeError:
        log.exception("it broke")
    (text,) = desk.said()
    assert text.startswith("it broke\nTraceback")
    assert text.endswith(r"RuntimeError: red \x1b[31m")


def test_what_a_process_prints_is_marked_as_printed(home: Home, desk: Desk):
    open_log(home, "agent:arya", Log(), (), Journal(desk.address))
    logging.getLogger("output").info("hello")
    (entry,) = desk.entries()
    assert (entry["MESSAGE"], entry["ANIMA_PRINTED"]) == ("hello", "1")
    assert "CODE_FILE" not in entry


def test_while_the_journal_is_away_the_file_has_the_lines_and_it_is_told_where_they_are(
    home: Home, desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journald, "AWAY_S", 0.0)
    log = open_log(home, "agent:arya", Log(), (), Journal(desk.address))
    log.info("one")
    assert desk.said() == ["one"]
    desk.close()
    log.info("two")
    log.info("three")
    other = Desk(desk.address)
    log.info("four")
    log.info("five")
    told = f"2 lines before this stand in {home.log_file('agent:arya')}: the journal did not take them"
    assert other.said() == [told, "four", "five"]
    assert [parse_line(line).text for line in home.log_file("agent:arya").read_text().splitlines()] == ["two", "three"]
    other.close()


def test_a_journal_that_took_nothing_is_left_alone_for_a_while(home: Home, desk: Desk):
    desk.close()
    log = open_log(home, "agent:arya", Log(), (), Journal(desk.address))
    log.info("one")
    other = Desk(desk.address)
    log.info("two")
    assert other.said() == []
    assert len(home.log_file("agent:arya").read_text().splitlines()) == 2
    other.close()


def test_a_flood_is_counted_and_told_to_the_journal(home: Home, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("anima.log.log.log_records_burst_max", 10)
    monkeypatch.setattr("anima.log.log.log_records_per_s_max", 1)
    log = open_log(home, "agent:arya", Log(), (), Journal(desk.address))
    for number in range(20):
        log.info("line %d", number)
    log.error("an error still passes")
    entries = desk.entries()
    assert [entry["MESSAGE"] for entry in entries][-2:] == ["dropped 11 lines: more than 1 a second", "an error still passes"]
    assert entries[-2]["MESSAGE_ID"] == KNOWN["dropped"]


def test_the_root_speaks_to_the_journal_with_known_ids_and_about_whom(home: Home, desk: Desk):
    log = LogFile(home, journal=Journal(desk.address))
    log.warning("agent:arya ended (pid 7): killed", known="ended", about="agent:arya", pid=7)
    log.last_words("agent:arya", "Fatal Python error\n\udcff\n", 0.0)
    ended, words = desk.entries()
    assert (ended["SYSLOG_IDENTIFIER"], ended["MESSAGE_ID"]) == ("anima-supervisor", KNOWN["ended"])
    assert (ended["ANIMA_CHILD"], ended["OBJECT_PID"]) == ("agent:arya", "7")
    assert (words["SYSLOG_IDENTIFIER"], words["ANIMA_AGENT"]) == ("anima-arya", "arya")
    assert words["MESSAGE"] == "Fatal Python error\n�"
    assert not list(home.log.iterdir())


def test_the_root_writes_to_its_file_while_the_journal_is_away(home: Home, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journald, "AWAY_S", 0.0)
    log = LogFile(home, journal=Journal(desk.address))
    desk.close()
    log.info("one")
    log.last_words("agent:arya", "words", 0.0)
    other = Desk(desk.address)
    log.info("two")
    assert other.said() == [f"2 lines before this stand in {home.log}: the journal did not take them", "two"]
    assert home.log_file("supervisor").read_text().endswith(" INFO supervisor one\n")
    assert home.log_file("agent:arya").read_text().endswith("| words\n")
    log.may_use_journal(False)
    log.info("three")
    assert home.log_file("supervisor").read_text().endswith(" INFO supervisor three\n")
    other.close()


def test_every_known_message_is_explained_in_the_catalog_and_no_other():
    assert sorted(re.findall(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), re.MULTILINE)) == sorted(KNOWN.values())


def entry(**fields: Any) -> dict[str, Any]:
    return {"__REALTIME_TIMESTAMP": "1795227871123000", "ANIMA_PROCESS": "agent:arya", "PRIORITY": "6", **fields}


def test_an_entry_becomes_the_lines_it_would_have_in_a_file():
    assert entry_lines(entry(MESSAGE="woke\nup", ANIMA_SESSION="main", ANIMA_TURN="t")) == [
        "2026-11-21T02:24:31.123Z INFO agent:arya session=main turn=t woke",
        "2026-11-21T02:24:31.123Z INFO agent:arya session=main turn=t up",
    ]
    assert entry_lines(entry(MESSAGE=[104, 105], ANIMA_PRINTED="1", PRIORITY="3")) == [
        "2026-11-21T02:24:31.123Z ERROR agent:arya | hi"
    ]
    assert entry_lines(entry(MESSAGE=None)) == ["2026-11-21T02:24:31.123Z INFO agent:arya "]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), max_size=3))
def test_the_same_text_becomes_the_same_lines_either_way(texts: list[str]):
    text = "\n".join(texts)
    assert entry_lines(entry(MESSAGE=printable(text))) == entry_lines(entry(MESSAGE=text))


def test_logs_of_journal_and_file_are_one_by_time():
    journal = ["2026-11-21T02:24:31.000Z INFO journal one", "2026-11-21T02:24:33.000Z INFO journal three"]
    file = ["2026-11-21T02:24:32.000Z INFO journal two", "of no shape"]
    assert merged(file, journal) == [journal[0], *file, journal[1]]


def test_identities():
    assert identity("journal", "/h") == {"SYSLOG_IDENTIFIER": "anima-journal", "ANIMA_PROCESS": "journal", "ANIMA_HOME": "/h"}
    assert journald.identity("agent:arya", "/h")["ANIMA_AGENT"] == "arya"


def test_the_page_about_logs_knows_every_field_and_tells_the_limits_that_hold(home: Home, desk: Desk):
    page = DOCS.read_text()
    log = open_log(home, "agent:arya", Log(), (), Journal(desk.address))
    with log_context("main", "t1", "c1", 5):
        log.info("a line")
    logging.getLogger("output").info("printed")
    root = LogFile(home, journal=Journal(desk.address))
    root.warning("it ended", known="ended", about="agent:arya", pid=7)
    sent = {name for entry in desk.entries() for name in entry}
    assert not {name for name in sent - {"MESSAGE"} if f"`{name}`" not in page}
    assert {f"`{name}`" for name in sent if name.startswith("ANIMA_")} == set(re.findall(r"`ANIMA_[A-Z]+`", page))
    assert f"{limits.log_records_per_s_max} lines a second, {limits.log_records_burst_max:,} at once" in page
    assert f"{limits.output_bytes_per_s_max // limits.KIB} KiB a second" in page
    assert f"{limits.output_line_bytes_max // limits.KIB} KiB a line" in page
