"""A house in one file and back: taken while it answers, while its owners die, and the same in another place."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import House, a_house, eventually
from tests.system.test_mneme import life, rows

pytestmark = pytest.mark.system

LIFE = 4_000  # memories


@pytest.fixture
def other() -> Iterator[House]:
    """A second house, where nothing is yet."""
    with a_house() as house:
        yield house


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose arya has a life behind her, long enough for a copy of it to be on its way for a while.

    Several tests take it as it is and leave it up; what they send to arya is answered when they end.
    """
    with a_house() as house:
        house.agent("arya")
        house.start()
        told = life(tmp_path_factory.mktemp("lived") / "life.jsonl", LIFE)
        assert house.ctl("memory", "import", "arya", str(told)).returncode == 0
        house.ask("arya", "hello")
        yield house


def restored(file: Path, other: House) -> str:
    """Restore and start; what the person is told."""
    done = other.ctl("restore", str(file))
    assert done.returncode == 0, done.stderr
    other.start()
    return done.stdout


def manifest(file: Path) -> dict[str, Any]:
    with tarfile.open(file) as tar:
        found: dict[str, Any] = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        return found


def moves(house: House, name: str) -> list[dict[str, Any]]:
    """What moved an agent, with the levels before and after: how it feels follows from the last one and the clock alone."""
    done = house.ctl("thymos", "why", name, "--json", "-n", "1000")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["moves"]
    return found


def test_a_backup_taken_while_messages_are_answered_is_the_same_house_elsewhere(
    house: House, other: House, tmp_path: Path
) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    work = house.home.workspace("arya")
    work.mkdir(parents=True, exist_ok=True)
    (work / "notes.txt").write_text("what I found")
    (work / "link").symlink_to("notes.txt")
    house.home.secrets.write_text('key = "sk-very-secret"\n')
    house.home.secrets.chmod(0o600)
    assert house.ctl("memory", "import", "arya", str(life(tmp_path / "life.jsonl", 500))).returncode == 0
    house.ask("arya", "thank you, that was wonderful")

    file = tmp_path / "house.tar.gz"
    with talk(house, "arya", "bran"):
        eventually(lambda: house.audit()["answered"] > 4, "nobody answers")
        done = house.ctl("backup", str(file))
    assert done.returncode == 0, done.stderr
    assert re.search(r"at event [\d,]+: .* verified, in .* no part of it stood still for more than \d+ ms", done.stdout)
    assert "secrets.toml is not in a backup" in done.stderr
    told = manifest(file)
    assert all(cursor <= told["seq"] for cursor in told["cursors"].values())
    assert "sk-very-secret" not in " ".join(map(str, told["members"]))
    accepted = house.audit()["accepted"]
    house.until_answered(accepted)
    assert house.audit()["accepted"] == accepted
    assert not list(house.home.state.glob("copy-*"))

    restored(file, other)
    assert not other.home.secrets.exists()
    then, again = ([each for each in which.events() if each["seq"] <= told["seq"]] for which in (house, other))
    assert again == then, "the journal is not the same up to the event that is named"
    sent = [each for each in then if each["kind"] == "user_message"]
    ledger = other.until_answered(len(sent))  # who was waiting then is answered now
    assert (ledger["accepted"], ledger["lost"], ledger["doubled"]) == (len(sent), 0, 0)
    assert other.ctl("doctor", "--deep").stdout.count("events verified") == 1

    for name in ("arya", "bran"):
        before = [each for each in moves(house, name) if each["seq"] <= told["seq"]]
        assert [each for each in moves(other, name) if each["seq"] <= told["seq"]] == before
        known = {each["id"]: each for each in rows(house, name)}
        lasting = {each["id"] for each in then if each["agent"] == name}
        remembered = {each["id"]: each for each in rows(other, name)}
        for id_, row in known.items():
            if id_ in lasting or id_.startswith("D"):
                assert _plain(remembered[id_]) == _plain(row)
    assert (other.home.workspace("arya") / "link").read_text() == "what I found"
    assert "turn7" in other.ctl("memory", "search", "arya", "turn7").stdout


