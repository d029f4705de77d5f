"""A whole house moves to other code while people talk to it: nothing is lost, nothing is said twice, nobody is cut off."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from anima import __version__
from anima.errors import Unavailable
from tests.system.conftest import House, eventually
from tests.system.environments import change, environment
from tests.system.person import say_steadily

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]
AGENTS = ["arya", "bran", "cersei"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another environment with a copy of this program, to be changed at will."""
    return environment(tmp_path / "other")


def talking(house: House, seconds: float) -> tuple[threading.Thread, list[int]]:
    """People who talk to all agents for so long; the number of messages that were accepted, at the end."""
    accepted: list[int] = []

    async def talk() -> None:
        until = asyncio.get_running_loop().time() + seconds
        accepted.append(await say_steadily(house, AGENTS, until, pause_s=0.05))

    thread = threading.Thread(target=lambda: asyncio.run(talk()), daemon=True)
    thread.start()
    return thread, accepted


def pids(house: House) -> dict[str, int]:
    return {name: int(each["pid"] or 0) for name, each in house.processes().items()}


def journal(house: House) -> dict[str, Any]:
    """What the root says of it; nothing while it wakes."""
    try:
        return house.processes()["journal"]
    except Unavailable:
        return {"state": ""}


def upgraded(house: House, *more: str) -> str:
    done = house.ctl("upgrade", *more)
    assert done.returncode == 0, done.stderr + done.stdout + house.log("supervisor")
    return done.stdout


def refused(house: House, *more: str) -> str:
    """The sentence with which an upgrade is refused, or ends."""
    done = house.ctl("upgrade", *more)
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("animactl: ")
    return line.removeprefix("animactl: ")


# -- as it should be ---------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_house_under_load_moves_to_other_code_and_loses_nothing(house: House) -> None:
    for name in AGENTS:
        house.agent(name, {"text": "one two three", "delay_s": 0.02})
    house.start()
    assert house.supervisor
    upgraded(house)
    before = house.held()
    thread, accepted = talking(house, 12)
    for count in range(3):
        time.sleep(1)
        upgraded(house)
        assert {each["generation"] for each in house.processes().values()} == {count + 3}
    thread.join()
    ledger = house.until_answered(accepted[0], timeout_s=60)
    assert accepted[0] > 50
    assert (ledger["lost"], ledger["doubled"], ledger["waiting"], ledger["failed"]) == (0, 0, 0, 0)
    assert ledger["accepted"] == ledger["answered"] == accepted[0]
    assert house.supervisor.poll() is None
    assert all(each["restarts"] == 0 for each in house.processes().values()), "an upgrade is nobody's failure"
    eventually(lambda: house.held() == before, f"the root held {before} before and holds {house.held()} now", timeout_s=10)
    assert house.ctl("doctor", "--deep").returncode == 0


def test_the_exec_alone_touches_nobody_and_questions_are_answered_all_the_while(house: House) -> None:
    """The journal is made to take its time when it is told to stop, so that nobody has begun anew when we look."""
    for name in AGENTS:
        house.agent(name)
    house.start()
    before, journal = pids(house), house.pid("journal")
    os.kill(journal, signal.SIGSTOP)
    house.do("pause", "journal")  # a paused one stays what it is
    agents = [f"agent:{name}" for name in AGENTS]
    house.do("pause", *agents)
    for name in ("mneme", "thymos", "sandbox", "purser"):
        house.do("pause", name)
    told = upgraded(house)
    assert "paused" in told
    assert pids(house) == before
    assert {each["generation"] for each in house.processes().values()} == {1}
    house.do("resume", "journal", "mneme", "thymos", "sandbox", "purser", *agents)
    assert house.ask("arya", "hello")
    assert pids(house) == before


def test_a_turn_that_runs_is_paused_and_goes_on_in_the_new_code(house: House) -> None:
    house.agent("arya", {"text": " ".join(f"word{n}" for n in range(150)), "delay_s": 0.1})
    house.start()
    house.send("arya", "tell me much")
    eventually(lambda: [each for each in house.events() if each["kind"] == "turn_started"], "she begins to answer")
    upgraded(house)
    ledger = house.until_answered(1, timeout_s=60)
    assert (ledger["answered"], ledger["lost"], ledger["doubled"]) == (1, 0, 0)
    kinds = [each["kind"] for each in house.events()]
    assert kinds.count("turn_paused") == 1
    assert kinds.count("agent_message") == 1


