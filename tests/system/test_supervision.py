"""The root under fire, with real processes: who dies comes back, who hangs is ended, who is told to stop stops.

The numbers in the names of the groups (P1, C2, ...) are those of the fault matrix the promises come from.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from anima.errors import Exit
from anima.supervisor.pidfile import read_pid_file
from tests.system.small_life import PROGRAM, REPO, Small, eventually, spec

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]


@pytest.fixture
def house(tmp_path):
    small = Small(tmp_path)
    yield small
    small.clear()


@pytest.fixture(params=["fork", "exec"])
def either(tmp_path, request):
    """A house whose children are forked, and one whose children are started by exec."""
    small = Small(tmp_path, request.param)
    yield small
    small.clear()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# -- birth and end -----------------------------------------------------------------------------------------------------


def test_everyone_is_born_in_order_and_stopped_in_the_opposite_one(either):
    either.plan(
        spec("journal", "sleep:0.1;ready;stay"), spec("mneme"), spec("agent:a", "slow-term;ready;stay"), spec("agent:b")
    )
    either.start()
    told = [(each["what"], each["name"]) for each in either.records()]
    assert told[:4] == [("started", "journal"), ("ready", "journal"), ("started", "mneme"), ("ready", "mneme")]
    assert set(told[4:6]) == {("started", "agent:a"), ("started", "agent:b")}
    lines = either.status()["processes"]
    assert [line["state"] for line in lines] == ["up"] * 4
    for line in lines:
        assert read_pid_file(either.home.pid_file(line["name"])) == line["pid"]
        assert os.getsid(line["pid"]) == line["pid"]
    assert read_pid_file(either.home.pid_file("supervisor")) == either.pid
    assert either.stop() == Exit.OK
    ended = re.findall(r"(\S+) ended \(pid", either.log("supervisor"))
    assert set(ended[:2]) == {"agent:a", "agent:b"}
    assert ended[2:] == ["mneme", "journal"]
    assert sorted(path.name for path in either.home.run.iterdir()) == [], "PID files and socket are gone"


def test_a_child_has_its_five_descriptors_and_no_other(either):
    either.plan(spec("journal"), spec("agent:a", "descriptors;abort"), attempts_max=1)
    either.start()
    either.until("agent:a", "failed")
    assert "| open: []" in either.log("agent:a")


def test_what_a_dead_child_had_printed_is_written_without_secrets(either):
    either.plan(spec("journal"), spec("agent:a", "print:the key is sk-of-the-house;abort"), attempts_max=1)
    either.start()
    either.until("agent:a", "failed")
    assert "| the key is ***" in either.log("agent:a")
    assert "sk-of-the-house" not in either.log("agent:a")


def test_a_hundred_are_born_and_stopped_together(house):
    house.plan(*(spec(f"agent:a{n}") for n in range(100)))
    house.start()
    assert [line["state"] for line in house.status()["processes"]] == ["up"] * 100
    assert house.stop() == Exit.OK


def test_the_last_words_of_a_crash_stand_in_its_log_whole_and_cut(house):
    house.plan(spec("agent:a", "print:before;flood:60000;print:;print:after;abort"), attempts_max=1)
    house.start()
    house.until("agent:a", "failed")
    log = house.log("agent:a")
    lines = log.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR agent:a \| ", line) for line in lines)
    assert lines[0].endswith("| before")
    assert lines[1].endswith("x [cut]")
    assert len(lines[1]) < 50_000
    assert "| after" in log
    assert "Fatal Python error: Aborted" in log


# -- P1, P2: kill -9 ---------------------------------------------------------------------------------------------------


def test_a_killed_agent_is_replaced_and_its_siblings_do_not_notice(either):
    either.plan(spec("journal"), spec("agent:a"), spec("agent:b"))
    either.start()
    before = {line["name"]: line["pid"] for line in either.status()["processes"]}
    os.kill(before["agent:a"], signal.SIGKILL)
    eventually(lambda: either.child("agent:a")["incarnation"] == 2, "it is replaced")
    line = either.until("agent:a", "up")
    assert line["restarts"] == 1
    after = {line["name"]: line["pid"] for line in either.status()["processes"]}
    assert after["agent:a"] != before["agent:a"]
    assert (after["journal"], after["agent:b"]) == (before["journal"], before["agent:b"])
    (ended,) = either.records("ended")
    assert ended["signal"] == 9
    assert (ended["exit"], ended["cause"], ended["reason"]) == (-1, "signal", "killed by SIGKILL")
    assert set(ended) >= {"n", "boot", "ts", "what", "name", "pid", "incarnation", "uptime_s"}


def test_after_a_storm_of_kills_everyone_is_back_and_nothing_has_leaked(house):
    house.plan(*(spec(name) for name in ("journal", "mneme", "agent:a", "agent:b", "agent:c")), reset_s=0.5)
    house.start()
    descriptors = house.descriptors()
    seed = int(os.environ.get("STORM_SEED") or random.randrange(2**32))
    print(f"STORM_SEED={seed}")
    chance = random.Random(seed)
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        for line in house.status()["processes"]:
            if line["pid"] and chance.random() < 0.7:
                os.kill(line["pid"], signal.SIGKILL)
        time.sleep(chance.uniform(0.05, 0.2))
    started = [each for each in house.records("started") if each["incarnation"] > 1]
    eventually(lambda: all(line["state"] == "up" for line in house.status()["processes"]), "all are up after the storm")
    assert house.zombies() == []
    eventually(lambda: abs(house.descriptors() - descriptors) <= 2, "the descriptors are back to where they were")
    for first in started:
        in_a_second = [each for each in started if first["ts"] <= each["ts"] < first["ts"] + 1]
        assert len(in_a_second) <= 32, "the bucket holds: a burst of 20 and 10 a second"
    assert house.stop() == Exit.OK


# -- P3 - P6: crash loops and exit codes -------------------------------------------------------------------------------


def test_a_crash_loop_is_slowed_down_then_parked_and_reset_frees_it(either):
    either.plan(spec("journal"), spec("agent:a", "exit:3"), attempts_max=7)
    either.start()
    line = either.until("agent:a", "failed")
    assert line["reason"] == "left with exit code 3; it failed 7 times in a row"
    assert line["pid"] is None
    assert len(either.records("started", "agent:a")) == 7
    assert [each["name"] for each in either.records("parked")] == ["agent:a"]
    refused = either.ask("start", "a")
    assert refused["ok"] is False
    assert "animactl reset a" in refused["error"]
    either.ask("reset", "a")
    eventually(lambda: len(either.records("parked")) == 2, "it had another seven chances")
    assert len(either.records("started", "agent:a")) == 14


def test_a_crash_loop_that_gets_ready_first_is_parked_all_the_same(house):
    house.plan(spec("agent:a", "ready;sleep:0.1;exit:1"), attempts_max=4)
    house.start()
    house.until("agent:a", "failed")
    assert len(house.records("ready", "agent:a")) == 4


def test_a_wrong_configuration_is_not_tried_again_until_it_changes(either):
    either.plan(spec("journal"), spec("agent:a", "misconfigured:agent.toml:3: no such model"), spec("agent:b"))
    either.start()
    line = either.until("agent:a", "failed")
    assert line["restarts"] == 0
    assert "agent.toml:3: no such model" in line["reason"]
    assert "ConfigError: agent.toml:3: no such model" in either.log("agent:a")
    assert either.child("agent:b")["state"] == "up"
    assert either.ask("reload") == {"ok": True, "added": [], "removed": [], "changed": []}
    assert either.child("agent:a")["state"] == "failed"
    either.plan(spec("journal"), spec("agent:a", "ready;stay"), spec("agent:b"))
    assert either.ask("reload")["changed"] == ["agent:a"]
    either.until("agent:a", "up")


def test_a_bug_leaves_its_traceback_and_its_reason(either):
    either.plan(spec("agent:a", "bug:nothing"), attempts_max=1)
    either.start()
    assert either.until("agent:a", "failed")["reason"].startswith("left with exit code 1 (a bug): KeyError: 'nothing'")
    log = either.log("agent:a")
    assert "| Traceback (most recent call last):" in log
    assert "| KeyError: 'nothing'" in log


def test_each_kind_of_child_comes_back_or_not_as_its_end_asks(house):
    house.plan(
        spec("agent:transient-done", "ready;exit:0", restart="transient"),
        spec("agent:transient-bug", "die-once;ready;stay", restart="transient"),
        spec("agent:temporary-bug", "exit:1", restart="temporary"),
        spec("agent:permanent-done", "ready;sleep:0.05;exit:0"),
        spec("agent:later", "unavailable:the journal is away"),
        attempts_max=5,
    )
    house.start()
    assert house.until("agent:transient-done", "down")["reason"] == "done"
    assert house.until("agent:transient-bug", "up")["incarnation"] == 2
    assert "not restarted" in house.until("agent:temporary-bug", "down")["reason"]
    assert house.until("agent:permanent-done", "failed")["incarnation"] == 5
    eventually(lambda: house.child("agent:later")["incarnation"] >= 6, "exit 75 waits, but is never given up")
    assert "the journal is away" in house.child("agent:later")["reason"]
    assert {each["name"] for each in house.records("parked")} == {"agent:permanent-done"}


# -- P7 - P9: hangs ----------------------------------------------------------------------------------------------------


def test_a_stopped_process_is_ended_by_the_watchdog_and_replaced(either):
    either.plan(spec("agent:a", beat_s=0.1), spec("agent:b", beat_s=0.1))
    either.start()
    first = either.child("agent:a")["pid"]
    other = either.child("agent:b")["pid"]
    os.kill(first, signal.SIGSTOP)
    (ended,) = eventually(lambda: either.records("ended", "agent:a"), "it is ended")
    assert ended["cause"] == "watchdog"
    assert either.until("agent:a", "up")["pid"] != first
    assert either.child("agent:b")["pid"] == other


def test_a_busy_loop_is_ended_and_its_stack_shows_where(either):
    either.plan(spec("agent:a", "ready;hang:busy", beat_s=0.1))
    either.start()
    (first, *_) = eventually(lambda: either.records("ended", "agent:a"), "it is ended")
    assert first["cause"] == "watchdog"
    log = either.log("agent:a")
    assert "Fatal Python error: Aborted" in log
    assert "in hang" in log


def test_who_never_gets_ready_is_ended_at_its_start_timeout(house):
    house.plan(spec("agent:a", "hang:busy", start_timeout_s=0.3), spec("agent:b"), attempts_max=2)
    house.start()
    assert "did not say READY=1 within 0.3 s" in house.until("agent:a", "failed")["reason"]
    assert "in hang" in house.log("agent:a")
    assert {each["cause"] for each in house.records("ended", "agent:a")} == {"start-timeout"}


def test_who_asks_for_more_time_gets_it(house):
    house.plan(spec("agent:a", "later:0.6;ready;stay", start_timeout_s=0.3))
    house.start()
    assert house.until("agent:a", "up")["incarnation"] == 1


def test_who_ignores_term_is_killed_at_its_deadline_with_its_whole_group(either):
    either.plan(spec("agent:a", "deaf;child-in-group;ready;hang:idle", stop_timeout_s=0.4, beat_s=0))
    either.start()
    (sleeper,) = psutil.Process(either.child("agent:a")["pid"]).children()
    stopped = either.ask("stop", "a", wait=True)
    assert stopped["ok"] is True
    (ended,) = either.records("ended")
    assert (ended["signal"], ended["cause"]) == (9, "stop")
    assert "did not end within 0.4 s" in ended["reason"]
    eventually(lambda: gone(sleeper.pid), "nobody of its group is left")


# -- P10, P11: orphans -------------------------------------------------------------------------------------------------


def test_a_daemon_left_behind_is_ended_and_told(either):
    either.plan(spec("agent:a", "orphan:3;ready;stay"))
    either.start()
    eventually(lambda: sum(each.name() == "sleep" for each in either.tree()) == 3, "the daemons run, and hang on the root")
    either.ask("stop", "a", wait=True)
    eventually(lambda: either.tree() == [], "nobody is left")
    strays = eventually(lambda: either.records("stray"), "it is told")
    assert len(strays) == 3
    assert "'sleep' was left behind" in strays[0]["reason"]


def test_daemons_left_behind_do_not_survive_the_house(house):
    house.plan(spec("agent:a", "orphan:2;ready;stay"))
    house.start()
    eventually(lambda: sum(each.name() == "sleep" for each in house.tree()) == 2, "the daemons run")
    assert house.stop() == Exit.OK  # and `stop` looks that nobody is left


def test_two_thousand_orphans_at_once_are_reaped_and_nobody_waits(house):
    house.plan(spec("agent:a", "brief-orphans:2000;ready;stay", beat_s=1.0), spec("agent:b"))
    house.start()
    eventually(lambda: len(house.tree()) == 2 and house.zombies() == [], "all are reaped", timeout_s=5)
    begun = time.monotonic()
    house.status()
    assert time.monotonic() - begun < 0.2
    assert [line["incarnation"] for line in house.status()["processes"]] == [1, 1]


# -- P12, P13: identities ----------------------------------------------------------------------------------------------

REUSE = """
import os, signal, subprocess, sys, time
from pathlib import Path
sys.path[:0] = [{repo!r}]
subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
from tests.system.small_life import Small, eventually, spec
small = Small(Path({root!r}))
small.plan(spec("agent:a", "ready;stay"), spec("agent:b", "ready;stay"))
small.start()
pid = small.child("agent:a")["pid"]
small.ask("stop", "a", wait=True)
for _ in range(200):
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    stranger = subprocess.Popen(["sleep", "60"])
    if stranger.pid == pid:
        break
    stranger.kill(); stranger.wait()
