"""What a jailed child sees: what it was given, at its own place, and nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jail_attacks import MARK
from jail_ground import Yard, yard

from anima.sandbox.jail.spec import Outcome

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("view")) as opened:
        yield opened


def tried(ours: Yard, *attacks: list[object], **more: object) -> dict[str, bool]:
    """Which of the attacks got something."""
    found = ours.answer("battery", [[" ".join(map(str, each)), *map(str, each)] for each in attacks], **more)
    return {label: got for label, (got, _) in found.items()}


def test_what_is_given_can_be_used_and_writing_stays_where_it_is_allowed(ours: Yard) -> None:
    at = ours.at
    found = tried(
        ours,
        ["read", at.work / "notes.txt"],
        ["read", at.books / "a.txt"],
        ["write", at.work / "new.txt"],
        ["write", at.out / "new.txt"],
        ["make_folder", at.work / "deep" / "er"],
        ["rename", at.work / "new.txt", at.work / "deep" / "moved.txt"],
        ["write", "/tmp/scratch"],
        ["write", "/dev/null"],
        ["read", "/etc/passwd"],
    )
    assert all(found.values()), found
    assert (at.work / "deep" / "moved.txt").read_text() == "the jail was here\n"
    assert (at.out / "new.txt").exists()
    assert not Path("/tmp/scratch").exists(), "its /tmp is its own"
    assert ours.answer("program", "/bin/true") == [0]


def test_what_it_makes_belongs_to_the_owner_of_the_workspace(ours: Yard) -> None:
    ours.answer("write", str(ours.at.work / "mine"))
    about = (ours.at.work / "mine").stat()
    assert about.st_uid == ours.at.work.stat().st_uid
    (ours.at.work / "mine").write_text("and the owner can write it again\n")
    assert "again" in ours.answer("read", str(ours.at.work / "mine"))


def test_empty_lists_mean_none(ours: Yard) -> None:
    at = ours.at
    found = tried(ours, ["read", at.books / "a.txt"], ["write", at.out / "x"], read=(), write=())
    assert found == dict.fromkeys(found, False)


def test_beside_the_workspace_there_is_nothing(ours: Yard) -> None:
    seen = ours.answer("names_in", str(ours.at.root))
    assert "house" not in seen or ours.answer("names_in", str(ours.at.house)) == "", "a protected name is an empty place"
    assert "other" not in seen
    top = ours.answer("names_in", "/")
    for name in ("home", "root", "srv", "boot", "mnt", "media", "run", "var"):
        inner = ours.answer("names_in", f"/{name}") if f"'{name}'" in top else ""
        python = any(Path(prefix).is_relative_to(f"/{name}") for prefix in (sys.prefix, sys.base_prefix))
        assert not inner or (python and inner.count("'") == 2), f"/{name} shows more than the way to this Python: {inner}"


def test_a_workspace_above_the_house_does_not_show_the_house(ours: Yard) -> None:
    at = ours.at
    found = tried(
        ours,
        ["read", at.house / "keys.env"],
        ["append", at.house / "agents" / "arya" / "agent.toml"],
        ["write", at.house / "agents" / "arya" / "hooks.toml"],
        ["make_folder", at.house / "tools" / "own"],
        ["rename", at.house, at.root / "moved"],
        ["unix", at.listeners.bus],
        ["swap", at.house, at.out],
        workspace=at.root,
        read=(at.root,),
        write=(at.root,),
    )
    assert found == dict.fromkeys(found, False)
    assert (at.house / "keys.env").read_bytes().startswith(MARK)


def test_a_workspace_within_the_house_is_seen_and_the_house_is_not(ours: Yard) -> None:
    at = ours.at
    inner = at.house / "workspace" / "arya"
    inner.mkdir(parents=True)
    found = tried(ours, ["write", inner / "a"], workspace=inner)
    assert all(found.values())
    found = tried(
        ours,
        ["read", at.house / "keys.env"],
        ["write", at.house / "agents" / "arya" / "agent.toml"],
        ["write", at.house / "workspace" / "b"],
        ["make_folder", at.house / "workspace" / "brandon"],
        ["rename", inner, at.house / "workspace" / "other"],
        workspace=inner,
    )
    assert found == dict.fromkeys(found, False)


def test_a_link_the_agent_put_in_the_place_of_a_folder_it_may_write_gives_it_nothing(ours: Yard) -> None:
    """Call one replaces a folder in the workspace by a link; call two has that folder in its policy."""
    at = ours.at
    lure = at.work / "results"
    ours.answer("battery", [["link", "through_symlink", str(at.other), str(lure)]])
    assert lure.is_symlink()
    for more in ({"write": (lure,)}, {"read": (lure,)}, {"write": (lure / "inner",)}):
        outcome = ours.run(
            "battery", [["read", "read", str(lure / "diary-0")], ["write", "write", str(at.other / "planted")]], **more
        )
        got = outcome.how == "answered" and any(got for got, _ in outcome.value.values())
        assert not got, f"{more}: {outcome.value}"
        assert not (at.other / "planted").exists()
    lure.unlink()


def test_the_policy_does_not_follow_a_folder_the_model_chose(ours: Yard) -> None:
    """The tool changes its directory as the model asks; that widens nothing (Codex CVE-2025-59532)."""
    at = ours.at
    assert ours.answer("where") == str(at.work)
    for place in ("/", "/etc", at.books, "/usr"):
        found = ours.answer("from_folder", str(place), "write", ["./planted"])
        assert not found[0], found


def test_nothing_of_a_call_stays_but_what_it_wrote_to_its_folders(ours: Yard) -> None:
    ours.answer("write", "/tmp/left")
    found = tried(ours, ["read", "/tmp/left"])
    assert found == dict.fromkeys(found, False)


def test_two_jails_at_once_do_not_see_each_other(ours: Yard) -> None:
    async def both() -> list[Outcome]:
        first = asyncio.create_task(ours.jails.run(ours.order("be_seen", 3.0)))
        await asyncio.sleep(0.5)
        second = await ours.jails.run(ours.order("look_for_others"))
        return [await first, second]

    first, second = ours.runner.run(both())
    assert first.value == "was not met", first
    assert second.value == "", second


def test_a_system_folder_cannot_be_changed_and_devices_are_few(ours: Yard) -> None:
    found = tried(
        ours,
        ["write", "/usr/planted"],
        ["write", "/etc/planted"],
        ["write", "/planted"],
        ["write", "/proc/sys/kernel/hostname"],
        ["read", "/dev/mem"],
        ["read", "/dev/kmsg"],
        ["names_in", "/sys/kernel"],
        ["read", "/dev/fuse"],
        ["read", "/dev/net/tun"],
        ["read", "/proc/kcore"],
    )
    assert found == dict.fromkeys(found, False)


def test_it_is_a_user_who_owns_nothing_else(ours: Yard) -> None:
    """As root: one of a range that nobody uses. As somebody else: that user alone, in a user namespace, without any right."""
    before = os.getuid()
    inside, outside = ours.answer("users"), ours.at.work / "owned"
    ours.answer("write", str(outside))
    assert inside["capabilities"] == 0
    assert inside["groups"] in ([], [65534], [inside["uid"]])
    if before == 0:
        assert inside["uid"] >= 1_000_000
        assert inside["map"].split() != ["0", "0", "1"]
    else:
        assert inside["uid"] == before
        assert inside["map"].split() == [str(before), str(before), "1"]
    assert outside.stat().st_uid == before


def test_two_jails_at_once_are_two_users(ours: Yard) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give each jail a user of its own")

    async def both() -> list[Outcome]:
        first = asyncio.create_task(ours.jails.run(ours.order("be_seen", 1.0)))
        second = asyncio.create_task(ours.jails.run(ours.order("users")))
        third = asyncio.create_task(ours.jails.run(ours.order("users")))
        return [await first, await second, await third]

    _, second, third = ours.runner.run(both())
    assert second.value["uid"] != third.value["uid"]


def test_the_environment_is_a_short_list(ours: Yard) -> None:
    names = set(ours.answer("names_of_environment", environment={"ANIMA_AGENT": "arya"}))
    assert "ANIMA_AGENT" in names
    plain = {"PATH", "LANG", "HOME", "TMPDIR", "TERM", "USER", "LOGNAME", "SHELL", "LC_CTYPE", "PWD", "TZ"}
    assert names <= {*plain, "ANIMA_AGENT"}
    assert os.environ["ANIMA_SECRET"] == MARK.decode(), "while the one who opened the jails has a secret there"