def test_what_a_person_sees(house: House) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    house.do("pause", "bran")
    checked = house.ctl("upgrade", "--check")
    assert checked.stdout.splitlines()[-1] == "nothing was touched; `animactl upgrade` does it"
    lines = upgraded(house).splitlines()
    assert lines[0].startswith("nothing is in the way: ")
    assert lines[1].startswith(f"the supervisor goes on in version {__version__}, with 7 processes as they were")
    assert [line.split()[0] for line in lines[2:-1]] == ["journal", "mneme", "thymos", "sandbox", "purser", "agent:arya"]
    assert "upgraded from version" in lines[-1]
    assert lines[-1].endswith("because they are paused: agent:bran")
    done = house.ctl("upgrade", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["error"], len(told["steps"])) == (0, True, "", 8)


def test_a_house_that_does_not_run_cannot_be_moved(house: House) -> None:
    assert "is not running" in refused(house)
    done = house.ctl("upgrade", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("anima/agent/life.py", "class Life:", "class Life(:", r"anima.agent.life cannot be imported (SyntaxError"),
        ("anima/errors.py", "class AnimaError", "class class", "SyntaxError"),
        ("daemons/purser.py", "import asyncio", "import asyncio, no_such_library", "No module named 'no_such_library'"),
        ("anima/supervisor/reexec.py", "FORMAT = 1", "FORMAT = 2", "hands over its state in format 1, and the new code reads"),
        ("anima/supervisor/reexec.py", "door_fd: int", "window_fd: int", "state of the running supervisor is not understood"),
        ("daemons/preflight.py", "    _import_all()", "    raise SystemExit(9)", "left with exit code 9"),
        ("anima/config/schema.py", "beat_s: float", "beet_s: float", "beat_s"),
    ],
)
def test_code_that_is_broken_is_refused_and_nothing_is_restarted(
    house: House, other: Path, file: str, old: str, new: str, why: str
) -> None:
    house.agent("arya")
    house.start()
    before = pids(house)
    change(other, file, old, new)
    sentence = refused(house, "--to", str(other))
    assert why in sentence
    assert sentence.endswith("; nothing was touched")
    assert pids(house) == before
    assert house.ask("arya", "hello")


def test_an_agent_that_the_new_code_does_not_understand_is_in_its_way_unless_it_was_parked_before(house: House) -> None:
    house.agent("arya")
    house.agent("bran", modle="wrong")
    house.start()
    assert house.processes()["agent:bran"]["state"] == "failed"
    upgraded(house)
    assert house.processes()["agent:bran"]["state"] == "failed"
    before = pids(house)
    house.agent("arya", modle="wrong")
    assert "agents/arya/agent.toml" in refused(house)
    assert pids(house) == before


# -- databases ---------------------------------------------------------------------------------------------------------


def migration(folder: Path, owner: str, script: str, name: str = "0002_more.sql") -> None:
    """Give the copied code a further migration."""
    (folder / "code" / "anima" / owner / "schema" / name).write_text(script)


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def copies(house: House, owner: str) -> list[Path]:
    return sorted(house.home.state.glob(f"{owner}.before-*.db"))


def test_a_database_moves_forward_behind_a_copy_and_the_old_code_refuses_it_from_then_on(house: House, other: Path) -> None:
    house.agent("arya")
    house.start()
    house.ask("arya", "hello")
    migration(other, "journal", "CREATE TABLE more (x);")
    checked = house.ctl("upgrade", "--check", "--to", str(other))
    assert "journal.db moves forward by 0002_more.sql; a copy of it is kept" in checked.stdout
    assert copies(house, "journal") == []
    upgraded(house, "--to", str(other))
    (copy,) = copies(house, "journal")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert rows(copy, "SELECT name FROM migrations") == [("0001_events.sql",)]
    assert rows(copy, "SELECT count(*) FROM events WHERE kind = 'agent_message'") == [(1,)]
    house.ask("arya", "and again")
    assert "written by a newer version" in refused(house, "--to", str(Path(sys.executable).parent.parent))
    assert house.audit()["answered"] == 2
    house.stop()
    house.start(wait=False)  # the program that was there before
    state = eventually(lambda: (found := journal(house))["state"] == "failed" and found, "the journal refuses")
    assert "(it has 0002_more.sql)" in state["reason"]


def test_a_migration_that_cannot_apply_is_found_before_anything_is_touched(house: House, other: Path) -> None:
    house.start()
    before = pids(house)
    migration(other, "mneme", "ALTER TABLE no_such_table ADD COLUMN x;")
    assert "0002_more.sql fails (no such table: no_such_table)" in refused(house, "--to", str(other))
    assert pids(house) == before


