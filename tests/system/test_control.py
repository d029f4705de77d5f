"""The control socket with a real root behind it: orders are carried out, garbage and strangers are not."""

import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from anima.errors import BadMessage, Unavailable
from anima.limits import control_clients_max, control_line_bytes_max, records_kept_max
from anima.supervisor import control
from tests.system.small_life import REPO, Small, eventually, spec

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One house for all tests that leave it as they found it."""
    small = Small(tmp_path_factory.mktemp("house"))
    small.plan(spec("journal"), *(spec(f"agent:{name}") for name in ("arya", "arno", "bran")))
    small.start()
    yield small
    assert small.stop() == 0
    small.clear()


@pytest.fixture
def house(tmp_path):
    small = Small(tmp_path)
    yield small
    small.clear()


def connect(house: Small) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    deadline = time.monotonic() + 10
    while True:
        try:
            connection.connect(str(house.home.control))
        except BlockingIOError:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        else:
            return connection


def read_to_end(connection: socket.socket) -> bytes:
    heard = b""
    try:
        while read := connection.recv(65_536):
            heard += read
    except ConnectionResetError:
        return heard
    return heard


def answers_quickly(house: Small) -> None:
    begun = time.monotonic()
    assert house.ask("who", pid=1) == {"ok": True, "name": None}
    assert time.monotonic() - begun < 0.2


# -- what is asked ------------------------------------------------------------------------------------------------------


def test_status_tells_everything_a_person_wants_to_know(shared):
    told = shared.status()
    assert told["ok"] is True
    assert set(told["supervisor"]) == {"pid", "version", "uptime_s", "state", "cgroups", "generation", "upgrade"}
    assert told["supervisor"]["pid"] == shared.pid
    keys = {"name", "kind", "state", "pid", "restarts", "uptime_s", "status", "reason", "incarnation", "cgroup", "generation"}
    assert [set(line) for line in told["processes"]] == [keys] * 4
    assert [line["name"] for line in told["processes"]] == ["journal", "agent:arya", "agent:arno", "agent:bran"]


def test_who_knows_the_children_by_pid_and_nobody_else(shared):
    line = shared.child("agent:arya")
    assert shared.ask("who", pid=line["pid"]) == {"ok": True, "name": "agent:arya"}
    for pid in (0, 1, os.getpid(), shared.pid, 2**62):
        assert shared.ask("who", pid=pid) == {"ok": True, "name": None}


def test_a_name_that_means_nobody_is_refused_and_nothing_is_done(shared):
    refused = shared.ask("stop", "arya", "aryo")
    assert refused["ok"] is False
    assert refused["sort"] == "Refused"
    assert "there is no process 'aryo'" in refused["error"]
    assert shared.child("agent:arya")["state"] == "up"


def test_orders_reach_whom_they_name_and_wait_until_it_is_done(house):
    house.plan(spec("journal"), *(spec(f"agent:{name}") for name in ("arya", "arno", "bran")))
    house.start()
    assert house.ask("stop", "ar*", wait=True) == {"ok": True, "did": {"agent:arya": "stopping", "agent:arno": "stopping"}}
    assert [line["state"] for line in house.status()["processes"]] == ["up", "down", "down", "up"]
    assert house.ask("stop", "arya") == {"ok": True, "did": {"agent:arya": "down"}}
    assert house.ask("start", "arya", wait=True)["ok"]
    assert house.child("agent:arya")["state"] == "up"
    before = house.child("agent:bran")["incarnation"]
    assert house.ask("restart", "all", wait=True)["ok"]
    lines = house.status()["processes"]
    assert [line["state"] for line in lines] == ["up"] * 4
    assert lines[3]["incarnation"] == before + 1
    assert lines[0]["incarnation"] == 1, "`all` means all agents"
    assert house.ask("restart", "journal", wait=True)["ok"]
    assert house.child("journal")["incarnation"] == 2


def test_waiting_for_somebody_who_cannot_start_ends_with_the_reason(house):
    house.plan(spec("agent:a", "ready;stay"), spec("agent:b", "misconfigured:agent.toml:1: no"))
    house.start()
    refused = house.ask("reset", "b", wait=True)
    assert refused["ok"] is False
    assert "agent.toml:1: no" in refused["error"]


def test_a_stop_right_after_a_start_has_the_last_word(house):
    house.plan(spec("agent:a", "sleep:0.2;ready;stay"))
    house.start()
    house.ask("restart", "a")
    house.ask("stop", "a")
    house.ask("start", "a")
    assert house.ask("stop", "a", wait=True)["ok"]
    assert house.child("agent:a")["state"] == "down"
    house.ask("start", "a", wait=True)
    assert house.child("agent:a")["state"] == "up"


def test_down_answers_when_everybody_is_gone(house):
    house.plan(spec("journal", "slow-term;ready;stay"), spec("agent:a"))
    house.start()
    assert house.ask("down", wait=True) == {"ok": True, "did": "stopped"}
    assert house.process.wait(5) == 0
    with pytest.raises(Unavailable, match="is not running"):
        house.status()


def test_a_house_that_goes_down_takes_no_more_orders(house):
    house.plan(spec("journal", "deaf;ready;hang:idle", beat_s=0, stop_timeout_s=1.0))
    house.start()
    house.ask("down")
    refused = house.ask("restart", "journal")
    assert refused["ok"] is False
    assert house.status()["supervisor"]["state"] == "stopping"
    assert house.process.wait(10) == 0


def test_watch_tells_what_was_and_what_comes_in_order_and_ends_with_the_root(house):
    house.plan(spec("agent:a"))
    house.start()
    heard: list[dict] = []
    thread = threading.Thread(target=lambda: heard.extend(control.watch(house.home)), daemon=True)
    thread.start()
    house.ask("restart", "a", wait=True)
    later = list(house.records())
    house.process.terminate()
    thread.join(10)
    assert not thread.is_alive()
    assert [each["n"] for each in heard] == list(range(1, len(heard) + 1))
    assert [each["what"] for each in heard] == ["started", "ready", "ended", "started", "ready", "stopping", "ended"]
    assert len({each["boot"] for each in heard}) == 1
    assert heard[: len(later)] == later


def test_watch_goes_on_from_a_number_and_a_number_of_another_run_means_from_the_start(shared):
    with connect(shared) as first, connect(shared) as second:
        first.sendall(control.request_line({"do": "watch", "since": 3}))
        second.sendall(control.request_line({"do": "watch", "since": 10**9}))
        assert json.loads(first.makefile("rb").readline())["n"] == 4
        assert json.loads(second.makefile("rb").readline())["n"] == 1


def test_requests_in_one_breath_are_answered_one_by_one(shared):
    with connect(shared) as connection:
        connection.sendall(b"".join(control.request_line({"do": "who", "pid": n}) for n in range(300)))
        reader = connection.makefile("rb")
        assert [json.loads(reader.readline())["ok"] for _ in range(300)] == [True] * 300


# -- what nobody should ask ---------------------------------------------------------------------------------------------


def test_garbage_is_answered_with_one_sentence_and_harms_nobody(shared):
    chance = random.Random(7)
    for _ in range(60):
        with connect(shared) as connection:
            connection.sendall(chance.randbytes(chance.randrange(1, 3000)).replace(b"\n", b"") + b"\n")
            reply = json.loads(connection.makefile("rb").readline())
            assert reply["ok"] is False
            assert reply["sort"] == "BadMessage"
    answers_quickly(shared)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"do": 1}',
        b'{"do": "stop"}',
        b'{"do": "who", "pid": true}',
        b'{"do": "fly"}',
        b"[" * 60_000,
        b"1" * 60_000,
    ],
)
def test_a_request_that_makes_no_sense_is_told_so_and_the_next_one_is_served(shared, line):
    with connect(shared) as connection:
        reader = connection.makefile("rb")
        connection.sendall(line + b"\n" + b'{"do": "who", "pid": 1}\n')
        assert json.loads(reader.readline())["sort"] == "BadMessage"
        assert json.loads(reader.readline()) == {"ok": True, "name": None}


def test_a_line_without_end_is_cut_off(shared):
    with connect(shared) as connection:
        sender = threading.Thread(target=lambda: _send(connection, b"x" * (20 * control_line_bytes_max)), daemon=True)
        sender.start()
        heard = read_to_end(connection)
        sender.join()
    assert f"at most {control_line_bytes_max} bytes" in json.loads(heard)["error"]
    answers_quickly(shared)


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def test_one_client_too_many_is_refused_with_a_sentence_and_a_place_that_gets_free_is_given(shared):
    waiting = [connect(shared) for _ in range(control_clients_max)]
    eventually(lambda: len(_clients(shared)) >= control_clients_max, "all places are taken")
    with connect(shared) as refused:
        assert "clients already" in json.loads(read_to_end(refused))["error"]
    assert "clients already" in shared.ask("who", pid=1)["error"]
    waiting.pop().close()
    eventually(lambda: shared.ask("who", pid=1)["ok"], "the free place is given")
    for connection in waiting:
        connection.close()
    eventually(lambda: shared.ask("who", pid=1)["ok"], "all places are free")


def _clients(house: Small) -> list[str]:
    path = str(house.home.control)
    listing = open("/proc/net/unix").read().splitlines()  # noqa: SIM115, PTH123
    return [line for line in listing if line.endswith(path) and line.split()[5] == "03"]


def test_a_thousand_half_open_connections_do_not_hold_anybody_up(shared):
    for _ in range(1000):
        connection = connect(shared)
        if random.random() < 0.5:
            _send(connection, b'{"do": "sta')
        connection.close()
    eventually(lambda: shared.ask("who", pid=1)["ok"], "it serves again")
    answers_quickly(shared)
    assert shared.descriptors() < 64


def test_somebody_who_does_not_read_holds_nobody_up(shared):
    with connect(shared) as connection:
        connection.sendall(b"".join(control.request_line({"do": "status"}) for _ in range(500)))
        for _ in range(20):
            answers_quickly(shared)


def test_a_watcher_that_does_not_read_is_dropped_when_it_missed_records(house):
    house.plan(spec("agent:a"))
    house.start()
    with connect(house) as sleepy:
        sleepy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleepy.sendall(control.request_line({"do": "watch", "since": 0}))
        with connect(house) as busy:
            reader = busy.makefile("rb")
            for _ in range(records_kept_max // 2 + 1200):
                busy.sendall(
                    control.request_line({"do": "pause", "names": ["a"]})
                    + control.request_line({"do": "resume", "names": ["a"]})
                )
                reader.readline()
                reader.readline()
        answers_quickly(house)
        heard = read_to_end(sleepy)
    assert len(heard.splitlines()) < records_kept_max


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to become somebody else")
def test_another_user_is_refused_by_the_kernels_word_even_if_the_file_lets_him_in(house):
    house.plan(spec("agent:a"))
    house.start()
    for folder in (house.home.root, *house.home.root.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    house.home.run.chmod(0o711)
    house.home.control.chmod(0o666)
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.makefile().readline())"
    become_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*become_nobody, sys.executable, "-S", "-c", code, str(house.home.control)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if "ermission" in told.stderr and "python" in told.stderr:
        pytest.skip("another user may not run this interpreter")
    assert json.loads(told.stdout) == {"ok": False, "error": "this house belongs to another user", "sort": "Refused"}, (
        told.stderr
    )
    assert house.status()["ok"]


def test_the_socket_is_for_its_owner_only(shared):
    assert shared.home.control.stat().st_mode & 0o777 == 0o600
    assert shared.home.run.stat().st_mode & 0o777 == 0o700
    with connect(shared) as connection:
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    assert struct.unpack("3i", peer)[0] == shared.pid


def test_a_request_that_is_too_long_is_not_even_sent(shared):
    with pytest.raises(BadMessage):
        shared.ask("stop", "x" * control_line_bytes_max)


def test_the_client_alone_is_quick_to_import():
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import anima.supervisor.control; print(len(sys.modules))"
    told = subprocess.run([sys.executable, "-S", "-c", code, str(REPO)], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 120
