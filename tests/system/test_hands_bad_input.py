"""What a model gets wrong, and what a disk holds: a clear result each time, never a crash, nothing half written.

All of it goes the way of a person's `animactl tool call`, which is the way of an agent's call.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.caller import Caller
from tests.system.conftest import House, a_house

pytestmark = pytest.mark.system

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
GIB = 1 << 30
STRANGER = 54_321  #: a user nobody has


class Bad:
    """One house, its agent's workspace, and what is told of calls in it."""

    def __init__(self, house: House, caller: Caller, small: Path) -> None:
        self.house = house
        self.caller = caller
        self.small = small  #: the workspace of bran, 1 MiB large
        self.workspace = house.home.workspace("arya")

    def by_hand(self, tool: str, agent: str = "arya", **args: Any) -> tuple[int, dict[str, Any]]:
        """The exit code of animactl, and what it says of the response."""
        done = self.house.ctl("tool", "call", tool, "--agent", agent, "--args", "-", "--json", stdin=json.dumps(args))
        assert done.stdout, done.stderr
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    def refused(self, tool: str, agent: str = "arya", **args: Any) -> str:
        """The sentence about a call that must not be done."""
        code, told = self.by_hand(tool, agent, **args)
        assert code != 0, told
        assert not told["ok"]
        assert told["outcome"] in ("failed", "denied")
        text = str(told["text"])
        assert text.strip()
        assert "Traceback" not in text
        return text

    def done(self, tool: str, agent: str = "arya", **args: Any) -> str:
        """What comes of a call that must be done."""
        code, told = self.by_hand(tool, agent, **args)
        assert (code, told["ok"]) == (0, True), told
        return str(told["text"])


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bad]:
    small = tmp_path_factory.mktemp("small")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True, check=False)
    try:
        with a_house() as house:
            house.agent("arya")
            house.agent("bran", policy={"workspace": str(small)})
            house.home.workspace("arya").mkdir(parents=True)
            house.start()
            lives = {name: house.pid(name) for name in ("sandbox", "journal", "agent:arya")}
            with Caller(house) as caller:
                yield Bad(house, caller, small)
            assert {name: house.pid(name) for name in lives} == lives, "somebody died of it"
            assert "Traceback" not in house.log("sandbox"), house.log("sandbox")[-3000:]
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", small], check=True)


# -- the call itself --------------------------------------------------------------------------------------------------


def test_an_unknown_tool_is_told_with_the_nearest_names(bad: Bad) -> None:
    response = bad.caller.call("reed_file", path="x")  # as a model would; animactl does not even store it
    assert (response["outcome"], response["ok"]) == ("failed", False)
    assert "read_file" in response["text"]
    done = bad.house.ctl("tool", "call", "reed_file", "--agent", "arya")
    assert done.returncode != 0
    assert "read_file" in done.stderr


@pytest.mark.parametrize(
    "args",
    [{}, {"path": 7}, {"path": "x", "colour": "blue"}, {"path": "x", "offset": "one"}, {"path": ["x"]}, {"path": None}],
    ids=json.dumps,
)
def test_wrong_arguments_bring_the_expected_ones_back(bad: Bad, args: dict[str, Any]) -> None:
    response = bad.caller.call("read_file", **args)  # past animactl, which would say so itself
    assert (response["outcome"], response["ok"]) == ("failed", False)
    assert "path" in response["text"]
    assert '"offset"' in response["text"], "the schema comes back"
    assert not bad.caller.of(response["intent"], "approval_asked")


def test_wrong_arguments_are_told_by_the_command_line_too(bad: Bad) -> None:
    assert "path" in bad.refused("read_file", colour="blue")


def test_half_a_character_is_refused_before_anything_is_stored(bad: Bad) -> None:
    before = len(bad.caller.events("tool_call"))
    done = bad.house.ctl("tool", "call", "read_file", "--agent", "arya", "--args", '{"path": "\\ud800"}', "--json")
    assert done.returncode != 0
    assert "half a character" in done.stderr
    assert len(bad.caller.events("tool_call")) == before


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "a/" * 3000 + "b", ""], ids=["nul", "long", "deep", "empty"])
def test_a_path_that_cannot_be_one_is_refused_in_a_sentence(bad: Bad, path: str) -> None:
    bad.refused("read_file", path=path)
    bad.refused("write_file", path=path, content="x")


@pytest.mark.parametrize(
    "args", [{"command": "echo a\0b"}, {"argv": ["echo", "a\0b"]}, {}, {"command": "true", "argv": ["true"]}]
)
def test_a_command_that_cannot_be_run_is_refused_in_a_sentence(bad: Bad, args: dict[str, Any]) -> None:
    bad.refused("exec", **args)


def test_a_program_that_is_not_there_and_one_that_fails_are_told_apart(bad: Bad) -> None:
    assert "not installed" in bad.refused("exec", argv=["no-such-program"])
    assert "3" in bad.refused("exec", command="exit 3")


# -- what the disk holds -----------------------------------------------------------------------------------------------


def test_a_binary_file_is_named_and_left_alone(bad: Bad) -> None:
    (bad.workspace / "wolf.png").write_bytes(PNG)
    assert "PNG" in bad.refused("read_file", path="wolf.png")
    bad.refused("edit_file", path="wolf.png", old_text="PNG", new_text="GIF")
    assert (bad.workspace / "wolf.png").read_bytes() == PNG


def test_binary_output_of_a_command_comes_as_text(bad: Bad) -> None:
    (bad.workspace / "noise").write_bytes(bytes(range(256)) * 40)
    assert "\0" not in bad.done("exec", command="cat noise")


