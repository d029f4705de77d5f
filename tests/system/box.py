"""A machine of its own to be installed on: a real systemd as PID 1, a real journald, a user's manager, in private namespaces.

Needs root and systemd's programs, no container engine, and boots in about a second. Its /etc, /home, /opt, /run, /tmp and /var
are its own; nothing of it is left. There is one for all tests of a run. anima is installed in /opt/anima, from a wheel.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.system.conftest import REPO, eventually

SYSTEMD = Path("/lib/systemd/systemd")
ANIMACTL = "/opt/anima/bin/animactl"
_NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts")


def why_not() -> str:
    """Why this machine can have no such box; "" if it can."""
    if os.geteuid() != 0:
        return "a box of its own for systemd needs root"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "systemctl", "journalctl") if not shutil.which(name)]
    if not SYSTEMD.exists():
        missing.append(str(SYSTEMD))
    return f"there is no {', '.join(missing)} here" if missing else ""


class Ran(subprocess.CompletedProcess[str]):
    """What came of a command in the box."""


class Box:
    """The machine. `person` is a plain user with a systemd of its own, uid 4200."""

    def __init__(self, outside: Path, init: psutil.Process) -> None:
        self.outside = outside  #: /opt/box inside
        self.init = init

    def run(self, *words: str, user: str = "root", check: bool = True, timeout_s: float = 60.0, **environ: str) -> str:
        """What a command of root or of person prints; with `check` it must end well."""
        done = self.try_run(*words, user=user, timeout_s=timeout_s, **environ)
        assert not check or done.returncode == 0, f"{words} left with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def try_run(self, *words: str, user: str = "root", timeout_s: float = 60.0, **environ: str) -> Ran:
        """The same, however it ends."""
        home = "/root" if user == "root" else f"/home/{user}"
        given = {
            "HOME": home,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "USER": user,
            **environ,
        }
        be: list[str] = []
        if user == "person":
            given["XDG_RUNTIME_DIR"] = "/run/user/4200"
            be = ["setpriv", "--reuid=4200", "--regid=4200", "--init-groups"]
        enter = ["nsenter", "--target", str(self.init.pid), *_NAMESPACES, "--wd=/"]
        done = subprocess.run(
            [*enter, *be, "env", "-i", *(f"{key}={value}" for key, value in given.items()), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        return Ran(done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def write(self, path: str, text: str, user: str = "root") -> None:
        """Put a file there, folders included."""
        self.run("sh", "-c", 'mkdir -p "${1%/*}" && printf %s "$2" > "$1"', "sh", path, text, user=user)

    def read(self, path: str) -> str:
        """A file of the box; "" if it is not there."""
        return self.run("cat", path, check=False)

    def exists(self, path: str) -> bool:
        return self.try_run("test", "-e", path).returncode == 0


class Service:
    """anima in the box, as the service of person or of the system."""

    def __init__(self, box: Box, user: str, home: str, run: str) -> None:
        self.box, self.user, self.home, self.run = box, user, home, run
        self._manager = ("systemctl", "--user") if user == "person" else ("systemctl",)

    def ctl(self, *words: str, **more: Any) -> Ran:
        """Animactl for this house."""
        return self.box.try_run(ANIMACTL, *words, user=self.user, ANIMA_HOME=self.home, **more)

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.box.run(*self._manager, *words, user=self.user, check=check)

    def show(self, *names: str) -> dict[str, str]:
        """Properties of the unit, as systemd tells them."""
        told = self.systemctl("show", "anima", "--property", ",".join(names))
        return dict(line.split("=", 1) for line in told.splitlines())

    def is_active(self) -> bool:
        return self.show("ActiveState")["ActiveState"] == "active"

    def processes(self) -> dict[str, dict[str, Any]]:
        done = self.ctl("status", "--json")
        if done.returncode:
            return {}
        return {each["name"]: each for each in json.loads(done.stdout)["processes"]}

    def generation(self) -> int:
        """Of the code the root runs; 0 while it does not answer."""
        done = self.ctl("status", "--json")
        return int(json.loads(done.stdout)["supervisor"].get("generation", 0)) if done.returncode == 0 else 0

    def until_up(self, name: str, other_than: int = 0, timeout_s: float = 15.0) -> int:
        """The PID of a READY process of that name, as the box numbers it."""

        def up() -> int:
            each = self.processes().get(name, {})
            return int(each["pid"]) if each.get("state") == "up" and each["pid"] != other_than else 0

        return int(eventually(up, f"{name} is not up: {self.processes()}", timeout_s, pause_s=0.1))

    def main_pid(self) -> int:
        return int(self.show("MainPID")["MainPID"])

    def group(self) -> str:
        """Its cgroup, as a folder."""
        return "/sys/fs/cgroup" + self.show("ControlGroup")["ControlGroup"]

    def kill(self, pid: int, signal: str = "KILL") -> None:
        self.box.run("kill", f"-{signal}", str(pid))

    def log(self) -> str:
        """What the root logged."""
        return self.box.run("journalctl", "-q", "-o", "cat", "SYSLOG_IDENTIFIER=anima-supervisor", f"ANIMA_HOME={self.home}")


@contextlib.contextmanager
def a_box() -> Iterator[Box]:
    """Boot one, install anima in it from a wheel, and take it away again."""
    outside = Path(tempfile.mkdtemp(prefix="box-"))
    outside.chmod(0o755)
    wheel = build_wheel(outside)
    purelib = sysconfig.get_paths()["purelib"]
    command = [
        "unshare",
        *_NAMESPACES,
        "--fork",
        "--mount-proc",
        "--kill-child",
        "bash",
        str(Path(__file__).with_suffix(".sh")),
    ]
    with (outside / "boot.log").open("wb") as log:
        shell = subprocess.Popen(
            [*command, sys.base_prefix, purelib, str(outside)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        told = outside / "boot.log"
        init = eventually(lambda: _init(shell), f"the box does not boot: {told.read_text()}")
        box = Box(outside, init)
        eventually(lambda: box.try_run("systemctl", "is-active", "box.target").stdout.strip() == "active", "systemd is not up")
        box.run("journalctl", "--flush")  # from memory to /var/log, where every user has a journal of one's own to read
        install(box, wheel)
        yield box
    finally:
        shell.kill()  # --kill-child: the first process of its PID namespace goes with it, and so does everybody else
        shell.wait()
        eventually(lambda: _unlinked(outside), "the box is not gone")


def _init(shell: subprocess.Popen[bytes]) -> psutil.Process | None:
    assert shell.poll() is None, "the box ended while it booted"
    found = psutil.Process(shell.pid).children()
    return found[0] if found and found[0].name() == "systemd" else None


def _unlinked(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def build_wheel(where: Path) -> Path:
    """The wheel of this checkout."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(where)], cwd=REPO, check=True, capture_output=True
    )
    return next(where.glob("*.whl"))


def install(box: Box, wheel: Path) -> None:
    """A fresh virtual environment with the wheel in it, laid over what the tests' own has: nothing is downloaded."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    place = f"/opt/anima/lib/{version}/site-packages"
    box.run(f"/opt/python/bin/{version}", "-m", "venv", "--without-pip", "/opt/anima")
    box.run("mkdir", "/opt/box-new", "/opt/box-work")
    over = "lowerdir=/opt/deps,upperdir=/opt/box-new,workdir=/opt/box-work"
    box.run("mount", "-t", "overlay", "overlay", "-o", over, place)
    # Reinstalled: the checkout itself, which the tests run on, shows through.
    pip = (
        "/opt/anima/bin/python",
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--root-user-action=ignore",
    )
    box.run(*pip, "--no-deps", "--no-index", "--force-reinstall", f"/opt/box/{wheel.name}")


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """What it answers, and how many seconds it took."""
    begun = time.monotonic()
    return what(), time.monotonic() - begun
