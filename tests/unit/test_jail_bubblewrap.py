"""The places of a jail as arguments of bwrap, read without running it."""

import pytest

from anima.sandbox.jail.bubblewrap import Made, _version, first_child, guard, view
from anima.sandbox.jail.view import Facts, Wishes, plan

MADE = Made(etc={"passwd": 7}, shown=("/etc/ssl/certs",), fresh_bytes=1000, shm_bytes=500)
THERE = {"/usr", "/w", "/books", "/w/.keep", "/w/.keep/policy.toml", "/home/a"}


def words(**wishes: object) -> list[str]:
    asked = Wishes(**{"workspace": "/w", "system": ("/usr",), **wishes})
    facts = Facts(exists=lambda path: path in THERE, folder=lambda path: not path.endswith(".toml"))
    return view(plan(asked, facts), {"/bin": "usr/bin"}, MADE)


def pairs(found: list[str], option: str) -> list[str]:
    return [found[place + 1] for place, word in enumerate(found) if word == option]


def test_every_jail_has_all_namespaces_no_rights_and_no_environment() -> None:
    found = guard((0, 8, 0), network=False)
    for word in ("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--disable-userns"):
        assert word in found
    assert found[found.index("--cap-drop") + 1] == "ALL"
    assert "--share-net" not in found
    assert "--share-net" in guard((0, 8, 0), network=True)


def test_a_version_without_disable_userns_is_not_asked_for_it() -> None:
    assert "--disable-userns" not in guard((0, 7, 0), network=False)


def test_only_what_is_given_is_bound_and_only_the_workspace_for_writing() -> None:
    found = words(read=("/books",))
    assert pairs(found, "--bind") == ["/w"]
    assert {"/usr", "/books"} <= set(pairs(found, "--ro-bind"))
    assert "/" not in pairs(found, "--ro-bind")


def test_empty_lists_mean_none() -> None:
    found = words()
    assert pairs(found, "--bind") == ["/w"]
    assert set(pairs(found, "--ro-bind")) == {"/usr", "/etc/ssl/certs"}


def test_what_is_protected_is_covered_after_what_it_lies_in_and_its_folder_cannot_move() -> None:
    found = words(protected=("/w/.keep/policy.toml", "/w/hooks"))
    assert pairs(found, "--bind") == ["/w", "/w/.keep"]
    work, keep = found.index("/w"), found.index("/w/.keep")
    hidden, missing = found.index("/w/.keep/policy.toml"), found.index("/w/hooks")
    assert work < keep < hidden
    assert work < missing
    assert found[hidden - 2 : hidden] == ["--ro-bind", "/dev/null"]
    assert "/w/hooks" in pairs(found, "--tmpfs")
    assert "/w/hooks" in pairs(found, "--remount-ro")


def test_the_root_proc_and_etc_are_closed_last() -> None:
    found = words()
    assert found[-2:] == ["--remount-ro", "/"]
    assert {"/proc", "/etc"} <= set(pairs(found, "--remount-ro"))
    assert found.index("--remount-ro") > found.index("--symlink")


@pytest.mark.parametrize(("said", "version"), [("bubblewrap 0.8.0\n", (0, 8, 0)), ("bubblewrap 0.11", (0, 11)), ("none", (0,))])
def test_its_version_is_read(said: str, version: tuple[int, ...]) -> None:
    assert _version(said) == version


def test_the_first_process_is_read_from_what_bwrap_says() -> None:
    assert first_child(b'{\n    "child-pid": 4711,\n    "mnt-namespace": 5\n}\n') == 4711
    assert first_child(b"") == 0
