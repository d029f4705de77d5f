"""Deaths on demand: once, at the named point, and nothing at all when nobody asked."""

import signal
import subprocess
import sys

import pytest

from anima.errors import ConfigError
from anima.paths import Home
from anima.process.crash import crash_points
from anima.supervisor.pidfile import start_time


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path, tmp_path / "run")
    found.run.mkdir()
    return found


@pytest.fixture
def victim(home):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    home.pid_file("agent:arya").write_text(f"{sleeper.pid} {start_time(sleeper.pid)}\n")
    yield sleeper
    sleeper.kill()
    sleeper.wait()


def test_the_victim_dies_at_the_point_and_only_once(home, victim, monkeypatch):
    monkeypatch.setattr("anima.process.crash._PATIENCE_S", 0.2)
    reach = crash_points(home, {"ANIMA_CRASH_AT": "started:agent"})
    reach("intent", "arya")
    reach("started", "bran")
    assert victim.poll() is None, "bran is not there, and that was the one death there is"
    (home.run / "crashed-started-agent").unlink()
    reach("started", "arya")
    assert victim.wait(5) == -signal.SIGKILL
    again = crash_points(home, {"ANIMA_CRASH_AT": "started:agent"})
    again("started", "arya")


@pytest.mark.parametrize("wrong", ["started", "start:agent", "effect:everyone", ":"])
def test_a_wish_that_makes_no_sense_is_refused(home, wrong):
    with pytest.raises(ConfigError, match="POINT:VICTIM"):
        crash_points(home, {"ANIMA_CRASH_AT": wrong})


def test_without_the_variable_nothing_happens(home):
    crash_points(home, {})("started", "arya")
    assert not list(home.run.iterdir())
