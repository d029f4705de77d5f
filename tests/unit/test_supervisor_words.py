"""sd_notify words from children, and requests from clients: anything may come, nothing may harm."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import BadMessage, Unavailable
from anima.limits import control_line_bytes_max
from anima.paths import Home
from anima.supervisor.boot import Boot
from anima.supervisor.control import ORDERS, Request, ask, parse_request, read_reply, request_line
from anima.supervisor.words import BEAT, STATUS_CHARS_MAX, Words, parse_words


def test_the_words_of_systemd_are_understood():
    assert parse_words(b"READY=1\nSTATUS=idle") == Words(ready=True, status="idle")
    assert parse_words(BEAT) == Words(beat=True)
    assert parse_words(b"WATCHDOG=trigger") == Words(hang=True)
    assert parse_words(b"STOPPING=1\n") == Words(stopping=True)
    assert parse_words(b"EXTEND_TIMEOUT_USEC=1500000") == Words(extend_s=1.5)
    assert parse_words(b"X_REASON=no key") == Words(reason="no key")


@pytest.mark.parametrize("gossip", [b"", b"READY", b"READY=2", b"=1", b"\xff\xfe=1", b"EXTEND_TIMEOUT_USEC=-1", b"MAINPID=1"])
def test_gossip_means_nothing(gossip):
    assert parse_words(gossip) == Words()


def test_a_status_cannot_play_with_the_terminal():
    status = parse_words(b"STATUS=\x1b[31mred\x07 " + b"x" * 10_000).status
    assert status is not None
    assert status.isprintable()
    assert len(status) <= STATUS_CHARS_MAX


@given(st.binary(max_size=5000))
def test_any_datagram_is_read(datagram):
    words = parse_words(datagram)
    assert words.extend_s is None or 0 <= words.extend_s <= 3600


@given(st.binary(max_size=2000))
def test_any_line_is_a_request_or_a_bad_message(line):
    try:
        request = parse_request(line)
    except BadMessage:
        return
    assert isinstance(request, Request)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
verbs = st.sampled_from([*sorted(ORDERS), "status", "watch", "who", "reload", "down"])


@given(st.dictionaries(st.sampled_from(["names", "wait", "since", "pid", "else"]), json_values), verbs)
def test_a_request_that_is_understood_has_the_types_it_promises(said, do):
    try:
        request = parse_request(json.dumps({**said, "do": do}).encode())
    except BadMessage:
        return
    assert request.do == do
    assert all(isinstance(name, str) for name in request.names)
    assert type(request.wait) is bool
    assert type(request.since) is int
    assert request.since >= 0
    assert type(request.pid) is int


def test_brackets_without_end_are_a_bad_message():
    with pytest.raises(BadMessage):
        parse_request(b"[" * 60_000)


def test_a_request_travels_as_it_was_meant():
    line = request_line({"do": "stop", "names": ["arya", "ag*"], "wait": True})
    assert line.endswith(b"\n")
    assert parse_request(line) == Request("stop", ("arya", "ag*"), wait=True)


def test_a_request_longer_than_the_root_reads_is_not_sent():
    with pytest.raises(BadMessage, match="longer than"):
        request_line({"do": "stop", "names": ["x" * control_line_bytes_max]})


def test_a_reply_that_is_no_object_is_a_bad_message():
    for line in (b"", b"[]", b"{", b"\xff"):
        with pytest.raises(BadMessage):
            read_reply(line)


names = st.text(min_size=1, max_size=30)


@given(names, names, st.integers(1, 10**6), st.integers(0, 10**5), st.floats(0, 100), names)
def test_a_boot_survives_the_way_through_exec(name, kind, incarnation, fd, beat_s, settings):
    boot = Boot(name, kind, "/h", "/r", incarnation, fd, fd + 1, beat_s, settings)
    assert Boot.from_json(boot.to_json()) == boot
    assert boot.house == Home(boot.house.root, boot.house.run)


@given(st.text(max_size=200))
def test_what_is_no_boot_is_a_bad_message(text):
    with pytest.raises(BadMessage):
        Boot.from_json(text)


def test_asking_a_house_that_is_down_names_the_command_that_starts_it(tmp_path):
    with pytest.raises(Unavailable, match=r"is not running; start it with `animactl up"):
        ask(Home(tmp_path, tmp_path), {"do": "status"})
