"""What the tests of the supervisor do with a small house: start it, ask it, look at its processes, leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from anima.errors import Unavailable
from anima.paths import Home
from anima.supervisor import control

PROGRAM = Path(__file__).with_name("small_house.py")
REPO = PROGRAM.parent.parent.parent
QUICK = {"delay_s": 0.05, "delay_max_s": 0.2, "jitter": 0.0, "abort_grace_s": 0.3, "pause_gap_s": 1.0}


def eventually(what: Callable[[], Any], why: str, timeout_s: float = 15.0) -> Any:
    """The first true value of `what()`; fails with `why` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := what():
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {why}"
        time.sleep(0.01)


def spec(name: str, settings: str = "ready;stay", **fields: Any) -> dict[str, Any]:
    return {"name": name, "settings": settings, "beat_s": 0.2, **fields}


class Small:
    """One small house in a folder of its own."""

    def __init__(self, root: Path, spawn: str = "auto") -> None:
        self.home = Home(root, root / "run")
        self.policy: dict[str, Any] = {**QUICK, "spawn": spawn}
        self.environ: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def plan(self, *specs: dict[str, Any], **policy: Any) -> None:
        """Write the plan; a running house sees it at the next reload."""
        self.policy |= policy
        content = json.dumps({"specs": specs, "policy": self.policy})
        fresh = self.home.root / "plan.json.new"
        fresh.write_text(content)
        fresh.replace(self.home.root / "plan.json")

    def start(self, *arguments: str, wait: bool = True, prefix: tuple[str, ...] = ()) -> None:
        environ = {**os.environ, "PYTHONPATH": str(REPO), **self.environ}
        command = [*prefix, sys.executable, str(PROGRAM), str(self.home.root), *arguments]
        self.process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if wait:
            eventually(self._is_up, "it is up")

    def _is_up(self) -> bool:
        try:
            return bool(self.status()["supervisor"]["state"] == "running")
        except Unavailable:
            return False

    def ask(self, do: str, *names: str, timeout_s: float = 15.0, **more: Any) -> dict[str, Any]:
        return control.ask(self.home, {"do": do, **({"names": list(names)} if names else {}), **more}, timeout_s)

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def child(self, name: str) -> dict[str, Any]:
        return next(each for each in self.status()["processes"] if each["name"] == name)

    def until(self, name: str, state: str, timeout_s: float = 15.0) -> dict[str, Any]:
        """Wait until `name` is in `state`; its line of status."""

        def look() -> dict[str, Any] | None:
            found = self.child(name)
            return found if found["state"] == state else None

        return eventually(look, f"{name} is {state}", timeout_s)

    def records(self, what: str = "", name: str = "") -> list[dict[str, Any]]:
        """What has happened so far."""
        found: list[dict[str, Any]] = []
        begun = time.time()
        with control._connected(self.home, 5.0) as connection:
            connection.sendall(control.request_line({"do": "watch", "since": 0}))
            connection.settimeout(0.1)
            reader = connection.makefile("rb")
            try:
                while (not found or found[-1]["ts"] < begun) and (line := reader.readline()):
                    found.append(control.read_reply(line))
            except TimeoutError:
                pass
        return [each for each in found if what in ("", each["what"]) and name in ("", each["name"])]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def zombies(self) -> list[int]:
        return [each.pid for each in self.tree() if each.status() == psutil.STATUS_ZOMBIE]

    def descriptors(self) -> int:
        """How many the root has open, once it has noticed that its last client is gone; -1 where the kernel does not tell.

        The root hides its memory, and with it the list of its descriptors, from everybody but the superuser.
        """
        time.sleep(0.1)
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir())) if os.geteuid() == 0 else -1

    def log(self, name: str) -> str:
        path = self.home.log_file(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, timeout_s: float = 15.0) -> int:
        """TERM, and its exit code; nothing it ever started may be left."""
        assert self.process is not None
        family = self.tree() if self.process.poll() is None else []
        self.process.terminate()
        code = self.process.wait(timeout_s)
        assert [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
        return code

    def clear(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process is None:
            return
        if self.process.poll() is None:
            family = self.tree()
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            for each in family:
                try:
                    each.kill()
                except psutil.NoSuchProcess:
                    continue
        self.process.wait(10)
        if self.process.stderr:
            self.process.stderr.close()
