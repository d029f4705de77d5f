"""`top`: the table out of two looks, and a look at cgroup files."""

import os

from anima.cli.top import Use, lines, use


def test_the_busiest_comes_first_and_a_newcomer_is_counted_from_its_birth():
    before = {"journal": Use("journal", 1.0, 2**20), "agent:arya": Use("agent:arya", 5.0, 2**20)}
    after = {
        "journal": Use("journal", 1.1, 2**20),
        "agent:arya": Use("agent:arya", 6.0, 2**20),
        "agent:bran": Use("agent:bran", 0.4, 2**20),
    }
    shown = [line.split() for line in lines(before, after, 2.0, 80)]
    assert shown[0] == ["PROCESS", "CPU", "MEMORY"], "what nobody counts here has no column"
    assert [line[:2] for line in shown[1:]] == [["agent:arya", "50.0"], ["agent:bran", "20.0"], ["journal", "5.0"]]


def test_one_that_was_started_anew_meanwhile_has_not_taken_less_than_nothing():
    before, after = {"mneme": Use("mneme", 90.0, 0)}, {"mneme": Use("mneme", 1.0, 0)}
    assert "50.0 %" in lines(before, after, 2.0, 80)[1]


def test_where_the_kernel_counts_its_numbers_are_shown(tmp_path):
    for name, text in {
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "memory.current": "3145728\n",
        "memory.max": "1073741824\n",
        "pids.current": "7\n",
        "memory.events": "low 0\noom 1\noom_kill 1\n",
    }.items():
        (tmp_path / name).write_text(text)
    found = use({"name": "agent:arya", "pid": os.getpid(), "cgroup": str(tmp_path)})
    assert found == Use("agent:arya", 2.5, 3 * 2**20, 2**30, 7, 1)
    for columns in (40, 80):
        table = lines({}, {"agent:arya": found}, 1.0, columns)
        assert all(len(line) <= columns for line in table)
        assert "3.0 MB" in table[1]
    assert "1.0 GB      7       1" in lines({}, {"agent:arya": found}, 1.0, 80)[1]


def test_where_it_does_not_the_process_itself_is_asked():
    found = use({"name": "x", "pid": os.getpid(), "cgroup": ""})
    assert found.memory_bytes > 2**20
    assert found.cpu_s > 0
    assert (found.memory_max, found.tasks, found.killed) == (-1, -1, -1)
    assert use({"name": "x", "pid": 2**22 + 1}).cpu_s == 0.0