assert stranger.pid == pid, "the number is taken again"
small.home.pid_file("agent:a").write_text(f"{{pid}} 1\\n")
small.ask("stop", "a", wait=True)
small.ask("start", "a", wait=True)
small.ask("restart", "a", wait=True)
small.stop()
assert stranger.poll() is None, "the stranger lives"
stranger.kill(); stranger.wait()
print("unharmed")
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare for a PID namespace of its own"
)
def test_a_stranger_that_got_a_dead_childs_number_is_never_signalled(tmp_path):
    code = REUSE.format(root=str(tmp_path), repo=str(REPO))
    command = ["unshare", "--pid", "--mount", "--fork", "--kill-child", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPO)
    assert done.stdout.strip().endswith("unharmed"), done.stderr


def test_a_second_supervisor_leaves_with_100_and_names_the_first(house):
    house.plan(spec("agent:a"))
    house.start()
    command = [sys.executable, str(PROGRAM), str(house.home.root)]
    environ = {**os.environ, "PYTHONPATH": str(REPO)}
    second = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == Exit.ALREADY
    assert f"already running (pid {house.pid})" in second.stderr
    assert house.child("agent:a")["state"] == "up"


def test_after_kill_9_everyone_is_gone_within_two_seconds_and_the_next_start_finds_its_way(either):
    either.plan(spec("journal"), spec("agent:a"), spec("agent:b", "deaf;ready;stay"))
    either.start()
    pids = [line["pid"] for line in either.status()["processes"]]
    os.kill(either.pid, signal.SIGKILL)
    either.process.wait(5)
    either.process.stderr.close()
    eventually(lambda: all(gone(pid) for pid in pids), "nobody outlives the root", timeout_s=2)
    assert either.home.control.exists(), "the socket is stale now"
    assert either.home.pid_file("agent:a").exists()
    either.start()
    assert [line["state"] for line in either.status()["processes"]] == ["up"] * 3
    assert read_pid_file(either.home.pid_file("agent:a")) == either.child("agent:a")["pid"]


