"""A whole house of real processes in a temporary home, that leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from anima.errors import Unavailable
from anima.paths import Home
from anima.supervisor import control

if TYPE_CHECKING:
    from tests.system.box import Box

REPO = Path(__file__).parent.parent.parent


def eventually(what: Callable[[], Any], why: str, timeout_s: float = 20.0, pause_s: float = 0.02) -> Any:
    """The first true value of `what()`; fails with `why` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := what():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {why}")
        time.sleep(pause_s)


def lives(process: psutil.Process) -> bool:
    """Whether it runs still; one that is only waited for does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class House:
    """One home, its supervisor, and everything a person could do with it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root, root / "run")
        self.environ = {**os.environ, "ANIMA_HOME": str(root), "HOME": str(root), "PYTHONPATH": str(REPO), "NO_COLOR": "1"}
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.settings = "[supervisor]\nbeat_s = 1.0\n"

    # -- files ---------------------------------------------------------------------------------------------------------

    def agent(self, name: str, *script: dict[str, Any], persona: str = "", **settings: Any) -> None:
        """Write an agent's folder; with a script it plays that, else it is reflex."""
        folder = self.home.agent(name)
        folder.mkdir(parents=True, exist_ok=True)
        if script:
            (folder / "play.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in script))
            settings = {"model": "scripted:play.jsonl", **settings}
        (folder / "persona.md").write_text(persona or f"You are {name}.\n")
        plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
        tables = {key: value for key, value in settings.items() if isinstance(value, dict)}  # policy={"approve": "risky"}
        lines = _toml({"model": "reflex", **plain})
        for table, values in tables.items():
            lines += [f"\n[{table}]\n", *_toml(values)]
        (folder / "agent.toml").write_text("".join(lines))

    # -- the supervisor --------------------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True, wrap: tuple[str, ...] = ()) -> None:
        """Start the supervisor in the foreground of a process of ours, and wait until everyone is up or down for good."""
        self.home.root.mkdir(parents=True, exist_ok=True)
        if not self.home.config.exists():
            self.home.config.write_text(self.settings)
        self.home.log.mkdir(exist_ok=True)
        with (self.home.log / "stderr.log").open("ab") as log:
            self.supervisor = subprocess.Popen(
                [*wrap, sys.executable, "-m", "daemons"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        if wait:
            eventually(self.settled, "the house is not up")

    def settled(self) -> bool:
        """Whether nobody is still on the way up."""
        assert self.supervisor
        assert self.supervisor.poll() is None, f"the supervisor left with {self.supervisor.returncode}: {self.log('stderr')}"
        try:
            processes = self.processes()
        except Unavailable:
            return False
        return bool(processes) and all(
            each["state"] in ("up", "failed", "paused", "down", "waiting") for each in processes.values()
        )

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; the exit code."""
        assert self.supervisor
        if self.supervisor.poll() is None:
            self.supervisor.terminate()
        return self.supervisor.wait(timeout_s)

    def destroy(self) -> None:
        """Kill whoever is left; a test that left someone behind fails."""
        below: list[psutil.Process] = []  # also what has an environment of its own, as jailed processes do
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.supervisor.pid).children(recursive=True) if self.supervisor else []
        if self.supervisor and self.supervisor.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.supervisor.kill()
                self.supervisor.wait()
                pytest.fail("the house did not stop")
        eventually(lambda: not self.leftovers(), f"processes were left behind: {self.leftovers()}", timeout_s=5)
        eventually(lambda: not any(map(lives, below)), f"some were left behind: {below}", timeout_s=5)

    def leftovers(self) -> list[int]:
        """PIDs of processes that belong to this home."""
        found = []
        for process in psutil.process_iter(["pid"]):
            try:
                if process.environ().get("ANIMA_HOME") == str(self.home.root) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                continue
        return [pid for pid in found if pid != os.getpid()]

    def held(self) -> tuple[int, int, int]:
        """Descriptors, threads and children of the root; the least of some looks, for a client may be connected in one."""
        assert self.supervisor
        root = psutil.Process(self.supervisor.pid)
        looks = []
        for _ in range(20):
            fds = root.num_fds() if os.geteuid() == 0 else -1  # a root that hides its memory hides these as well
            looks.append((fds, root.num_threads(), len(root.children())))
            time.sleep(0.03)
        return min(looks)

    # -- looking -----------------------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, dict[str, Any]]:
        """What the root says of each process, by name."""
        return {each["name"]: each for each in control.ask(self.home, {"do": "status"})["processes"]}

    def pid(self, name: str) -> int:
        return int(self.processes()[name]["pid"] or 0)

    def do(self, what: str, *names: str, **more: Any) -> dict[str, Any]:
        return control.ask(self.home, {"do": what, "names": list(names), **more}, timeout_s=30)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a process by name; its PID."""
        pid = self.pid(name)
        assert pid, f"{name} is not running: {self.processes()[name]}"
        os.kill(pid, number)
        return pid

    def until_up(self, name: str, *, other_than: int = 0, timeout_s: float = 20.0) -> int:
        """The PID of a READY incarnation of `name` other than `other_than`."""

        def up() -> int:
            each = self.processes().get(name, {})
            return int(each["pid"]) if each.get("state") == "up" and each["pid"] != other_than else 0

        return int(eventually(up, f"{name} is not up", timeout_s))

    def log(self, name: str) -> str:
        path = self.home.log_file(name)
        return path.read_text(errors="replace") if path.exists() else ""

    # -- being a person ------------------------------------------------------------------------------------------------------

    def ctl(
        self, *arguments: str, stdin: bytes | str = b"", timeout_s: float = 60.0, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run animactl to its end."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-c", "from anima.cli.main import main; main()", *arguments],
            env={**self.environ, **environ},
            input=given,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def ask(self, name: str, text: str, *more: str) -> str:
        done = self.ctl("ask", name, text, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def send(self, name: str, text: str, session: str = "main") -> int:
        done = self.ctl("send", name, text, "--session", session)
        assert done.returncode == 0, done.stderr
        return int("".join(c for c in done.stdout if c.isdigit()) or 0)

    def events(self, *more: str) -> list[dict[str, Any]]:
        done = self.ctl("events", "--json", "-n", "100000", *more)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def audit(self) -> dict[str, int]:
        """The ledger; must not be called while it is expected to be out of balance."""
        done = self.ctl("audit", "--json")
        ledger: dict[str, int] = json.loads(done.stdout)
        assert (done.returncode == 0) == (ledger["lost"] == ledger["doubled"] == 0), done.stderr
        return ledger

    def until_answered(self, count: int, timeout_s: float = 30.0) -> dict[str, int]:
        """The ledger once `count` messages have come to their end."""

        def balanced() -> dict[str, int] | None:
            ledger = self.audit()
            return ledger if ledger["answered"] + ledger["failed"] + ledger["interrupted"] >= count else None

        return dict(eventually(balanced, f"{count} messages are not settled", timeout_s, pause_s=0.1))


def _toml(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]


@contextlib.contextmanager
def a_house() -> Iterator[House]:
    """A house in a directory of its own, of which nothing is left afterwards."""
    root = Path(tempfile.mkdtemp(prefix="anima-"))  # pytest's own paths are too long for a socket
    house = House(root / "home")
    try:
        yield house
    finally:
        try:
            house.destroy()
        finally:
            shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


@pytest.fixture
def caller(house: House) -> Iterator[Any]:
    """A `Caller` for the test's house, which need not run yet."""
    from tests.system.caller import Caller

    with Caller(house) as caller:
        yield caller


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    """A machine with a systemd and a journald of its own."""
    from tests.system.box import a_box, why_not  # it looks at this very file

    if why := why_not():
        assert not os.environ.get("CI"), f"CI must have what these tests need: {why}"
        pytest.skip(why)
    with a_box() as box:
        yield box
