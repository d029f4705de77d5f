"""The same jail, its view mounted by bwrap."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import jail_table
import pytest
from jail_ground import Yard, marked, yard

from anima.limits import MIB
from anima.sandbox.jail import built
from anima.sandbox.jail.spec import Limits

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="bwrap is not installed (apt-get install bubblewrap)"),
]

#: bwrap maps root to root, so root has to do without the layer in words.
OFF = frozenset({"user"}) if os.getuid() == 0 else frozenset()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("builders"), builder="bubblewrap") as opened:
        yield opened


def test_built_by_bwrap_it_holds_every_attack_as_well(ours: Yard) -> None:
    assert ours.jails.builder == "bubblewrap"
    found = ours.answer("battery", jail_table.attacks(ours.at), off=OFF)
    assert {label: told for label, (got, told) in found.items() if got} == {}


def test_built_by_bwrap_its_layers_are_told(ours: Yard) -> None:
    outcome = ours.run("say", ["a", 1], off=OFF)
    assert outcome.value == ["a", 1]
    assert {"namespaces", "network", "landlock", "seccomp", "rlimits", "memory"} <= set(outcome.layers)
    if os.getuid() == 0:
        refused = ours.run("say", 1)
        assert refused.how == "refused"
        assert "'user'" in refused.reason


def test_built_by_bwrap_its_ends_are_told(ours: Yard) -> None:
    killed = ours.run("end_by", 11, off=OFF)
    assert (killed.how, killed.signal) == ("killed", 11)
    wall = ours.run("sleep_deaf", 60.0, off=OFF, limits=Limits(wall_s=1.0))
    assert (wall.how, wall.limit, wall.stdout) == ("limit", "wall", b"before the limit\n")
    memory = ours.run("take_memory", 1024 * MIB, off=OFF, limits=Limits(memory_bytes=192 * MIB))
    assert memory.how != "answered"
    bomb = ours.run("fork_bomb", 1.0, off=OFF, limits=Limits(processes=32, wall_s=10))
    assert bomb.limit == "processes" or bomb.value <= 32
    mark = f"bwrap-{os.getpid()}"
    assert ours.answer("leave_a_daemon", mark, off=OFF) == "left one behind"
    assert not marked(mark)


def test_with_network_it_has_the_network(ours: Yard) -> None:
    found = ours.answer("battery", [["tcp", "tcp", "127.0.0.1", ours.at.listeners.tcp]], off=OFF, network=True)
    assert found["tcp"][0], found


def test_bwrap_is_taken_where_we_may_not_make_namespaces_ourselves_or_when_asked_for() -> None:
    assert built.choose("auto", native=True) is None
    assert built.choose("native", native=False) is None
    found = built.choose("auto", native=False)
    assert found is not None
    assert not found.why_not
    assert built.choose("bubblewrap", native=True) == found