# -- P14, P15: nothing left --------------------------------------------------------------------------------------------

PIDS = Path("/sys/fs/cgroup/pids")


@pytest.mark.skipif(not os.access(PIDS / "cgroup.procs", os.W_OK), reason="needs a writable pids cgroup (v1)")
def test_when_the_kernel_gives_no_process_the_others_live_and_it_is_tried_again(house):
    group = PIDS / f"anima-test-{os.getpid()}"
    group.mkdir()
    try:
        house.plan(spec("agent:a"), spec("agent:b"))
        house.start()
        (group / "cgroup.procs").write_text(str(house.pid))
        (group / "pids.max").write_text("1")
        other = house.child("agent:b")["pid"]
        os.kill(house.child("agent:a")["pid"], signal.SIGKILL)
        (unborn, *_) = eventually(lambda: house.records("unborn"), "it cannot be forked")
        assert "the system gives no process" in unborn["reason"]
        eventually(lambda: len(house.records("unborn")) >= 3, "it is tried again")
        assert house.child("agent:b")["pid"] == other
        (group / "pids.max").write_text("max")
        house.until("agent:a", "up")
        assert house.records("parked") == []
        assert house.stop() == Exit.OK
    finally:
        house.clear()
        eventually(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


def test_without_descriptors_it_still_restarts_reaps_and_answers(house):
    house.plan(spec("agent:a"), spec("agent:b"))
    house.start(prefix=("prlimit", "--nofile=48:48"))
    connections = []
    try:
        for _ in range(200):
            connection = socket.socket(socket.AF_UNIX)
            connections.append(connection)
            connection.connect(str(house.home.control))  # waits while the queue of new clients is full
        os.kill(read_pid_file(house.home.pid_file("agent:a")) or 0, signal.SIGKILL)
        old = house.home.pid_file("agent:b").read_text()
        eventually(lambda: house.log("supervisor").count("agent:a is up") == 2, "it is replaced")
    finally:
        for connection in connections:
            connection.close()
    eventually(lambda: _answers(house), "it answers again")
    assert house.child("agent:a")["incarnation"] == 2
    assert house.home.pid_file("agent:b").read_text() == old
    assert house.stop() == Exit.OK


def _answers(house: Small) -> bool:
    try:
        return bool(house.status()["ok"])
    except KeyError:
        return False


# -- P19, P20: pauses and stops ----------------------------------------------------------------------------------------


def test_when_the_whole_machine_stood_still_nobody_is_to_blame(house):
    house.plan(spec("agent:a", beat_s=0.1), spec("agent:b", beat_s=0.1))
    house.start()
    pids = [line["pid"] for line in house.status()["processes"]]
    everyone = [house.pid, *pids]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2.0)
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: "the machine stood still" in house.log("supervisor"), "it notices")
    time.sleep(0.6)
    assert [line["pid"] for line in house.status()["processes"]] == pids
    assert house.records("ended") == []