@contextlib.contextmanager
def talk(house: House, *names: str) -> Iterator[None]:
    """Somebody sends messages to each of these without a pause."""
    enough = threading.Event()

    def send(name: str) -> None:
        while not enough.is_set():
            house.send(name, f"and at {time.monotonic()}?")

    talkers = [threading.Thread(target=send, args=(name,), daemon=True) for name in names]
    for each in talkers:
        each.start()
    try:
        yield
    finally:
        enough.set()
        for each in talkers:
            each.join()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A memory without how often it came to mind, for that goes on, and its mood, which thymos is asked for only at once."""
    return {key: value for key, value in row.items() if key not in ("accessed", "mood")}


def test_a_quiet_house_is_the_same_elsewhere_to_the_last_number(house: House, other: House, tmp_path: Path) -> None:
    house.agent("arya")
    house.start()
    house.ask("arya", "thank you, that was wonderful")
    house.ask("arya", "this is terrible, you are useless")
    house.ctl("memory", "add", "arya", "Bob lives in Paris")
    assert house.stop() == 0
    file = tmp_path / "house.tar.gz"
    assert house.ctl("backup", str(file)).returncode == 0, "a house that is down is copied under its lock"
    restored(file, other)
    house.start()
    assert other.audit() == house.audit()
    assert rows(other) == rows(house)
    seq = manifest(file)["seq"]
    assert [each for each in moves(other, "arya") if each["seq"] <= seq] == [
        each for each in moves(house, "arya") if each["seq"] <= seq
    ]
    assert other.ctl("budget", "arya", "--json").stdout == house.ctl("budget", "arya", "--json").stdout


@pytest.mark.parametrize("owner", ["mneme", "thymos", "purser", "journal"])
def test_an_owner_that_is_killed_while_it_copies_is_asked_again(owner: str, lived: House, other: House, tmp_path: Path) -> None:
    house = lived
    file = tmp_path / "house.tar.gz"
    killed: list[int] = []

    def kill() -> None:
        """As soon as there is a copy of its own on the way, or just made."""
        eventually(lambda: list(house.home.state.glob(f"copy-*/{owner}.db*")), "no copy is made", pause_s=0.001)
        killed.append(house.kill(owner))

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    done = house.ctl("backup", str(file), timeout_s=100)
    killing.join()
    assert done.returncode == 0, done.stderr
    house.until_up(owner, other_than=killed[0])
    assert house.ask("arya", "and now?")
    restored(file, other)
    assert other.audit()["lost"] == other.audit()["doubled"] == 0
    assert sum(each["id"].startswith("D") for each in rows(other)) == LIFE


def test_a_backup_that_is_killed_leaves_no_archive_and_the_next_one_cleans_up(lived: House, tmp_path: Path) -> None:
    house = lived
    file = tmp_path / "house.tar.gz"
    command = [sys.executable, "-c", "from anima.cli.main import main; main()", "backup", str(file)]
    backing_up = subprocess.Popen(command, env=house.environ)
    eventually(lambda: list(house.home.state.glob("copy-*/*")), "no copy is made", pause_s=0.001)
    backing_up.send_signal(signal.SIGKILL)
    backing_up.wait()
    assert not file.exists()
    assert house.ctl("backup", str(file)).returncode == 0
    assert not list(house.home.state.glob("copy-*"))
    assert [each for each in tmp_path.iterdir() if each.name.endswith("gz") or "part" in each.name] == [file]


def test_what_cannot_be_backed_up_or_restored_is_said_in_one_sentence(lived: House, other: House, tmp_path: Path) -> None:
    house = lived
    file = tmp_path / "house.tar.gz"

    def refused(which: House, *command: str) -> str:
        done = which.ctl(*command)
        assert done.returncode == 1, done.stdout
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr

    assert "there is no house at" in refused(other, "backup", str(file))
    assert "no directory" in refused(house, "backup", str(tmp_path / "away" / "x.tar.gz"))
    assert "is a directory" in refused(house, "backup", str(tmp_path))
    assert house.ctl("backup", str(file)).returncode == 0
    assert "--force replaces it" in refused(house, "backup", str(file))
    assert house.ctl("backup", str(file), "--force", "--no-workspace").returncode == 0
    assert not [each for each in manifest(file)["members"] if each["path"].startswith("workspace")]
    assert "a house runs at" in refused(house, "restore", str(file))
    down = House(tmp_path / "down")
    down.agent("arya")
    down.home.state.mkdir()
    assert "is not empty" in refused(down, "restore", str(file))

    broken = tmp_path / "broken.tar.gz"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"a letter to a friend", whole[:3_000] + b"!" + whole[3_001:]):
        broken.write_bytes(content)
        assert str(broken) in refused(other, "restore", str(broken))
        assert not other.home.root.exists(), "what was begun is left behind"
    assert "No such file" in refused(other, "restore", str(tmp_path / "nothing"))
    house.kill("purser", signal.SIGSTOP)
    house.do("pause", "purser")
    assert "cannot copy its database" in refused(house, "backup", str(tmp_path / "x.tar.gz"))
    house.do("resume", "purser")
    assert [each.name for each in tmp_path.iterdir() if "part" in each.name] == []


def test_a_restore_that_was_killed_is_begun_again(lived: House, other: House, tmp_path: Path) -> None:
    house = lived
    file = tmp_path / "house.tar.gz"
    assert house.ctl("backup", str(file)).returncode == 0
    half = other.home.root / ".restoring"
    (half / "state").mkdir(parents=True)
    (other.home.agents / "arya").mkdir(parents=True)  # moved already, when it died
    restored(file, other)
    assert other.audit() == house.audit()
    assert not half.exists()


def test_no_space_for_an_archive_is_one_sentence_and_leaves_nothing(lived: House, tmp_path: Path) -> None:
    house, small = lived, tmp_path / "small"
    small.mkdir()
    noise = house.home.workspace("arya") / "noise"
    noise.parent.mkdir(parents=True, exist_ok=True)
    noise.write_bytes(os.urandom(3_000_000))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        done = house.ctl("backup", str(small / "house.tar.gz"))
        assert done.returncode == 1
        assert "No space left on device; nothing was written" in done.stderr
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)
        noise.unlink()
