"""What a root hands on: every field there and back, other formats refused, and who begins anew next."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anima.errors import BadMessage, Refused
from anima.supervisor import reexec
from anima.supervisor.child import Child
from anima.supervisor.lifecycle import State as Life
from anima.supervisor.policy import History
from anima.supervisor.preflight import Report, understood
from anima.supervisor.reexec import Diary, Launch, State, Tree, decode, encode
from anima.supervisor.rolling import Lost, Over, Roll, Rolling, Wait, next_move
from anima.supervisor.spec import ChildSpec, Policy

moments = st.floats(allow_nan=False)
plain = st.none() | st.booleans() | st.integers() | moments | st.text(max_size=8)
maps = st.dictionaries(st.text(max_size=8), plain | st.lists(plain, max_size=3), max_size=3)


def whole(sort: Any) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass, with every field drawn."""
    hints = reexec._fields(sort)
    return st.builds(sort, **{name: drawn(hint) for name, hint in hints.items()})


def drawn(hint: Any) -> st.SearchStrategy[Any]:
    if dataclasses.is_dataclass(hint):
        return whole(hint)
    text = str(hint)
    if "| None" in text:
        inner = next(each for each in hint.__args__ if each is not type(None))
        return st.none() | drawn(inner)
    if text.startswith("tuple["):
        return st.lists(drawn(hint.__args__[0]), max_size=2).map(tuple)
    if text.startswith("dict"):
        return maps
    return {float: moments, int: st.integers(), str: st.text(max_size=8), bytes: st.binary(max_size=8)}.get(
        hint, st.from_type(hint) if not text.startswith("typing.Literal") else st.sampled_from(getattr(hint, "__args__", ()))
    )


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=60)
@given(whole(State))
def test_a_state_comes_back_as_it_was_in_every_field(state):
    assert decode(encode(state)) == state


def state(**more: Any) -> State:
    spec = ChildSpec("agent:arya", "agent", preload=("json",), parallel=True)
    child = Child(spec, Life.UP, due=False, pid=7, history=History(2, 1, (3.5,)), beat_at=float("-inf"))
    plain = {"lock_fd": 3, "door_fd": 4, "diary": Diary("b", 1, ({"n": 1},)), "started": 1.0, "nofile": 1024}
    return State(tree=Tree((child,), Policy(), 1), **{**plain, **more})


@pytest.mark.parametrize("number", [0, reexec.FORMAT + 1, "1", None])
def test_another_format_is_refused_by_its_number(number):
    told = json.loads(encode(state()))
    with pytest.raises(BadMessage, match=f"in format {number}, and the new code reads format {reexec.FORMAT}"):
        decode(json.dumps({**told, "format": number}).encode())


def test_a_field_the_code_does_not_know_is_left_out_and_one_that_is_missing_has_its_default():
    told = json.loads(encode(state(born=False)))
    told["state"]["colour"] = "blue"
    told["state"]["tree"]["children"][0]["mood"] = 7
    del told["state"]["born"], told["state"]["tree"]["children"][0]["history"]
    found = decode(json.dumps(told).encode())
    assert found.born is True
    assert found.tree.children[0].history == History()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("lock_fd",), "three"),
        (("lock_fd",), True),
        (("born",), 1),
        (("tree", "children", 0, "state"), "asleep"),
        (("tree", "children", 0, "pid"), None),
        (("tree", "children", 0, "spec", "restart"), "sometimes"),
        (("tree", "children"), 7),
        (("tree",), []),
        (("diary", "kept"), ["x"]),
    ],
)
def test_a_field_of_another_sort_is_refused_in_a_sentence(path, value):
    told = json.loads(encode(state()))
    place = told["state"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BadMessage, match="is not understood"):
        decode(json.dumps(told).encode())


@given(st.binary(max_size=200) | maps.map(lambda told: json.dumps(told).encode()))
def test_anything_else_is_no_state(text):
    with pytest.raises(BadMessage):
        decode(text)


