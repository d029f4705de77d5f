"""What is kept of a flood, what an order looks like on the way, and how an end becomes an outcome."""

import os
import resource
import signal
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as some

from anima.sandbox.jail import passing
from anima.sandbox.jail.child import environment, limits
from anima.sandbox.jail.output import Kept
from anima.sandbox.jail.spec import LAYERS, JailSpec, Layer, Limits, Outcome, read_spec
from anima.sandbox.jail.verdict import Ended, answer_bytes_max, outcome, why_not
from anima.sandbox.jail.watch import Usage, parse_stat

ALL = [Layer(name, True, "") for name in LAYERS]


def ended(answer: object = None, *, status: int | None = 0, packed: bytes | None = None, **told: object) -> Outcome:
    body = msgpack.packb(answer) if packed is None else packed
    interrupted = bool(told.pop("interrupted", False))
    return outcome(Ended(Kept(10), Kept(10), bytearray(body), {"status": status, **told}, interrupted), Limits())


@given(pieces=some.lists(some.binary(max_size=30), max_size=20), size=some.integers(0, 40))
def test_start_and_end_of_an_output_are_kept_and_the_rest_counted(pieces: list[bytes], size: int) -> None:
    kept, whole = Kept(size), b"".join(pieces)
    for piece in pieces:
        kept.add(piece)
    assert kept.total == len(whole)
    if len(whole) <= size:
        assert kept.text() == whole
        return
    head, tail = size - size // 2, size // 2
    line = b"\n[... %d bytes left out ...]\n" % (len(whole) - size)
    assert kept.text() == whole[:head] + line + (whole[-tail:] if tail else b"")


def test_a_flood_costs_no_more_memory_than_what_is_kept() -> None:
    kept = Kept(1000)
    for _ in range(1000):
        kept.add(b"x" * 65536)
    assert kept._tail_bytes <= 500 + 65536


def test_an_answer_is_an_answer() -> None:
    found = ended({"ok": True}, held=["seccomp"])
    assert (found.how, found.value, found.reason, found.layers) == ("answered", {"ok": True}, "", ("seccomp",))


def test_none_is_an_answer_too() -> None:
    assert ended(None).how == "answered"


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x92\x01", b"\x91" * 5000])
def test_an_answer_that_makes_no_sense_is_none(packed: bytes) -> None:
    found = ended(packed=packed)
    assert (found.how, found.value) == ("exited", None)


def test_an_answer_that_is_too_large_is_a_limit() -> None:
    found = ended(packed=b"\xc6" + b"x" * answer_bytes_max)
    assert (found.how, found.limit) == ("limit", "output")


@pytest.mark.parametrize(
    ("status", "how", "limit"),
    [
        (3 << 8, "exited", ""),
        (signal.SIGKILL, "killed", ""),
        (signal.SIGXCPU, "limit", "cpu"),
        (signal.SIGXFSZ, "limit", "file"),
    ],
)
def test_what_ended_it_is_known_by_its_status(status: int, how: str, limit: str) -> None:
    found = ended(packed=b"", status=status)
    assert (found.how, found.limit) == (how, limit)
    assert found.reason


def test_what_was_limited_from_outside_is_a_limit_even_if_it_still_answered() -> None:
    found = ended("so far", limit="wall")
    assert (found.how, found.limit, found.value) == ("limit", "wall", "so far")


def test_memory_that_ended_only_part_of_what_ran_is_told_beside_the_answer() -> None:
    found = ended("so far", limit="memory")
    assert (found.how, found.limit, found.value) == ("answered", "memory", "so far")
    assert ended(packed=b"", status=signal.SIGKILL, limit="memory").how == "limit"


def test_an_interrupted_call_keeps_what_it_still_answered() -> None:
    found = ended("so far", interrupted=True)
    assert (found.how, found.value) == ("interrupted", "so far")


def test_a_refusal_and_a_lost_zygote_are_told_in_words() -> None:
    assert ended(packed=b"", status=None, refused="the layer is not there").reason == "the layer is not there"
    lost = ended(packed=b"", status=None, lost=True)
    assert lost.how == "killed"
    assert "started again" in lost.reason or "starts it again" in lost.reason


def test_a_missing_layer_is_refused_by_name_with_the_way_out() -> None:
    for name in LAYERS:
        there = [Layer(each, each != name, "not on this machine") for each in LAYERS]
        said = why_not(JailSpec(Path("/work")), there)
        assert f"'{name}'" in said
        assert f'layers_off = ["{name}"]' in said
        off = frozenset({name, "user"} if name == "namespaces" else {name})
        assert why_not(JailSpec(Path("/work"), off=off), there) == ""


def test_with_a_network_the_network_layer_is_not_missed() -> None:
    there = [Layer(each, each != "network", "") for each in LAYERS]
    assert why_not(JailSpec(Path("/work"), network=True), there) == ""


def test_an_unknown_layer_and_one_that_hangs_on_another_are_refused() -> None:
    assert "'secomp'" in why_not(JailSpec(Path("/work"), off=frozenset({"secomp"})), ALL)
    assert "both" in why_not(JailSpec(Path("/work"), off=frozenset({"namespaces"})), ALL)


def test_a_policy_comes_back_from_the_wire_as_it_was() -> None:
    spec = JailSpec(
        Path("/work"), (Path("/r"),), (Path("/w"),), (Path("/p"),), network=True,
        limits=Limits(wall_s=3.5, files=17), off=frozenset({"landlock"}), environment={"A": "b"},
    )  # fmt: skip
    assert read_spec(msgpack.unpackb(msgpack.packb(spec.wire()))) == spec


def test_messages_carry_descriptors_that_no_exec_inherits() -> None:
    one, other = passing.pair()
    with one, other:
        body = passing.wrap({"text": "x" * 3_000_000})
        passing.send(one, {"do": "start"}, [body])
        message, fds = passing.receive(other)
        assert message == {"do": "start"}
        assert not os.get_inheritable(fds[0])
        assert len(passing.unwrap(fds[0])["text"]) == 3_000_000
        os.close(body)
        one.close()
        assert passing.receive(other) == (None, [])


def test_limits_of_a_process_follow_the_policy() -> None:
    found = limits(Limits(cpu_s=0.2, memory_bytes=1 << 20, processes=5))
    assert found[resource.RLIMIT_CPU] == (1, 3), "whole seconds, at least one, and time to say so"
    assert found[resource.RLIMIT_DATA] == (1 << 20, 1 << 20)
    assert found[resource.RLIMIT_NPROC] == (6, 6), "the first process of the jail counts too"
    assert found[resource.RLIMIT_CORE] == (1, 1)


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    found = environment(JailSpec(Path("/work"), environment={"TZ": "Europe/Berlin"}))
    assert sorted(found) == ["HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER"]
    assert found["HOME"] == "/work"


def test_a_process_may_be_called_anything() -> None:
    line = b"12 (a) R 9 9 (b) S 1 2 3 4 5 6 7 8 9 10 100 50 25 25 15 16 7 18 19 20 1000 22"
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    assert parse_stat(line) == Usage(threads=7, memory_bytes=1000 * page, cpu_s=200 / ticks)
