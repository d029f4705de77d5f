"""What `top` counts and how it orders it."""

import os
from pathlib import Path

import pytest

from anima.cli.top import lines, ranked
from anima.cli.usage import Usage, look, of_group, shares

TOLD = {
    "supervisor": {"pid": 1, "uptime_s": 61.0},
    "processes": [
        {"name": "journal", "state": "up", "pid": 2, "restarts": 0, "status": "16 events", "reason": ""},
        {"name": "agent:arya", "state": "failed", "pid": None, "restarts": 3, "status": "", "reason": "it fell ten times"},
    ],
}
USED = {"supervisor": Usage(1.0, 10, 1), "journal": Usage(2.0, 30, 4, 100, 64, 400), "call 7/0": Usage(0.5, 20, 2)}


def test_a_share_is_what_was_used_between_two_looks():
    before = {"journal": Usage(1.0, 0, 0), "mneme": Usage(9.0, 0, 0)}
    after = {"journal": Usage(2.0, 0, 0), "mneme": Usage(0.1, 0, 0), "thymos": Usage(5.0, 0, 0)}
    assert shares(before, after, 2.0) == {"journal": 50.0, "mneme": 0.0, "thymos": 0.0}
    assert shares(before, after, 0.0) == {"journal": 0.0, "mneme": 0.0, "thymos": 0.0}


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("cpu", ["call 7/0", "journal", "supervisor", "agent:arya"]),
        ("memory", ["journal", "call 7/0", "supervisor", "agent:arya"]),
        ("name", ["supervisor", "journal", "agent:arya", "call 7/0"]),
    ],
)
def test_rows_are_ordered_as_asked(sort: str, order: list[str]):
    rows = ranked(TOLD, USED, {"journal": 3.0, "call 7/0": 90.0}, sort)
    assert [row["name"] for row in rows] == order


def test_a_row_names_limits_where_there_are_any_and_why_a_process_is_down():
    rows = {row["name"]: row for row in ranked(TOLD, USED, {}, "name")}
    assert (rows["journal"]["memory_bytes_max"], rows["journal"]["tasks_max"], rows["journal"]["cpu_weight"]) == (100, 64, 400)
    assert (rows["supervisor"]["memory_bytes_max"], rows["agent:arya"]["pid"]) == (None, None)
    assert rows["agent:arya"]["status"] == "it fell ten times"


def test_the_table_fits_a_narrow_terminal():
    rows = ranked(TOLD, USED, {}, "cpu")
    for columns in (40, 60, 80, 200):
        assert max(map(len, lines(TOLD["supervisor"], rows, columns))) <= columns
    assert "4/64" in "\n".join(lines(TOLD["supervisor"], rows, 200))


def test_a_cgroup_tells_what_it_counts_and_the_rest_stands_in(tmp_path: Path):
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (tmp_path / "cgroup.threads").write_text("7\n8\n")
    assert of_group(tmp_path, 99) == Usage(1.5, 99, 2)
    limits = {"memory.current": "50", "memory.max": "max", "pids.current": "3", "pids.max": "10", "cpu.weight": "80"}
    for name, value in limits.items():
        (tmp_path / name).write_text(f"{value}\n")
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert of_group(tmp_path, 99) == Usage(1.5, 50, 3, 0, 10, 80, 2)


def test_a_process_with_a_cgroup_is_counted_there_and_so_is_each_call_that_runs(tmp_path: Path):
    for name, threads in (("infra/sandbox", "1\n"), ("tools/anima-jails-7/0", "2\n3\n"), ("tools/anima-jails-7/1", "")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "cpu.stat").write_text("usage_usec 2000000\n")
        (tmp_path / name / "cgroup.threads").write_text(threads)
    sandbox = {"name": "sandbox", "pid": os.getpid(), "cgroup": str(tmp_path / "infra" / "sandbox")}
    found = look({"supervisor": {"pid": 0, "cgroups": {"base": str(tmp_path)}}, "processes": [sandbox]})
    assert {name: usage.cpu_s for name, usage in found.items()} == {"sandbox": 2.0, "call 7/0": 2.0}


def test_a_process_without_one_counts_with_what_it_started_and_the_root_alone():
    child = os.fork()
    if child == 0:
        os.execvp("sleep", ["sleep", "60"])
    try:
        processes = [{"name": "me", "pid": os.getpid(), "cgroup": ""}, {"name": "down", "pid": None}]
        found = look({"supervisor": {"pid": os.getpid()}, "processes": processes})
        assert set(found) == {"me", "supervisor"}
        assert found["me"].tasks > found["supervisor"].tasks >= 1
        assert found["supervisor"].memory_bytes > 0
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
