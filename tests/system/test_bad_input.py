"""What people and disks get wrong: one clear sentence each, and everything else goes on running."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anima.paths import Home
from tests.system.conftest import REPO, House, eventually

pytestmark = pytest.mark.system
root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs root, for mounts and other users")


def one_sentence(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """The command failed with exactly one line on stderr, that has these words and no traceback."""
    assert done.returncode in (1, 2), (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["a/b", "../x", "", "Arya", "journal", "all", "x" * 100, "-x", "a b", "é"])
def test_a_name_no_agent_can_bear_is_refused_and_nothing_is_made(house: House, name: str) -> None:
    done = house.ctl("create", "--", name)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert not house.home.agents.exists() or not list(house.home.agents.iterdir())


def test_messages_that_cannot_be_taken_get_one_sentence_and_nothing_is_sent(house: House) -> None:
    house.agent("arya")
    house.start()
    one_sentence(house.ctl("ask", "arya", stdin="x" * 5_000_000), "921,600", "more than")
    one_sentence(house.ctl("send", "arya", stdin=b"caf\xe9 \xff\xfe"), "UTF-8")
    one_sentence(house.ctl("ask", "arya", "   "), "empty")
    one_sentence(house.ctl("ask", "brya", "hi"), "brya", "arya")
    one_sentence(house.ctl("ask", "arya", "-f", "/does/not/exist"), "/does/not/exist")
    one_sentence(house.ctl("ask", "arya", "hi", "--session", "x" * 1000), "session")
    assert house.audit()["accepted"] == 0
    assert house.ask("arya", "hello")


def test_a_second_house_in_the_same_home_names_the_first(house: House) -> None:
    house.agent("arya")
    house.start()
    assert house.supervisor
    second = subprocess.run(
        [sys.executable, "-m", "daemons"], env=house.environ, capture_output=True, text=True, timeout=20, check=False
    )
    assert second.returncode == 100
    assert str(house.supervisor.pid) in second.stderr
    assert house.ask("arya", "hello")


def test_stale_files_of_a_killed_house_do_not_keep_the_next_one_from_starting(house: House) -> None:
    house.agent("arya")
    house.start()
    assert house.supervisor
    house.supervisor.kill()
    house.supervisor.wait()
    assert house.home.pid_file("agent:arya").exists(), "a killed house leaves its PID files"
    assert "not running" in house.ctl("status").stderr
    house.start()
    assert house.ask("arya", "hello")


def test_a_runtime_path_too_long_for_a_socket_is_said_with_its_length(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    done = subprocess.run(
        [sys.executable, "-m", "daemons", "--home", str(long)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 78
    assert "107" in done.stderr
    assert "XDG_RUNTIME_DIR" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_agent_whose_name_makes_its_socket_too_long_says_so_and_the_others_live(house: House) -> None:
    long = House(house.home.root.parent / ("x" * 50))
    try:
        long.agent("arya")
        long.agent("b" * 63)
        long.start()
        processes = long.processes()
        assert processes["agent:arya"]["state"] == "up"
        assert processes["agent:" + "b" * 63]["state"] == "failed"
        assert "107" in processes["agent:" + "b" * 63]["reason"]
        assert "shorter name" in processes["agent:" + "b" * 63]["reason"]
    finally:
        long.destroy()


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[None]:
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@root_only
def test_a_home_that_cannot_be_written_is_said_in_one_sentence(house: House) -> None:
    with mounted(house.home.root, "-o", "ro,size=1m"):
        done = house.ctl("up", "--detach")
        one_sentence(done, str(house.home.root))
        assert "read-only" in done.stderr.lower()
        one_sentence(house.ctl("create", "arya"), str(house.home.root))


@root_only
def test_a_full_disk_takes_no_message_says_so_and_the_house_recovers_by_itself(house: House) -> None:
    with mounted(house.home.root, "-o", "size=3m,mode=0700"):
        house.agent("arya", {"text": "ok"})
        house.start()
        assert house.ask("arya", "before") == "ok"
        ballast = house.home.root / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 65_536):
                    pass
            except OSError:
                pass
        refused = house.ctl("send", "arya", "x" * 100_000, "--session", "full")
        one_sentence(refused, "full")
        assert "degraded" in house.processes()["journal"]["status"]
        ballast.unlink()
        assert house.ask("arya", "after", "--session", "other") == "ok"
        eventually(lambda: "degraded" not in house.processes()["journal"]["status"], "it is still called degraded")
        ledger = house.until_answered(2)
        assert (ledger["accepted"], ledger["lost"], ledger["doubled"]) == (2, 0, 0)
        house.stop()


@root_only
def test_another_user_is_refused_at_the_control_socket_in_one_sentence(house: House) -> None:
    house.agent("arya")
    house.start()
    for folder in (house.home.root.parent, house.home.root, house.home.run):
        folder.chmod(folder.stat().st_mode | 0o011)
    house.home.control.chmod(0o777)
    script = (
        f"import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect({str(house.home.control)!r})\n"
        'try: s.sendall(b\'{"do":"down"}\\n\')\n'
        "except BrokenPipeError: pass  # refused already\n"
        "print(s.makefile().readline())"
    )
    done = subprocess.run(
        [shutil.which("python3") or "python3", "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert '"ok": false' in done.stdout
    assert house.ask("arya", "hello")


def test_rubbish_in_the_home_is_said_and_harms_nobody_else(house: House) -> None:
    house.agent("arya")
    (house.home.agents / "Not A Name").mkdir()
    (house.home.agents / "Not A Name" / "agent.toml").write_text("")
    (house.home.agents / "stray-file").write_text("hello")
    (house.home.agents / "half").mkdir()
    house.start()
    assert house.ask("arya", "hello")
    named = [each for each in house.processes().values() if "Not A Name" in each["name"]]
    assert all(each["state"] == "failed" and each["reason"] for each in named)


def test_a_house_with_a_wrong_configuration_leaves_with_78_and_names_file_line_and_key(house: House) -> None:
    house.home.root.mkdir(parents=True)
    house.home.config.write_text("[supervisor]\nbeat_seconds = 5\n")
    done = subprocess.run(
        [sys.executable, "-m", "daemons"], env=house.environ, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 78
    assert "anima.toml:2" in done.stderr
    assert "beat_s" in done.stderr, "the right name is suggested"


def test_a_database_of_a_newer_program_is_refused_in_one_sentence(house: House) -> None:
    house.agent("arya")
    house.start()
    house.stop()
    import sqlite3

    with sqlite3.connect(house.home.journal) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        migrations = next(name for name in tables if "migration" in name)
        database.execute(f"INSERT INTO {migrations} VALUES ('9999_from_the_future', 0)")
    database.close()
    house.start(wait=False)
    eventually(house.home.control.exists, "the house does not wake")
    journal = eventually(
        lambda: (found := house.processes()["journal"])["state"] == "failed" and found, "the journal is not parked"
    )
    assert "newer" in journal["reason"]
    assert house.stop(timeout_s=8) == 0, "an agent that waits for the journal still hears that it is to stop"


def test_an_agent_waits_for_a_journal_that_is_away_longer_than_a_start_may_take(house: House) -> None:
    house.settings = "[supervisor]\nbeat_s = 0.2\nagent_start_timeout_s = 1.0\n"
    house.home.state.mkdir(parents=True)
    house.home.journal.write_text("this is no database")
    house.agent("arya")
    house.start(wait=False)
    eventually(house.home.control.exists, "the house does not wake")
    eventually(lambda: house.processes()["agent:arya"]["status"] == "waiting for the journal", "it does not say what it does")
    time.sleep(2)
    assert house.processes()["agent:arya"]["restarts"] == 0
    house.home.journal.unlink()
    house.do("reset", "journal", wait=True)
    house.until_up("agent:arya")
    assert house.processes()["agent:arya"]["restarts"] == 0


def test_a_home_is_found_by_environment_and_by_option(tmp_path: Path) -> None:
    house = House(tmp_path / "elsewhere")
    assert house.ctl("--home", str(tmp_path / "there"), "create", "arya").returncode == 0
    assert Home(tmp_path / "there", tmp_path).agent("arya").is_dir()
    assert house.ctl("create", "bran").returncode == 0
    assert house.home.agent("bran").is_dir()
