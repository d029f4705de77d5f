"""The profile for macOS, read as text: nothing here runs it. Rules are applied by a small reading of Seatbelt's own order."""

import re
from pathlib import Path

import pytest

from anima.errors import Refused
from anima.sandbox.jail.seatbelt import SANDBOX_EXEC, command, profile
from anima.sandbox.jail.spec import JailSpec

HOME = Path("/Users/jon/.anima")
WORK = HOME / "workspace" / "arya"


def verdict(text: str, operation: str, path: str) -> str:
    """What the last rule that fits says: a rule fits by its operation (with or without *) and one of its filters."""
    found = "deny"
    for rule in re.findall(r"^\((?:allow|deny) .*?(?=^\(|\Z)", text, re.MULTILINE | re.DOTALL):
        head = rule.splitlines()[0].strip("()").split()
        names = [word for word in head[1:] if not word.startswith("(")]
        if not any(operation == name or (name.endswith("*") and operation.startswith(name[:-1])) for name in names):
            continue
        filters = re.findall(r'\((subpath|literal) "((?:[^"\\]|\\.)*)"\)', rule)
        fits = not filters and "(" not in rule[1:]
        for sort, written in filters:
            plain = re.sub(r"\\(.)", r"\1", written)
            fits |= path == plain or (sort == "subpath" and path.startswith(plain.rstrip("/") + "/"))
        if fits:
            found = head[0]
    return found


def spec(**more):
    return JailSpec(workspace=WORK, protected=(HOME, WORK / "hooks" / "pre.sh"), **more)


def test_everything_is_denied_that_is_not_named() -> None:
    text = profile(spec())
    assert text.splitlines()[:2] == ["(version 1)", "(deny default)"]
    for path in ("/Users/jon/.ssh/id_rsa", "/private/etc/master.passwd", "/Users/jon/other", "/private/var/run/docker.sock"):
        assert verdict(text, "file-read-data", path) == "deny", path
        assert verdict(text, "file-write-data", path) == "deny", path


def test_the_workspace_is_written_and_the_system_only_read() -> None:
    text = profile(spec())
    assert verdict(text, "file-write-data", f"{WORK}/a.txt") == "allow"
    assert verdict(text, "file-read-data", "/usr/lib/libSystem.dylib") == "allow"
    assert verdict(text, "file-write-data", "/usr/bin/env") == "deny"


def test_empty_lists_mean_none() -> None:
    text = profile(JailSpec(workspace=WORK))
    assert verdict(text, "file-read-data", "/data/book") == "deny"
    assert verdict(profile(JailSpec(workspace=WORK, read=(Path("/data"),))), "file-read-data", "/data/book") == "allow"
    assert verdict(profile(JailSpec(workspace=WORK, read=(Path("/data"),))), "file-write-data", "/data/book") == "deny"
    assert verdict(profile(JailSpec(workspace=WORK, write=(Path("/data"),))), "file-write-data", "/data/book") == "allow"


def test_the_house_is_protected_and_the_workspace_in_it_is_not() -> None:
    text = profile(spec())
    for operation in ("file-read-data", "file-write-create", "file-write-unlink"):
        assert verdict(text, operation, f"{HOME}/agents/arya/agent.toml") == "deny"
    assert verdict(text, "file-read-data", f"{WORK}/a.txt") == "allow"


def test_a_protected_name_within_the_workspace_stays_denied_also_where_it_is_not_there_yet() -> None:
    given = JailSpec(workspace=Path("/w"), protected=(Path("/w/.keep/policy.toml"), Path("/w/missing/hooks")))
    for path in ("/w/.keep/policy.toml", "/w/missing/hooks", "/w/missing/hooks/pre.sh"):
        for operation in ("file-read-data", "file-write-create", "file-write-data", "file-write-unlink"):
            assert verdict(profile(given), operation, path) == "deny"


def test_the_deeper_of_two_paths_counts() -> None:
    text = profile(spec(read=(WORK / "hooks" / "pre.sh" / "docs",)))
    assert verdict(text, "file-write-create", f"{WORK}/hooks/pre.sh") == "deny"
    assert verdict(text, "file-read-data", f"{WORK}/hooks/pre.sh/docs/a") == "allow"
    assert verdict(text, "file-write-data", f"{WORK}/hooks/pre.sh/docs/a") == "deny"


def test_no_folder_above_a_protected_name_can_be_renamed_away() -> None:
    given = JailSpec(workspace=Path("/w"), protected=(Path("/w/a/b/policy.toml"),))
    for above in ("/w/a/b", "/w/a", "/w"):
        assert verdict(profile(given), "file-write-unlink", above) == "deny"
    assert verdict(profile(given), "file-write-unlink", "/w/a/other") == "allow"
    assert verdict(profile(given), "file-write-create", "/w/a/b/new") == "allow"


def test_without_network_no_socket_leads_anywhere() -> None:
    text = profile(spec())
    assert "(deny network*)" in text
    assert "(allow network" not in text
    assert "system-socket" not in text


def test_with_network_the_own_machine_stays_closed_and_nothing_listens() -> None:
    text = profile(spec(network=True))
    lines = text.splitlines()
    assert '(allow network-outbound (remote ip "*:*"))' in lines
    assert lines.index('(deny network-outbound (remote ip "localhost:*"))') > lines.index(
        '(allow network-outbound (remote ip "*:*"))'
    )
    assert "(deny network-bind network-inbound)" in lines


@pytest.mark.parametrize("name", ['a"b', "a\\b", 'a") (allow default) ("', "ü and blanks"])
def test_a_name_cannot_write_rules_of_its_own(name: str) -> None:
    text = profile(JailSpec(workspace=Path("/w") / name))
    assert verdict(text, "file-write-data", f"/w/{name}/x") == "allow"
    assert verdict(text, "file-read-data", "/Users/jon/x") == "deny"
    assert "\n(allow default)" not in text


@pytest.mark.parametrize("path", ["relative", "/w/../etc", "/w/a\nb", "/w/\0"])
def test_a_path_that_cannot_be_written_down_is_refused(path: str) -> None:
    with pytest.raises(Refused, match="cannot name"):
        profile(JailSpec(workspace=Path(path)))


def test_the_command_carries_the_profile_and_then_the_words() -> None:
    words = command(spec(), ["python3", "-c", "1"])
    assert words[:2] == [SANDBOX_EXEC, "-p"]
    assert words[2] == profile(spec())
    assert words[3:] == ["--", "python3", "-c", "1"]
