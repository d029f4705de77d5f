"""A jail that may use the network, and two jails of one workspace at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from conftest import eventually
from jail_ground import Yard, yard

from anima.sandbox.jail.spec import Outcome

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("network")) as opened:
        yield opened


def test_with_network_there_is_tcp_and_udp_and_no_other_way_out(ours: Yard) -> None:
    ears = ours.at.listeners
    attacks = [
        ["tcp", "tcp", "127.0.0.1", ears.tcp],
        ["udp", "udp", "127.0.0.1", ears.udp],
        ["abstract", "unix", ears.abstract],
        ["bus", "unix", ears.bus],
        ["icmp", "icmp", "127.0.0.1"],
        ["packet", "family", 17, 3],
        ["netlink", "family", 16, 3],
        ["vsock", "family", 40, 1],
        ["listen", "listen", 45672, 0.5],
        ["environment", "environ_of_others"],
        ["signal", "signal_outside", ours.at.victim],
    ]
    found = ours.answer("battery", attacks, network=True)
    assert {label for label, (got, _) in found.items() if got} == {"tcp", "udp"}, found
    assert found["listen"][1].startswith("EACCES"), "no port of the machine is taken"


def test_the_machine_s_names_are_known_only_with_network(ours: Yard) -> None:
    assert not ours.answer("battery", [["dns", "read", "/etc/resolv.conf"]])["dns"][0]


def test_the_end_of_one_jail_uncovers_nothing_in_another(ours: Yard) -> None:
    """A folder that stands where a protected one may come is shared by all jails of a workspace, and leaves with the last."""
    hooks = ours.at.work / "hooks-0"

    async def both() -> tuple[Outcome, Outcome]:
        first = asyncio.create_task(ours.jails.run(ours.order("after", 0.5, "say", [1])))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(
            ours.jails.run(ours.order("after", 1.5, "battery", [[["make", "make_folder", str(hooks / "inner")]]]))
        )
        return await first, await second

    for _ in range(2):
        first, second = ours.runner.run(both())
        assert first.value == 1, first
        assert second.value, second
        assert not second.value["make"][0], second.value
    eventually(lambda: not hooks.exists(), "the stand-in is left in the workspace", 5)


def test_what_stands_in_for_a_protected_name_is_gone_afterwards(ours: Yard) -> None:
    before = sorted(each.name for each in ours.at.work.iterdir())
    for _ in range(3):
        ours.answer("say", 1)
    eventually(lambda: sorted(each.name for each in ours.at.work.iterdir()) == before, "the workspace has changed", 5)
    outcome = ours.run("end_by", 9)
    assert outcome.how == "killed"
    eventually(lambda: sorted(each.name for each in ours.at.work.iterdir()) == before, "the workspace has changed", 5)


def test_nothing_is_made_in_a_folder_that_is_only_read(ours: Yard) -> None:
    before = sorted(each.name for each in ours.at.books.iterdir())
    found = ours.answer(
        "after", 0.0, "names_in", [str(ours.at.books)], protected=(*ours.at.guarded, ours.at.books / "missing" / "deep")
    )
    assert "a.txt" in found
    assert "missing" not in found
    assert sorted(each.name for each in ours.at.books.iterdir()) == before


@pytest.mark.parametrize("target", ["inside", "outside", "nowhere"])
def test_a_protected_name_that_is_a_link_cannot_be_replaced(ours: Yard, target: str) -> None:
    """A person has linked the hooks; the tool removes the link and makes hooks of its own."""
    at = ours.at
    link = at.work / f"linked-{target}"
    leads = {"inside": at.work / "plain", "outside": at.other, "nowhere": at.root / "nothing"}[target]
    link.symlink_to(leads)
    attacks = [
        ["unlink", "remove", str(link)],
        ["replace", "rename", str(at.work / "notes.txt"), str(link)],
        ["make", "make_one_folder", str(link)],
        ["write", "write", str(link)],
    ]
    outcome = ours.run("battery", attacks, protected=(at.house, link))
    if outcome.how == "refused":
        assert "link" in outcome.reason
    else:
        assert [label for label, (got, _) in outcome.value.items() if got] == []
    assert link.is_symlink()
    link.unlink()
