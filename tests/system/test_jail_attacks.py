"""The escapes, each tried three times: in the jail, with one layer alone, and with no jail at all.

Which layer holds what is jail_table.HELD; docs/jail.md tells the same to people. An attack that would not work without a
jail proves nothing, so that is a test as well; the few that cannot be shown on a machine are listed with their reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jail_table
import pytest
from jail_ground import laid, without_a_jail, yard

from anima.sandbox.jail.spec import LAYERS

pytestmark = pytest.mark.system

LABELS = jail_table.labels()
PAIRS = [(label, layer) for label in LABELS for layer in jail_table.HELD.get(label, ())]
Results = Callable[[str], dict[str, list[Any]]]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """All attacks in one jail, with the layers that are said: "all", "none" (no jail), RIGHTS, or the only one. Each once."""

    def fresh(name: str) -> Path:
        return tmp_path_factory.mktemp(name)

    @cache
    def results(layers: str) -> dict[str, list[Any]]:
        if layers == "none":
            with laid(fresh("none")) as at:
                return without_a_jail("battery", [jail_table.attacks(at)], at)
        off = frozenset() if layers == "all" else frozenset(LAYERS) - {layers}
        with yard(fresh(layers)) as ours:
            hidden = ours.at.guarded if layers in ("all", "namespaces") else (ours.at.house,)  # else the order is refused
            return ours.answer("battery", jail_table.attacks(ours.at), off=off, protected=hidden)

    return results


@pytest.mark.parametrize("label", LABELS)
def test_the_jail_holds(tried: Results, label: str) -> None:
    got, told = tried("all")[label]
    assert not got, told


@pytest.mark.parametrize("label", LABELS)
def test_without_a_jail_it_works(tried: Results, label: str) -> None:
    got, told = tried("none")[label]
    if label in jail_table.UNSHOWN:
        assert not got or told, "an attack that cannot be shown everywhere may work all the same"
    else:
        assert got, told


@pytest.mark.parametrize(("label", "layer"), PAIRS)
def test_one_layer_alone_holds(tried: Results, label: str, layer: str) -> None:
    got, told = tried(layer)[label]
    assert not got, f"{layer} alone does not hold it: {told}"


def test_every_attack_has_its_layers_and_nothing_else_does() -> None:
    assert set(jail_table.HELD) == set(LABELS)
    assert {layer for layers in jail_table.HELD.values() for layer in layers} <= {*LAYERS, jail_table.RIGHTS}
    assert all(jail_table.HELD.values()), "each is held by a layer that has a name"