def test_a_file_of_ten_gigabytes_is_paged_searched_and_not_copied(bad: Bad) -> None:
    huge = bad.workspace / "huge"
    with huge.open("wb") as file:
        file.write(b"first line\n")
        file.truncate(10 * GIB)
    try:
        bad.refused("read_file", path="huge")  # it is zeros, which are no text
        with huge.open("r+b") as file:
            file.write(b"a line\n" * 5_000)
        assert "a line" in bad.done("exec", command="head -n 1 huge")
        assert "10" in bad.done("file_info", path="huge")
        bad.refused("edit_file", path="huge", old_text="a line", new_text="b")
        bad.refused("copy_file", source="huge", destination="copy")
        assert not (bad.workspace / "copy").exists()
        assert huge.stat().st_size == 10 * GIB
        assert not [each for each in os.listdir(bad.workspace) if "huge" in each and each != "huge"]  # noqa: PTH208
    finally:
        huge.unlink()


def test_a_large_text_is_read_page_by_page(bad: Bad) -> None:
    (bad.workspace / "long.txt").write_text("".join(f"line {number}\n" for number in range(1, 3_000_001)))
    page = bad.done("read_file", path="long.txt", offset=2_999_999)
    assert "line 2999999\nline 3000000" in page
    first = bad.done("read_file", path="long.txt")
    assert len(first.encode()) < 60_000
    assert "offset" in first


def test_a_directory_is_no_file_and_a_file_no_directory(bad: Bad) -> None:
    (bad.workspace / "folder").mkdir(exist_ok=True)
    (bad.workspace / "folder" / "inside").write_text("x")
    assert "director" in bad.refused("read_file", path="folder")
    assert "director" in bad.refused("write_file", path="folder", content="x")
    bad.refused("edit_file", path="folder", old_text="a", new_text="b")
    bad.refused("list_directory", path="folder/inside")
    bad.refused("write_file", path="folder/inside/deeper", content="x")
    bad.refused("exec", command="true", cwd="folder/inside")
    assert (bad.workspace / "folder" / "inside").read_text() == "x"


def test_names_with_newlines_and_broken_utf8_are_shown_and_understood_again(bad: Bad) -> None:
    bad.done("write_file", path="a\nb.txt", content="with a newline\n")
    assert (bad.workspace / "a\nb.txt").read_text() == "with a newline\n"
    Path(os.fsdecode(os.fsencode(bad.workspace) + b"/caf\xe9.txt")).write_text("latin\n")
    listed = bad.done("list_directory")
    assert '"a\\nb.txt"' in listed
    assert '"caf\\351.txt"' in listed
    assert "latin" in bad.done("read_file", path='"caf\\351.txt"')
    assert "with a newline" in bad.done("read_file", path='"a\\nb.txt"')
    bad.done("grep", pattern="latin")


def test_pipes_devices_and_loops_do_not_hold_a_call_up(bad: Bad) -> None:
    os.mkfifo(bad.workspace / "pipe")
    (bad.workspace / "loop").symlink_to("loop")
    (bad.workspace / "shadow").symlink_to("/etc/shadow")
    (bad.workspace / "null").symlink_to("/dev/zero")
    for name in ("pipe", "loop", "shadow", "null"):
        bad.refused("read_file", path=name)
    bad.done("grep", pattern="anything at all")
    for name in ("pipe", "loop", "shadow", "null"):
        (bad.workspace / name).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_without_permission_the_old_content_stays(bad: Bad) -> None:
    private = bad.workspace / "private"
    private.write_text("of another\n")
    os.chown(private, STRANGER, STRANGER)
    private.chmod(0o600)
    locked = bad.workspace / "locked"
    locked.mkdir(exist_ok=True)
    (locked / "file").write_text("kept\n")
    os.chown(locked, STRANGER, STRANGER)
    locked.chmod(0o755)
    assert "permission" in bad.refused("read_file", path="private").lower()
    assert "permission" in bad.refused("write_file", path="locked/file", content="new\n").lower()
    bad.refused("delete_file", path="locked/file")
    assert private.read_text() == "of another\n"
    assert (locked / "file").read_text() == "kept\n"
    assert os.listdir(locked) == ["file"]  # noqa: PTH208


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_on_a_full_disk_the_old_content_stays_and_nothing_half_written_beside_it(bad: Bad) -> None:
    assert "ok" in bad.done("exec", "bran", command="echo ok; df . | tail -1")
    bad.done("write_file", "bran", path="diary", content="day one\n")
    large = "x" * 700_000 + "\n"
    bad.done("write_file", "bran", path="large", content=large)
    for tool, args in (
        ("write_file", {"path": "diary", "content": large}),
        ("edit_file", {"path": "diary", "old_text": "day one", "new_text": large}),
        ("copy_file", {"source": "large", "destination": "copy"}),
        ("copy_lines", {"source": "large", "lines": "1", "destination": "diary"}),
    ):
        assert "full" in bad.refused(tool, "bran", **args), tool
        assert (bad.small / "diary").read_text() == "day one\n", tool
        assert sorted(os.listdir(bad.small)) == ["diary", "large"], tool  # noqa: PTH208
    assert "day one" in bad.done("read_file", "bran", path="diary")


def test_a_file_larger_than_the_policy_allows_is_told(bad: Bad) -> None:
    told = bad.refused("exec", command="head -c 100M /dev/zero > big")
    assert (bad.workspace / "big").stat().st_size <= 64 << 20
    assert "File size limit" in told
    (bad.workspace / "big").unlink()


def test_arguments_larger_than_an_event_are_refused_before_anything_happens(bad: Bad) -> None:
    args = json.dumps({"path": "never", "content": "x" * 3_000_000})
    done = bad.house.ctl("tool", "call", "write_file", "--agent", "arya", "--args", "-", "--json", stdin=args)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert not (bad.workspace / "never").exists()