def test_a_stop_during_the_start_is_not_lost(either):
    either.plan(spec("journal", "sleep:0.5;ready;stay"), spec("mneme"), spec("agent:a"))
    either.start(wait=False)
    eventually(lambda: "journal started" in either.log("supervisor"), "the first one is being born")
    assert either.stop() == Exit.OK
    assert "mneme started" not in either.log("supervisor")


def test_a_second_term_ends_everything_within_two_seconds(house):
    house.plan(
        *(
            spec(name, "deaf;ready;hang:idle", beat_s=0, stop_timeout_s=60)
            for name in ("journal", "mneme", "agent:a", "agent:b")
        )
    )
    house.start()
    house.process.terminate()
    eventually(lambda: "going down" in house.log("supervisor"), "the first is heard")
    begun = time.monotonic()
    house.process.terminate()
    assert house.process.wait(10) == Exit.OK
    assert time.monotonic() - begun < 3.0
    assert re.findall(r"(\S+) ended", house.log("supervisor"))[0].startswith("agent:")


# -- P22, P24: surroundings --------------------------------------------------------------------------------------------


def test_with_a_thread_in_the_root_children_are_started_by_exec(house):
    house.plan(spec("agent:a"))
    house.start("--thread")
    assert house.child("agent:a")["state"] == "up"
    (note,) = house.records("note")
    assert "a thread runs in the supervisor" in note["reason"]
    assert "small_house.py" in " ".join(psutil.Process(house.child("agent:a")["pid"]).cmdline())
    assert "--boot-fd" in psutil.Process(house.child("agent:a")["pid"]).cmdline()


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody"])
def test_a_broken_notify_socket_is_no_error(house, address):
    house.environ["NOTIFY_SOCKET"] = address
    house.plan(spec("agent:a"))
    house.start()
    assert house.stop() == Exit.OK


