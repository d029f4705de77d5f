"""The small parts of the root: order, plan, records, PID files, log lines, lock, leftovers, words upward."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import ConfigError
from anima.limits import output_line_bytes_max, records_kept_max
from anima.paths import Home
from anima.supervisor import kernel, orphans
from anima.supervisor.child import Child, end_cause, end_reason
from anima.supervisor.lifecycle import BUSY, GONE, State
from anima.supervisor.lock import AlreadyRunning, prepare, take_lock
from anima.supervisor.logfile import LogFile, output_lines, stamp
from anima.supervisor.order import is_born, is_truly_up, is_well, next_births, next_stops, start_s, stop_s, summary
from anima.supervisor.output import left_in
from anima.supervisor.pidfile import read_pid_file, remove_pid_file, start_time, write_pid_file
from anima.supervisor.records import Records
from anima.supervisor.reload import Changes, compare
from anima.supervisor.requests import matching
from anima.supervisor.spawn import Spawner
from anima.supervisor.spec import ChildSpec, Plan, Policy
from anima.supervisor.upward import Upward, is_service
from anima.supervisor.watch import Watch


def child(name: str, state: State = State.DOWN, *, due: bool = False) -> Child:
    return Child(ChildSpec(name, name.partition(":")[0], parallel=name.startswith("agent:")), state=state, due=due)


# -- order ------------------------------------------------------------------------------------------------------------------


def test_infrastructure_is_born_one_after_the_other_and_agents_all_together():
    journal, mneme = child("journal", due=True), child("mneme", due=True)
    arya, bran = child("agent:arya", due=True), child("agent:bran", due=True)
    family = [journal, mneme, arya, bran]
    assert next_births(family) == [journal]
    journal.due, journal.state = False, State.STARTING
    assert next_births(family) == []
    journal.state = State.UP
    assert next_births(family) == [mneme]
    mneme.due, mneme.state = False, State.FAILED
    assert next_births(family) == [arya, bran], "a parked one does not hold up the house for ever"
    arya.due = bran.due = False
    arya.state = bran.state = State.STARTING
    assert not is_born(family)
    arya.state, bran.state = State.UP, State.WAITING
    assert is_born(family)


def test_nobody_waits_for_one_that_is_not_awaited_and_it_is_stopped_in_its_place():
    journal, sandbox = child("journal", State.STARTING), Child(ChildSpec("sandbox", "sandbox", awaited=False), due=True)
    arya = child("agent:arya", due=True)
    family = [journal, sandbox, arya]
    assert next_births(family) == [], "it waits itself for those before it"
    journal.state = State.WAITING  # slow in coming back
    assert next_births(family) == [sandbox]
    sandbox.due, sandbox.state = False, State.STARTING
    assert next_births(family) == [arya], "an agent does not wait for it"
    assert not is_born([sandbox])
    arya.due, arya.state, sandbox.state, journal.state = False, State.UP, State.UP, State.UP
    assert next_stops(family, hurry=False) == [arya]
    arya.state = State.DOWN
    assert next_stops(family, hurry=False) == [sandbox]
    sandbox.state = State.DOWN
    assert next_stops(family, hurry=False) == [journal]


families = st.lists(st.tuples(st.sampled_from(["serial", "loose", "agent"]), st.sampled_from(State), st.booleans()), max_size=8)


@given(families)
def test_whoever_is_due_is_born_once_nobody_awaited_before_it_is_on_its_way(drawn):
    family = []
    for n, (sort, state, due) in enumerate(sorted(drawn, key=lambda each: each[0] == "agent")):
        name = f"agent:{n}" if sort == "agent" else f"s{n}"
        spec = ChildSpec(name, "x", parallel=sort == "agent", awaited=sort != "loose")
        family.append(Child(spec, state=state, due=due))
    chosen = next_births(family)
    assert all(each.due for each in chosen)
    serial = [each for each in family if not each.spec.parallel]
    first = next((n for n, each in enumerate(serial) if each.due or (each.state in BUSY and each.spec.awaited)), None)
    if first is None:
        assert chosen == [each for each in family if each.due]
    else:
        assert chosen == ([serial[first]] if serial[first].due else [])


def test_agents_stop_first_and_together_then_the_rest_from_the_last_to_the_first():
    journal, mneme = child("journal", State.UP), child("mneme", State.UP)
    arya, bran = child("agent:arya", State.UP), child("agent:bran", State.WAITING)
    family = [journal, mneme, arya, bran]
    assert next_stops(family, hurry=False) == [arya, bran]
    arya.state, bran.state = State.STOPPING, State.DOWN
    assert next_stops(family, hurry=False) == []
    arya.state = State.DOWN
    assert next_stops(family, hurry=False) == [mneme]
    assert next_stops(family, hurry=True) == [journal, mneme]
    mneme.state = State.FAILED
    assert next_stops(family, hurry=False) == [journal]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(State), st.booleans()), max_size=12), st.booleans())
def test_a_stop_always_comes_to_an_end(drawn, hurry):
    family = [child(f"{'agent:' if agent else ''}{n}", state) for n, (agent, state, _) in enumerate(drawn)]
    for _ in range(3 * len(family) + 1):
        for each in next_stops(family, hurry=hurry):
            each.state = State.STOPPING
        for each in family:
            if each.state is State.STOPPING:
                each.state = State.DOWN
    assert all(each.state in GONE for each in family)


def test_the_summary_is_true():
    family = [
        child("journal", State.WAITING),
        child("agent:a", State.UP),
        child("agent:b", State.UP),
        child("agent:arya", State.FAILED),
    ]
    assert summary(family) == "2 agents up, 1 parked: arya; journal waiting"
    assert summary([child("journal", State.UP), child("agent:a", State.UP)]) == "1 agent up"
    assert summary([]) == "0 agents up"
    many = [child(f"agent:{n}", State.STARTING) for n in range(7)]
    assert summary(many) == "0 agents up, 7 starting: 0, 1, 2, 3, 4 and 2 more"


# -- plan -------------------------------------------------------------------------------------------------------------------


def test_two_processes_of_one_name_are_a_wrong_configuration():
    with pytest.raises(ConfigError, match="two processes are called 'journal'"):
        Plan((ChildSpec("journal", "a"), ChildSpec("journal", "b")))


specs = st.builds(
    ChildSpec,
    name=st.sampled_from(["journal", "mneme", "agent:a", "agent:b", "agent:c"]),
    kind=st.sampled_from(["x", "y"]),
    settings=st.sampled_from(["1", "2"]),
    stop_timeout_s=st.sampled_from([1.0, 2.0]),
)
plans = st.lists(specs, unique_by=lambda spec: spec.name).map(lambda chosen: Plan(tuple(chosen)))


@given(plans, plans)
def test_a_reload_touches_exactly_what_differs(old, new):
    before = {spec.name: spec for spec in old.specs}
    after = {spec.name: spec for spec in new.specs}
    changes = compare(before, new)
    assert set(changes.added) == set(after) - set(before)
    assert set(changes.removed) == set(before) - set(after)
    for name in set(before) & set(after):
        touched = (before[name].settings, before[name].kind) != (after[name].settings, after[name].kind)
        assert (name in changes.changed) == touched
    assert compare(before, old) == Changes((), (), ())


def test_names_are_matched_in_full_in_short_by_pattern_and_all_means_all_agents():
    family = {name: child(name) for name in ("journal", "agent:arya", "agent:arno", "agent:bran")}
    found = {
        words: [each.name for each in matching(family, words)] for words in (("arya",), ("agent:ar*",), ("ar*",), ("all",))
    }
    assert found[("arya",)] == ["agent:arya"]
    assert found[("agent:ar*",)] == found[("ar*",)] == ["agent:arya", "agent:arno"]
    assert found[("all",)] == ["agent:arya", "agent:arno", "agent:bran"]
    assert [each.name for each in matching(family, ("journal", "arya", "arya"))] == ["journal", "agent:arya"]


# -- ends -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cause", "words", "reason"),
    [
        (-9, "", "", "killed by SIGKILL"),
        (-60, "", "", "killed by signal 60"),
        (0, "", "", "left with exit code 0 (done)"),
        (3, "", "", "left with exit code 3"),
        (
            78,
            "",
            "agent.toml:3: no such model",
            "left with exit code 78 (its configuration is wrong): agent.toml:3: no such model",
        ),
        (0, "stop", "", "stopped"),
        (-6, "watchdog", "", "it hung: 3 beats of 5 s missed; its stack is in its log"),
        (-6, "start-timeout", "", "it did not say READY=1 within 30 s; its stack is in its log"),
    ],
)
def test_every_end_is_told_in_one_sentence(code, cause, words, reason):
    ended = child("agent:a", State.UP)
    ended.code, ended.cause, ended.last_words = code, cause, words
    assert end_reason(ended) == reason
    assert end_cause(ended) == cause or (not cause and end_cause(ended) == ("signal" if code < 0 else "exit"))


# -- records ----------------------------------------------------------------------------------------------------------------


def test_records_are_numbered_and_the_newest_are_kept():
    records = Records()
    for n in range(records_kept_max + 10):
        records.add("started", name="x", pid=n, incarnation=1)
    assert records.head == records_kept_max + 10
    assert records.forgotten == 10
    assert records.after(0, 3)[0]["n"] == 11
    assert [each["n"] for each in records.after(records.head - 2, 10)] == [records.head - 1, records.head]
    assert records.after(records.head, 10) == []


# -- files ------------------------------------------------------------------------------------------------------------------


def test_a_pid_file_is_believed_only_while_that_very_process_runs(tmp_path):
    path = tmp_path / "x.pid"
    assert read_pid_file(path) is None
    write_pid_file(path)
    assert read_pid_file(path) == os.getpid()
    path.write_text(f"{os.getpid()} 1\n")
    assert read_pid_file(path) is None, "the same number, but another process"
    path.write_text("garbage")
    assert read_pid_file(path) is None
    path.write_text("999999999 77")
    assert read_pid_file(path) is None


def test_a_pid_file_of_a_successor_is_left_alone(tmp_path):
    path = tmp_path / "x.pid"
    write_pid_file(path)
    remove_pid_file(path, os.getpid() + 1)
    assert path.exists()
    remove_pid_file(path, os.getpid())
    assert not path.exists()
    remove_pid_file(path, os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_the_start_time_is_read_past_a_name_with_brackets(tmp_path):
    program = tmp_path / "a) R (b"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "import time; time.sleep(30)"]) as process:
        try:
            assert start_time(process.pid) >= start_time(os.getpid()) > 0
        finally:
            process.kill()


def test_one_home_has_one_lock_and_the_second_is_told_who_holds_it(tmp_path):
    home = Home(tmp_path, tmp_path / "run")
    prepare(home)
    first = take_lock(home)
    with pytest.raises(AlreadyRunning, match=rf"already running \(pid {os.getpid()}\)"):
        take_lock(home)
    os.close(first)
    os.close(take_lock(home))


def test_a_home_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    home = Home(tmp_path / "file" / "home", tmp_path / "run")
    with pytest.raises(ConfigError, match="cannot create"):
        prepare(home)
    prepare(Home(tmp_path, tmp_path / "run"))
    (tmp_path / "state" / "supervisor.lock").mkdir()
    with pytest.raises(ConfigError, match="cannot open"):
        take_lock(Home(tmp_path, tmp_path / "run"))


# -- lines ------------------------------------------------------------------------------------------------------------------


def test_a_stamp_is_utc_with_milliseconds():
    assert stamp(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_leftover_output_becomes_log_lines_cut_at_their_limit():
    lines = output_lines(b"one\n\xff two\n" + b"x" * (output_line_bytes_max + 5) + b"\n", "agent:arya", 1_700_000_000.0).split(
        b"\n"
    )
    assert lines[0] == b"2023-11-14T22:13:20.000Z ERROR agent:arya | one"
    assert lines[1] == b"2023-11-14T22:13:20.000Z ERROR agent:arya | \xff two"
    assert lines[2].endswith(b"x [cut]")
    assert lines[3:] == [b""]


def house_with_log(root: Path) -> Home:
    home = Home(root, root / "run")
    home.log.mkdir()
    return home


def test_every_line_of_a_long_message_has_the_shape(tmp_path):
    log = LogFile(house_with_log(tmp_path))
    log.error("first\nsecond")
    lines = (tmp_path / "log" / "supervisor.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["ERROR supervisor first", "ERROR supervisor second"]


def test_a_log_that_cannot_be_written_stops_nobody_and_the_loss_is_told(tmp_path):
    home = Home(tmp_path, tmp_path / "run")
    log = LogFile(home)
    log.info("lost")
    home.log.mkdir()
    log.info("kept")
    assert "1 earlier lines could not be written" in home.log_file("supervisor").read_text()


def test_a_log_is_set_aside_when_it_is_full(tmp_path):
    home = house_with_log(tmp_path)
    path = home.log_file("supervisor")
    with path.open("wb") as file:
        file.truncate(10 * 1024 * 1024)
    LogFile(home).info("fresh")
    assert path.read_text().endswith("fresh\n")
    assert path.stat().st_size < 1000
    assert (home.log / "supervisor.log.1").stat().st_size == 10 * 1024 * 1024


def test_output_that_is_the_log_moves_on_with_it(tmp_path):
    home = house_with_log(tmp_path)
    path = home.log_file("supervisor")
    child = os.fork()
    if child == 0:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.ftruncate(fd, 10 * 1024 * 1024)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        LogFile(home).info("fresh")
        os.write(2, b"printed\n")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_text().splitlines()[-1] == "printed"
    assert path.read_text().count("fresh") == 1


def test_what_is_left_in_a_pipe_is_read_without_waiting_for_its_writers():
    r, w = os.pipe()
    try:
        assert left_in(r) == b""
        os.write(w, b"last words")
        assert left_in(r) == b"last words"
    finally:
        os.close(r)
        os.close(w)


# -- upward -----------------------------------------------------------------------------------------------------------------


def test_only_the_process_that_systemd_started_is_the_service():
    assert is_service({"SYSTEMD_EXEC_PID": str(os.getpid())})
    assert not is_service({"SYSTEMD_EXEC_PID": str(os.getppid())})
    assert not is_service({})


def test_words_upward_reach_systemd(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        upward = Upward({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())})
        assert upward.beat_s == 1.5
        assert upward.say("READY=1", "STATUS=3 agents up")
        assert systemd.recv(100) == b"READY=1\nSTATUS=3 agents up"
        upward.reloading()
        assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "relative", "@nobody-listens", "x" * 500])
def test_no_systemd_is_no_error(address):
    upward = Upward({} if address is None else {"NOTIFY_SOCKET": address})
    assert upward.say("READY=1") is False


def test_what_an_error_says_cannot_become_another_word(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        Upward({"NOTIFY_SOCKET": path}).say("READY=1", "STATUS=wrong\nMAINPID=1 \udcff")
        assert systemd.recv(100) == b"READY=1\nSTATUS=wrong MAINPID=1 ?"


@pytest.mark.parametrize(
    "environ", [{"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "-5"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, {}]
)
def test_a_watchdog_meant_for_somebody_else_is_not_served(environ):
    assert Upward({"NOTIFY_SOCKET": "/x", **environ}).beat_s == 0.0


# -- kernel -----------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_are_found():
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            assert process.pid in orphans.direct_children()
        finally:
            process.kill()
    assert process.pid not in orphans.direct_children()
    assert orphans.command_of(process.pid) is None
    assert orphans.command_of(os.getpid())
    assert kernel.tasks() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_with_a_second_thread_may_not_fork(tmp_path):
    spawner = Spawner(Home(tmp_path, tmp_path), lambda _: 0, [], 1024)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not spawner.may_fork("auto")
        assert not spawner.may_fork("fork"), "not even when told to"
    finally:
        done.set()
        thread.join()
    assert not spawner.may_fork("exec")


def test_a_failing_preload_is_told_and_harms_nobody(tmp_path):
    spawner = Spawner(Home(tmp_path, tmp_path), lambda _: 0, [], 1024)
    spec = ChildSpec("agent:a", "agent", preload=("no_such_module_anywhere", "json"))
    assert len(spawner.preload(*spec.preload)) == 1
    assert spawner.preload(*spec.preload) == [], "it is tried once"


def test_the_library_of_the_root_is_light_to_import():
    heavy = {"asyncio", "zmq", "msgpack", "concurrent.futures", "multiprocessing", "ssl", "anthropic"}
    code = "import sys, anima.supervisor.root; print(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    ).stdout.split()
    assert not heavy & set(loaded)
    code = "import sys, anima.supervisor.control; print(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    ).stdout.split()
    assert not {"subprocess", "ctypes", "logging", *heavy} & set(loaded)


# -- what systemd is told -----------------------------------------------------------------------------------------------------


def vital(state: State, *, beat_at: float = 0.0, code: int = 0) -> Child:
    spec = ChildSpec("journal", "journal", vital=True, beat_s=5.0, start_timeout_s=30.0)
    return Child(spec, state=state, due=False, beat_at=beat_at, code=code)


@pytest.mark.parametrize(
    ("state", "ready"),
    [(State.UP, True), (State.WAITING, False), (State.FAILED, False), (State.STARTING, False), (State.DOWN, True)],
)
def test_a_house_is_ready_only_with_what_it_cannot_do_without(state, ready):
    assert is_truly_up([vital(state), child("agent:arya", State.UP)]) == ready
    assert is_truly_up([child("mneme", State.FAILED), child("agent:arya", State.FAILED), vital(State.UP)])


@pytest.mark.parametrize(
    ("state", "silent_s", "code", "well"),
    [
        (State.UP, 4.0, 0, True),
        (State.ABORTING, 17.0, 0, True),
        (State.STARTING, 40.0, 0, True),
        (State.WAITING, 60.0, 1, False),
        (State.STARTING, 60.0, 0, False),
        (State.FAILED, 60.0, 1, False),
        (State.FAILED, 60.0, 78, True),
        (State.DOWN, 600.0, 0, True),
        (State.PAUSED, 600.0, 0, True),
    ],
)
def test_the_watchdog_is_fed_while_the_journal_beats_or_is_brought_back_and_where_a_new_start_would_not_help(
    state, silent_s, code, well
):
    assert is_well([vital(state, beat_at=1000.0, code=code), child("mneme", State.FAILED)], Policy(), 1000.0 + silent_s) == well


@pytest.mark.parametrize(
    ("asked_until", "now", "well"), [(1200.0, 1100.0, True), (1200.0, 1201.0, False), (1030.0, 1100.0, False)]
)
def test_the_watchdog_is_fed_while_the_journal_asks_for_more_time_to_start(asked_until, now, well):
    journal = vital(State.STARTING, beat_at=0.0, code=0)
    journal.forked_at, journal.deadline = 1000.0, asked_until
    assert journal.spec.start_timeout_s == 30.0
    assert is_well([journal], Policy(), now) == well


def test_systemd_is_asked_to_wait_as_long_as_those_who_are_on_their_way_up(tmp_path):
    slow, quick, up = child("mneme", State.STARTING), child("journal", State.STARTING), child("thymos", State.UP)
    slow.deadline, quick.deadline, up.deadline = 1300.0, 1030.0, 2000.0
    assert start_s([slow, quick, up], 1000.0) == 300.0
    assert start_s([up], 1000.0) == 0.0
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(5)
        upward = Upward({"NOTIFY_SOCKET": path})
        upward.extend(300.0, 1000.0)
        upward.extend(299.0, 1001.0)  # the same moment
        upward.extend(10.0, 1002.0)
        upward.extend(310.0, 1003.0)
        assert [systemd.recv(100), systemd.recv(100)] == [b"EXTEND_TIMEOUT_USEC=300000000", b"EXTEND_TIMEOUT_USEC=310000000"]


def test_a_signal_that_is_held_back_is_not_lost_when_the_watch_ends():
    child_pid = os.fork()
    if child_pid == 0:
        watch = Watch()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)
        watch.close()
        os._exit(0 if signal.SIGTERM in signal.sigpending() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child_pid, 0)[1]) == 0


def test_a_stop_takes_as_long_as_the_slowest_agent_and_then_each_of_the_others():
    family = [
        Child(ChildSpec("journal", "journal", stop_timeout_s=10)),
        Child(ChildSpec("mneme", "mneme", stop_timeout_s=5)),
        Child(ChildSpec("agent:a", "agent", parallel=True, stop_timeout_s=20)),
        Child(ChildSpec("agent:b", "agent", parallel=True, stop_timeout_s=7)),
    ]
    assert stop_s(family) == 35
    assert stop_s([]) == 0
