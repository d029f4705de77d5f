"""Whom root becomes at a house, and what of root's own that user does not get. That it does is tested in test_systemd.py."""

import os

import pytest

from anima.cli.owner import act_as_owner, aside, theirs, whom
from anima.errors import Refused, Unavailable
from anima.paths import Home


@pytest.mark.parametrize(
    ("command", "caller", "owner", "becomes"),
    [
        ("create", 0, 990, 990),
        ("restore", 0, 990, 990),
        ("create", 0, 0, None),
        ("create", 0, None, None),
        ("create", 1000, 990, None),
        ("install", 0, 990, None),
        ("uninstall", 0, 990, None),
        ("logs", 0, 990, None),
    ],
)
def test_root_becomes_whom_the_house_belongs_to_but_for_what_is_its_own_to_do(command, caller, owner, becomes):
    assert whom(command, caller, owner) == becomes


def test_nothing_of_roots_own_folders_is_in_the_environment_of_that_user():
    root = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "XDG_RUNTIME_DIR": "/run/user/0", "XDG_CONFIG_HOME": "/root/c"}
    assert theirs({**root, "LANG": "C"}, "arya", "/home/arya", "/run/user/7") == {
        "HOME": "/home/arya",
        "USER": "arya",
        "LOGNAME": "arya",
        "XDG_RUNTIME_DIR": "/run/user/7",
        "LANG": "C",
    }
    assert "XDG_RUNTIME_DIR" not in theirs(root, "arya", "/home/arya", "")


def test_a_house_of_ones_own_or_one_that_is_not_there_changes_nothing(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        home = Home(root, root / "run")
        assert act_as_owner(home, "create") is home


def test_a_complaint_names_the_user_only_if_it_is_another_one_who_was_not_permitted(monkeypatch):
    monkeypatch.setenv("USER", "arya")
    other, denied = os.geteuid() + 1, Unavailable("/root/h: Permission denied")
    denied.__cause__ = denied.__context__ = PermissionError()
    assert "belongs to arya" in aside(denied, other)
    assert "belongs to arya" in aside(PermissionError(), other)
    assert aside(denied, os.geteuid()) == ""
    assert aside(Refused("there is no agent"), other) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try to become somebody else")
def test_a_user_whom_root_cannot_become_is_named(tmp_path, monkeypatch):
    os.chown(tmp_path, 4711, 4712)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "initgroups", refuse)
    with pytest.raises(Refused, match="belongs to 4711, and root cannot become 4711 here"):
        act_as_owner(Home(tmp_path, tmp_path / "run"), "create")