def test_systemd_hears_the_truth(house):
    path = house.home.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        house.environ |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        house.plan(spec("journal"), spec("agent:a"), spec("agent:arya", "exit:78"))
        house.start()

        heard: list[str] = []

        def hear(until: str) -> str:
            while True:
                heard.append(systemd.recv(4096).decode())
                if until in heard[-1]:
                    return heard[-1]

        assert hear("READY=1") == "READY=1\nSTATUS=1 agent up, 1 parked: arya"
        assert not any(words.startswith("READY") for words in heard[:-1]), "not before everybody had a chance"
        hear("WATCHDOG=1")
        (house.home.root / "plan.json").write_text("{")
        house.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in hear("RELOADING=1")
        hear("READY=1")
        house.plan(spec("journal"))
        house.process.send_signal(signal.SIGHUP)
        hear("STATUS=0 agents up")
        house.process.terminate()
        hear("STOPPING=1")
    assert house.stop() == Exit.OK


@pytest.fixture
def systemd(house) -> Iterator[socket.socket]:
    """What the root says upward."""
    path = house.home.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        house.environ |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        yield systemd


@pytest.mark.parametrize("code", [78, 1])
def test_a_service_that_can_never_be_up_ends_with_the_code_that_says_whether_to_try_again(house, systemd, code):
    house.plan(spec("journal", f"exit:{code}", vital=True), spec("agent:a"), attempts_max=2)
    house.start(wait=False)
    assert house.process.wait(20) == (Exit.CONFIG if code == Exit.CONFIG else Exit.BUG)
    systemd.setblocking(False)
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(systemd.recv(4096).decode())
    assert not any("READY=1" in words for words in heard)
    assert f"STATUS=journal does not start: left with exit code {code}" in heard[-1]