def test_a_state_lies_in_a_file_without_a_name_that_is_read_from_its_beginning():
    fd = reexec.put_down(state())
    again = os.dup(fd)
    assert reexec.read(fd) == state()
    assert reexec.read(again) == state()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_a_system_without_memfd_hands_on_a_file_that_has_no_name_any_more(tmp_path, monkeypatch):
    monkeypatch.delattr("os.memfd_create", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    fd = reexec.put_down(state())
    assert list(tmp_path.iterdir()) == []
    assert reexec.read(fd) == state()


def test_a_kernel_that_does_not_start_the_new_code_leaves_everything_as_it_was():
    reader, writer = os.pipe()
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        reexec.hand_on(state(lock_fd=reader, door_fd=writer), Launch(("/no/such/python", "x")))
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert not os.get_inheritable(reader)
    assert not os.get_inheritable(writer)
    os.close(reader)
    os.close(writer)


def test_another_environment_is_its_own_interpreter_and_sees_no_code_of_ours(tmp_path, monkeypatch):
    here = Launch((sys.executable, "-m", "daemons"), "/ours")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    there = here.elsewhere(str(tmp_path))
    assert there == Launch((f"{tmp_path}/bin/python", "-P", "-m", "daemons"))
    assert there.elsewhere(f"{tmp_path}/bin/python") == there
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert "PYTHONPATH" not in there.environ()
    assert here.environ()["PYTHONPATH"] == "/ours"
    with pytest.raises(Refused, match="no Python at"):
        here.elsewhere(str(tmp_path / "bin"))


# -- what a preflight says ---------------------------------------------------------------------------------------------


def test_the_last_line_of_a_preflight_is_its_report():
    line = b'{"error": "", "version": "2", "where": "/x", "notes": ["a"]}\n'
    assert understood(b"a warning of some library\n" + line, 0) == Report("", "2", "/x", ("a",))
    assert understood(line.replace(b'""', b'"no"'), 1).error == "no"


@pytest.mark.parametrize(
    ("output", "code", "why"),
    [
        (b"", 1, "left with exit code 1 when it was tried: it said nothing"),
        (b"", -9, "was killed by signal 9"),
        (b'{"error": "", "version": "2", "where": "/x", "notes": []}', 1, "left with exit code 1"),
        (b'{"error": ""}', 0, "left with exit code 0"),
        (b"[1]\n", 0, "left with exit code 0"),
        (
            b'Traceback:\n  File "/a/b.py", line 3\n    class class\nSyntaxError: invalid\n',
            1,
            'SyntaxError: invalid ("/a/b.py", line 3)',
        ),
    ],
)
def test_a_preflight_that_ends_in_another_way_is_told_by_its_last_words(output, code, why):
    assert why in understood(output, code).error


# -- who begins anew next ----------------------------------------------------------------------------------------------


def child(name: str, state: Life = Life.UP, generation: int = 1, incarnation: int = 1, **more: Any) -> Child:
    spec = ChildSpec(name, name.partition(":")[0], parallel=name.startswith("agent:"))
    return Child(spec, state, due=False, generation=generation, incarnation=incarnation, **more)


def test_they_begin_anew_in_the_order_of_the_plan_one_at_a_time():
    journal, arya, bran = child("journal"), child("agent:arya"), child("agent:bran")
    family = [journal, arya, bran]
    for each in family:
        assert next_move(family, 2, Rolling()) == Roll(each.name)
        rolling = Rolling(each.name, each.incarnation)
        each.state = Life.RESTARTING
        assert next_move(family, 2, rolling) == Wait()
        each.state, each.incarnation, each.generation = Life.STARTING, 2, 2
        assert next_move(family, 2, rolling) == Wait()
        each.state = Life.UP
    assert next_move(family, 2, Rolling("agent:bran", 1)) == Over(())


def test_who_has_no_process_is_passed_over_and_who_is_paused_is_named():
    family = [child("journal", Life.WAITING), child("agent:a", Life.PAUSED), child("agent:b", Life.DOWN)]
    family += [child("agent:c", Life.FAILED), child("agent:d", Life.PAUSED, generation=2)]
    assert next_move(family, 2, Rolling(parked=("agent:c",))) == Over(("agent:a",))


@pytest.mark.parametrize(
    ("arya", "lost"),
    [
        (child("agent:arya", Life.FAILED, 2, 2, reason="its configuration is wrong"), "its configuration is wrong"),
        (child("agent:arya", Life.ABORTING, 2, 2), "does not become READY in time"),
        (child("agent:arya", Life.WAITING, 2, 2, reason="left with exit code 1"), "left with exit code 1"),
        (child("agent:arya", Life.STARTING, 2, 4, reason="killed by SIGKILL"), "killed by SIGKILL"),
        (child("agent:arya", Life.STARTING, 2, 3), ""),
        (child("agent:arya", Life.ABORTING, 1, 1), ""),
        (child("agent:arya", Life.STOPPING, 1, 1), ""),
    ],
)
def test_one_that_does_not_become_ready_is_lost_but_one_accident_is_forgiven(arya, lost):
    move = next_move([child("journal", generation=2), arya], 2, Rolling("agent:arya", 1))
    assert isinstance(move, Lost) == bool(lost)
    if lost:
        assert move.name == "agent:arya"
        assert lost in move.reason


def test_who_is_parked_by_the_new_code_is_lost_even_if_it_only_came_with_it():
    assert isinstance(next_move([child("triggers", Life.FAILED, 2, reason="x")], 2, Rolling()), Lost)


families = st.lists(st.tuples(st.sampled_from(Life), st.integers(1, 2), st.booleans()), max_size=6)


@given(families, st.integers(0, 5))
def test_nobody_is_told_to_begin_anew_while_somebody_else_is_on_its_way(drawn, place):
    family = [child(f"agent:{n}", state, generation) for n, (state, generation, _) in enumerate(drawn)]
    for each, (_, _, due) in zip(family, drawn, strict=True):
        each.due = due and each.state is Life.DOWN
    parked = tuple(each.name for each in family if each.state is Life.FAILED)
    match next_move(family, 2, Rolling(parked=parked)):
        case Roll(name):
            before = family[: next(n for n, each in enumerate(family) if each.name == name) + 1]
            assert before[-1].generation == 1
            assert not [each for each in before if each.due or each.state in (Life.STARTING, Life.RESTARTING, Life.ABORTING)]
        case Over(left):
            assert not [each for each in family if each.state is Life.UP and each.generation == 1]
            assert set(left) == {each.name for each in family if each.state is Life.PAUSED and each.generation == 1}
        case Wait():
            assert [each for each in family if each.due or each.state not in (Life.UP, Life.DOWN)]
        case move:
            pytest.fail(f"nobody rolls, so nobody can be lost: {move}")
