"""Cgroups as files: in a folder that looks like the kernel's, so that limits are seen also where no controller is."""

import os
from pathlib import Path

import pytest

from anima.sandbox.jail import cgroups
from anima.supervisor.cgroups import Groups, find_groups
from anima.supervisor.child import Child, end_reason
from anima.supervisor.spec import ChildSpec

ARYA = ChildSpec(name="agent:arya", kind="agent", parallel=True, memory_bytes_max=64 * 2**20, tasks_max=7)
STARTED = {"SYSTEMD_EXEC_PID": str(os.getpid())}
JOURNAL = ChildSpec(name="journal", kind="journal")


@pytest.fixture
def base(tmp_path) -> Path:
    """A part of the tree with all controllers, as systemd leaves it."""
    base = tmp_path / "anima.service"
    base.mkdir()
    (base / "cgroup.procs").touch()
    (base / "cgroup.controllers").write_text("cpu memory pids\n")
    return base


def test_the_root_moves_aside_and_shares_are_given(base):
    groups = Groups(base, "")
    groups.prepare()
    assert (base / "supervisor/cgroup.procs").read_text() == "0"
    assert groups.controllers == ("cpu", "memory", "pids")
    weights = {name: int((base / name / "cpu.weight").read_text()) for name in ("supervisor", "infra", "agents", "tools")}
    assert list(weights.values()) == sorted(weights.values(), reverse=True), "a tool's sums come last"


def test_a_process_gets_a_group_with_its_limits(base):
    groups = Groups(base, "")
    groups.prepare()
    assert groups.open(ARYA) == str(base / "agents/arya/cgroup.procs")
    assert (base / "agents/arya/memory.max").read_text() == str(64 * 2**20)
    assert (base / "agents/arya/memory.oom.group").read_text() == "1"
    assert (base / "agents/arya/pids.max").read_text() == "7"
    assert groups.open(JOURNAL) == str(base / "infra/journal/cgroup.procs")
    assert (base / "infra/journal/memory.max").read_text() == "max"


def test_an_agent_may_be_called_like_a_file_of_the_kernel(base):
    groups = Groups(base, "")
    groups.prepare()
    assert groups.open(ChildSpec(name="agent:memory.max", kind="agent", parallel=True)).endswith(
        "agents/_memory.max/cgroup.procs"
    )


def test_calls_get_their_groups_where_the_root_set_a_place_aside(base, monkeypatch):
    groups = Groups(base, "")
    groups.prepare()
    sandbox = Path(groups.open(ChildSpec(name="sandbox", kind="sandbox"))).parent
    (base / "tools/cgroup.controllers").write_text("cpu memory pids\n")  # what the kernel shows once the root handed them down
    monkeypatch.setattr(cgroups, "_ROOT", base.parent)
    monkeypatch.setattr(cgroups, "_own", lambda _: str(sandbox.relative_to(base.parent)))
    assert cgroups._find_v2() == (base / f"tools/anima-jails-{os.getpid()}", 2)


def test_an_end_for_want_of_memory_is_told_from_any_other_kill(base):
    groups = Groups(base, "")
    groups.prepare()
    events = base / "agents/arya/memory.events"
    events.parent.mkdir()
    events.write_text("low 0\noom 1\noom_kill 1\n")
    groups.open(ARYA)
    assert not groups.starved(ARYA), "that was an earlier life"
    events.write_text("low 0\noom 2\noom_kill 2\n")
    assert groups.starved(ARYA)
    again = Groups(base, "")
    again.prepare()
    assert not again.starved(ARYA), "a root that goes on in other code counts from there"
    child = Child(ARYA, code=-9)
    assert end_reason(child, starved=True) == "it took more memory than the 64 MiB it may have; the kernel ended it"
    assert end_reason(child) == "killed by SIGKILL"


def test_who_is_left_is_ended_with_the_group(base):
    groups = Groups(base, "")
    groups.prepare()
    groups.open(JOURNAL)
    groups.close(JOURNAL)
    assert (base / "infra/journal/cgroup.kill").read_text() == "1"


def test_a_part_of_the_tree_that_cannot_be_divided_is_done_without(tmp_path):
    groups = Groups(tmp_path / "gone", "")
    groups.prepare()
    assert groups.base is None
    assert "cannot be divided" in groups.reason
    assert groups.open(ARYA) == ""
    assert not groups.starved(ARYA)


@pytest.mark.parametrize(
    ("environ", "own", "reason"),
    [
        ({}, "0::/anima.service\n", "not started by systemd"),
        ({"SYSTEMD_EXEC_PID": "1"}, "0::/anima.service\n", "not started by systemd"),
        (STARTED, "4:memory:/\n", "this system has no cgroups of version 2"),
        (STARTED, "0::/elsewhere\n", "this system has no cgroups of version 2"),
    ],
)
def test_it_says_why_there_are_none(tmp_path, base, environ, own, reason):
    proc = tmp_path / "cgroup"
    proc.write_text(own)
    found = find_groups(environ, proc, (tmp_path,))
    assert found.base is None
    assert found.reason == reason


def test_what_was_not_left_to_us_is_left_alone(tmp_path, base):
    proc = tmp_path / "cgroup"
    proc.write_text("0::/anima.service\n")
    found = find_groups(STARTED, proc, (tmp_path,))
    if os.geteuid() == 0:
        assert found.base is None
        assert "is not left to this service" in found.reason
        os.setxattr(base, "trusted.delegate", b"1")
        assert find_groups(STARTED, proc, (tmp_path,)).base == base
    else:
        assert found.base == base


def test_a_root_born_in_its_place_or_executed_anew_finds_the_same(tmp_path, base):
    if os.geteuid() == 0:
        os.setxattr(base, "trusted.delegate", b"1")
    (base / "supervisor").mkdir()
    (base / "supervisor/cgroup.procs").touch()
    proc = tmp_path / "cgroup"
    proc.write_text("0::/anima.service/supervisor\n")
    assert find_groups(STARTED, proc, (tmp_path,)).base == base