def test_a_house_of_a_person_stays_to_tell_what_is_wrong(house):
    house.plan(spec("journal", "exit:78", vital=True), spec("agent:a"))
    house.start(wait=False)
    eventually(house.home.control.exists, "the house answers")
    house.until("agent:a", "up")
    house.until("journal", "failed")
    assert house.stop() == Exit.OK


def test_systemd_is_not_told_that_all_is_well_while_what_all_need_does_not_come_back(house, systemd):
    """The loop turns, but a journal that hangs on its way up is no house: the watchdog may end it."""
    house.plan(spec("journal", "live-once;hang", vital=True, beat_s=0.1, start_timeout_s=0.6))
    house.start()

    def beats_in(seconds: float) -> int:
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                systemd.settimeout(0.1)
                count += "WATCHDOG=1" in systemd.recv(4096).decode()
        return count

    assert beats_in(1.0) > 2
    os.kill(house.child("journal")["pid"], signal.SIGKILL)
    eventually(lambda: beats_in(0.5) == 0, "it goes on to say that all is well")
    assert house.ask("status")["ok"], "the loop turns"


# -- C1 - C3: reload ---------------------------------------------------------------------------------------------------


def test_a_wrong_plan_leaves_the_old_one_and_says_where(house):
    house.plan(spec("agent:a"))
    house.start()
    (house.home.root / "plan.json").write_text('{\n"specs": [}')
    refused = house.ask("reload")
    assert refused["ok"] is False
    assert refused["sort"] == "ConfigError"
    assert "plan.json:2:" in refused["error"]
    house.plan(spec("agent:a"), spec("agent:b"))
    (house.home.root / "raise").write_text("")
    refused = house.ask("reload")
    assert "ZeroDivisionError" in refused["error"]
    assert "Traceback" in house.log("supervisor")
    (house.home.root / "raise").unlink()
    assert [line["incarnation"] for line in house.status()["processes"]] == [1]
    assert house.ask("reload")["added"] == ["agent:b"]
    house.until("agent:b", "up")


