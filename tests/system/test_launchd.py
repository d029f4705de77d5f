"""`install` as on a Mac, as far as Linux can play it (as_mac.py, launchctl.py): what Apple's does is not proven."""

import os
import plistlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.conftest import REPO, lives

pytestmark = pytest.mark.system

HERE = Path(__file__).parent


class Mac:
    """A home folder with a Python and a launchctl of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / ".anima"
        self.plist = root / "Library/LaunchAgents/io.github.anima.plist"
        (root / "bin").mkdir()
        self._script("python", f'AS_MAC="$0" exec {sys.executable} -P {HERE / "as_mac.py"} "$@"')
        self._script("launchctl", f'exec {sys.executable} -P {HERE / "launchctl.py"} "$@"')
        self.environ = {
            **{key: value for key, value in os.environ.items() if key != "ANIMA_HOME"},
            "HOME": str(root),
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPO),
            "NO_COLOR": "1",
            "AS_MAC": str(root / "bin/python"),
            "LAUNCHD_STATE": str(root),
        }

    def _script(self, name: str, line: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        code = "from anima.cli.main import main; main()"
        return subprocess.run(
            [self.environ["AS_MAC"], "-c", code, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def calls(self) -> list[str]:
        """What launchctl was asked for, the questions left out."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[0] for line in lines if not line.startswith("print")]

    def pid(self) -> int:
        return int((self.root / "job").read_text().split()[0])


@pytest.fixture
def mac() -> Iterator[Mac]:
    root = Path(tempfile.mkdtemp(prefix="mac-", dir="/tmp"))
    mac = Mac(root)
    below: list[psutil.Process] = []
    try:
        yield mac
        if (root / "job").exists():
            below = psutil.Process(mac.pid()).children(recursive=True)
    finally:
        if (root / "job").exists():
            subprocess.run([root / "bin/launchctl", "bootout", "x"], env=mac.environ, check=False)
        shutil.rmtree(root, ignore_errors=True)
    assert not [each for each in below if lives(each)]


def test_a_house_is_installed_answers_and_is_taken_away_again(mac):
    done = mac.ctl("install", "--agent", "arya")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed: the house at" in done.stdout
    told = plistlib.loads(mac.plist.read_bytes())
    assert told["ProgramArguments"] == [mac.environ["AS_MAC"], "-m", "daemons", "--home", str(mac.home)]
    assert mac.calls() == ["enable", "bootstrap"]
    log = (mac.home / "log/supervisor.log").read_text()
    for name in ("journal", "mneme", "thymos", "sandbox", "purser", "agent:arya"):
        assert f"{name} is up" in log, log
    assert mac.ctl("ask", "arya", "2 + 2").stdout.strip()
    done = mac.ctl("uninstall", "--purge", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert mac.calls() == ["enable", "bootstrap", "bootout"]
    assert not mac.plist.exists()
    assert not mac.home.exists()


def test_an_install_that_fails_is_undone(mac):
    refusing = '[ "$1" = enable ] || { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }'
    (mac.root / "bin/launchctl").write_text(f"#!/bin/sh\n{refusing}\n")
    done = mac.ctl("install")
    assert done.returncode == 1
    assert "Bootstrap failed: 5" in done.stderr
    assert "everything is as it was before" in done.stderr
    assert not mac.plist.exists()
    assert not mac.home.exists()