def test_a_migration_that_fails_over_what_is_in_the_database_leads_back_and_says_where_the_copy_lies(
    house: House, other: Path
) -> None:
    house.agent("arya")
    house.start()
    house.ask("arya", "hello")
    migration(other, "journal", "CREATE TABLE one (kind TEXT UNIQUE); INSERT INTO one SELECT 'x' FROM events;")
    sentence = refused(house, "--to", str(other))
    (copy,) = copies(house, "journal")
    assert "journal is not up" in sentence
    assert str(copy) in sentence
    assert f"everybody is back in version {__version__}" in sentence
    eventually(house.settled, "all are up")
    assert {each["state"] for each in house.processes().values()} == {"up"}
    assert house.ask("arya", "are you there?")
    assert house.audit()["answered"] == 2
    assert rows(copy, "SELECT count(*) FROM events WHERE kind = 'agent_message'") == [(1,)]


def test_where_a_database_has_moved_forward_there_is_no_way_back_and_that_is_said(house: House, other: Path) -> None:
    house.agent("arya")
    house.start()
    migration(other, "journal", "CREATE TABLE more (x);")
    change(
        other,
        "daemons/agent.py",
        "    folder = Folder",
        "    raise RuntimeError('the new code is no good')\n    folder = Folder",
    )
    sentence = refused(house, "--to", str(other))
    assert "agent:arya is not up" in sentence
    assert "there is no way back" in sentence
    assert "written by a newer version" in sentence
    assert house.processes()["journal"]["state"] == "up"
    assert house.processes()["journal"]["generation"] == 2


# -- the way back ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
@pytest.mark.parametrize("wrong", ["raise RuntimeError('no good')", "import time; time.sleep(1000)"])
def test_a_new_generation_that_does_not_become_ready_leads_back_and_nothing_is_lost(
    house: House, other: Path, wrong: str
) -> None:
    house.settings += "agent_start_timeout_s = 3.0\n"
    for name in AGENTS:
        house.agent(name)
    house.start()
    change(other, "daemons/agent.py", "    folder = Folder", f"    {wrong}\n    folder = Folder")
    change(other, "anima/__init__.py", f'"{__version__}"', '"9.9.9"')
    thread, accepted = talking(house, 8)
    time.sleep(1)
    sentence = refused(house, "--to", str(other))
    assert "agent:arya is not up in version 9.9.9" in sentence
    assert f"everybody is back in version {__version__}" in sentence
    thread.join()
    assert {(each["state"], each["generation"]) for each in house.processes().values()} == {("up", 1)}
    ledger = house.until_answered(accepted[0], timeout_s=60)
    assert (ledger["lost"], ledger["doubled"], ledger["failed"]) == (0, 0, 0)
    assert ledger["accepted"] == ledger["answered"] == accepted[0]


def test_a_root_that_cannot_take_the_house_over_gives_it_back(house: House, other: Path) -> None:
    house.agent("arya")
    house.start()
    before = pids(house)
    change(other, "anima/supervisor/listener.py", "    def take_over(", "    def take_part(")
    sentence = refused(house, "--to", str(other))
    assert "cannot take the house over (AttributeError" in sentence
    assert sentence.endswith(f"everybody is back in version {__version__}")
    assert pids(house) == before
    assert house.ask("arya", "hello")


@pytest.mark.timeout(180)
def test_there_and_back_again_between_two_environments(house: House, other: Path) -> None:
    house.agent("arya")
    house.start()
    change(other, "anima/__init__.py", f'"{__version__}"', '"9.9.9"')
    assert "to 9.9.9" in upgraded(house, "--to", str(other))
    assert json.loads(house.ctl("status", "--json").stdout)["supervisor"]["version"] == "9.9.9"
    house.kill("agent:arya")
    assert house.ask("arya", "hello")
    assert "to 9.9.9" in upgraded(house), "and from there it goes on in the same environment"
    assert f"from version 9.9.9 to {__version__}" in upgraded(house, "--to", str(Path(sys.executable).parent.parent))
    assert house.ask("arya", "hello")


# -- kill -9 -----------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_the_root_killed_at_any_moment_of_an_upgrade_loses_nothing(house: House) -> None:
    for name in AGENTS:
        house.agent(name, {"text": "one two", "delay_s": 0.01})
    accepted = 0
    for delay_s in (0.9, 1.2, 1.5, 1.9, 2.3):
        house.start()
        assert house.supervisor
        thread, count = talking(house, 2.5)
        begun = subprocess.Popen(
            [sys.executable, "-c", "from anima.cli.main import main; main()", "upgrade"],
            env=house.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(delay_s)
        house.supervisor.kill()
        house.supervisor.wait()
        _, said = begun.communicate(timeout=30)
        assert begun.returncode in (0, 1)
        assert len(said.splitlines()) <= 1, said
        eventually(lambda: not house.leftovers(), "all are gone", timeout_s=5)
        house.start()
        thread.join()
        accepted += count[0]
        house.stop()
    house.start()
    ledger = house.until_answered(accepted, timeout_s=60)
    assert (ledger["lost"], ledger["doubled"], ledger["waiting"]) == (0, 0, 0)
    assert ledger["accepted"] == accepted