def test_the_first_plan_must_be_right(house):
    (house.home.root / "plan.json").write_text("{")
    house.start(wait=False)
    assert house.process.wait(10) == Exit.CONFIG
    assert "plan.json:1:" in house.process.stderr.read().decode()
    assert not house.home.control.exists()


def test_a_reload_touches_only_what_changed(either):
    either.plan(spec("journal"), spec("agent:a"), spec("agent:b"), spec("agent:c"), spec("agent:d", "exit:78"))
    either.start()
    either.ask("stop", "c", wait=True)
    before = {line["name"]: line["pid"] for line in either.status()["processes"]}
    either.plan(
        spec("journal", stop_timeout_s=1.0),
        spec("agent:a", "status:new;ready;stay"),
        spec("agent:c", "status:new;ready;stay"),
        spec("agent:d", "status:new;ready;stay"),
        spec("agent:e"),
    )
    changes = either.ask("reload")
    assert changes == {"ok": True, "added": ["agent:e"], "removed": ["agent:b"], "changed": ["agent:a", "agent:c", "agent:d"]}
    eventually(lambda: either.child("agent:a")["status"] == "new", "the changed one lives by its new settings")
    either.until("agent:e", "up")
    either.until("agent:d", "up")
    eventually(lambda: len(either.status()["processes"]) == 5, "the removed one is gone")
    assert either.child("journal")["pid"] == before["journal"]
    assert either.child("agent:a")["incarnation"] == 2
    assert either.child("agent:c")["state"] == "down", "a person stopped it"
    assert gone(before["agent:b"])


def test_a_hundred_hups_are_a_few_reloads(house):
    house.plan(spec("agent:a"))
    house.start()
    descriptors = house.descriptors()
    house.plan(spec("agent:a"), spec("agent:b"))
    for _ in range(100):
        house.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    house.until("agent:b", "up")
    time.sleep(0.4)
    assert 1 <= len(house.records("reloaded")) <= 10
    assert [line["incarnation"] for line in house.status()["processes"]] == [1, 1]
    if descriptors >= 0:
        eventually(lambda: house.descriptors() - descriptors == 3, "three descriptors for the newcomer, none lost")


# -- idleness and pause ------------------------------------------------------------------------------------------------


def test_an_idle_root_sleeps(house):
    house.plan(*(spec(f"agent:a{n}", beat_s=1.0) for n in range(20)))
    house.start()
    time.sleep(0.2)

    def wakes() -> int:
        return int(
            re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{house.pid}/status").read_text(), re.MULTILINE)[1]
        )

    before = wakes()
    time.sleep(2.5)
    assert wakes() - before <= 6, "one wake-up per beat interval, however many children"


def test_a_paused_agent_is_left_alone_until_it_is_resumed(either):
    either.plan(spec("agent:a", beat_s=0.1), spec("agent:b", beat_s=0.1))
    either.start()
    pid = either.child("agent:a")["pid"]
    assert either.ask("pause", "a", wait=True)["ok"]
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "it stands still")
    time.sleep(0.8)
    line = either.child("agent:a")
    assert (line["state"], line["pid"], line["incarnation"]) == ("paused", pid, 1)
    assert either.ask("start", "a")["ok"] is False
    assert either.ask("resume", "a", wait=True)["ok"]
    time.sleep(0.5)
    line = either.child("agent:a")
    assert (line["state"], line["pid"], line["incarnation"]) == ("up", pid, 1)
    either.ask("pause", "a")
    assert either.ask("stop", "a", wait=True)["ok"], "a paused one can be stopped"
