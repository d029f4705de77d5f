"""How the control socket treats clients over time, by a clock that is moved by hand."""

import json
import os
import signal
import socket

import pytest

from anima.clock import FakeClock
from anima.limits import control_idle_s, records_kept_max
from anima.paths import Home
from anima.supervisor.control import request_line
from anima.supervisor.listener import Listener, open_door
from anima.supervisor.records import Records
from anima.supervisor.spawn import Reserve
from anima.supervisor.watch import Watch

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Desk:
    """A listener, its clock, and answers that are given when told to."""

    def __init__(self, home: Home) -> None:
        self.home, self.clock, self.watch, self.records = home, FakeClock(), Watch(), Records()
        self.reserve = Reserve()
        self.promised: dict[str, object] | None = None
        self.listener = Listener(open_door(home), self.watch, self.records, self.answer, self.reserve, self.clock)

    def answer(self, request):
        return (lambda: self.promised) if request.wait else {"ok": True, "do": request.do}

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.watch.sleep(0.0)
            self.listener.turn()

    def client(self, request: dict[str, object] | None = None) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.home.control))
        connection.settimeout(5)
        if request:
            connection.sendall(request_line(request))
        self.turn()
        return connection


@pytest.fixture
def desk(tmp_path):
    before = {number: signal.getsignal(number) for number in SIGNALS}
    made = Desk(Home(tmp_path, tmp_path))
    yield made
    made.listener.close()
    made.watch.close()
    for fd in made.reserve._held:
        os.close(fd)
    for number, reaction in before.items():
        signal.signal(number, reaction)


def hung_up(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(10) == b""
    except BlockingIOError:
        return False


def test_a_client_that_says_nothing_or_only_half_is_dropped_after_its_time(desk):
    with desk.client() as silent, desk.client() as half:
        half.sendall(b'{"do": ')
        desk.clock.advance(control_idle_s - 1)
        half.sendall(b'"sta')
        desk.turn()
        assert not hung_up(silent)
        assert desk.listener.next_wake() == control_idle_s
        desk.clock.advance(1)
        desk.turn()
        assert hung_up(silent)
        assert hung_up(half), "saying one letter now and then does not help"
    assert desk.listener.next_wake() is None


def test_a_client_that_asks_again_stays(desk):
    with desk.client({"do": "status"}) as busy:
        for _ in range(5):
            desk.clock.advance(control_idle_s - 1)
            busy.sendall(request_line({"do": "status"}))
            desk.turn()
        reader = busy.makefile("rb")
        assert [json.loads(reader.readline())["ok"] for _ in range(6)] == [True] * 6


def test_who_was_promised_an_answer_and_who_watches_may_wait_for_ever(desk):
    with desk.client({"do": "down", "wait": True}) as promised, desk.client({"do": "watch"}) as watcher:
        desk.clock.advance(100 * control_idle_s)
        desk.turn()
        assert not hung_up(promised)
        assert not hung_up(watcher)
        assert desk.listener.next_wake() is None, "and costs no wake-up"
        desk.promised = {"ok": True}
        desk.records.add("note", name="x", reason="y")
        desk.turn()
        for connection in (promised, watcher):
            connection.settimeout(5)
        assert json.loads(promised.makefile("rb").readline()) == {"ok": True}
        assert json.loads(watcher.makefile("rb").readline())["what"] == "note"


def test_who_does_not_take_his_answer_is_dropped_after_his_time(desk):
    with desk.client() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        desk.listener._answer = lambda _: {"ok": True, "text": "x" * 4_000_000}
        lazy.sendall(request_line({"do": "status"}))
        desk.turn()
        desk.clock.advance(control_idle_s)
        desk.turn()
        assert desk.listener._clients == []


def test_a_late_watcher_gets_what_is_still_kept(desk):
    for n in range(records_kept_max + 5):
        desk.records.add("note", name=str(n), reason="")
    with desk.client({"do": "watch", "since": 2}) as late:
        assert json.loads(late.makefile("rb").readline())["n"] == 6


def test_what_was_promised_is_answered_before_the_socket_closes(desk):
    with desk.client({"do": "down", "wait": True}) as promised:
        desk.promised = {"ok": True, "did": "stopped"}
        desk.listener.close()
        assert json.loads(promised.makefile("rb").readline()) == {"ok": True, "did": "stopped"}
    assert not desk.home.control.exists()
    desk.listener = Listener(open_door(desk.home), desk.watch, desk.records, desk.answer, desk.reserve, desk.clock)
