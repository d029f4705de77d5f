"""A whole house in a temporary home, measured from outside: started, told, killed, weighed. Leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPO = Path(__file__).parent.parent
sys.path[:0] = [str(REPO)]

from anima.paths import Home  # noqa: E402
from anima.supervisor import control  # noqa: E402

CLAUDE, REFLEX = "anthropic:claude-bench", "reflex"
PRELOADED = {CLAUDE: "anthropic preloaded", REFLEX: "reflex only"}
ANIMAD = ("-m", "daemons")
_COLLECT = (
    "import gc, sys; from daemons.__main__ import run; from anima.process.process import Process; ready = Process.ready; "
    "Process.ready = lambda self, status='': (gc.collect(), ready(self, status))[1]; "
)
#: The same house whose agents have done a full collection when they are READY, as every process does sooner or later...
ANIMAD_COLLECTED = ("-c", f"{_COLLECT} sys.exit(run())")
#: ...and whose root does not freeze what it shares, to show what freezing is worth.
ANIMAD_UNFROZEN = ("-c", f"{_COLLECT} gc.freeze = lambda: None; sys.exit(run())")

Record = dict[str, Any]


class House:
    """`count` agents of one model, and the root that keeps them. Inside `with` it runs."""

    def __init__(self, count: int, model: str, animad: tuple[str, ...] = ANIMAD, settings: str = "") -> None:
        self.root = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self.home = Home(self.root, self.root / "run")
        self.agents = [f"agent:a{number:03}" for number in range(count)]
        for name in self.agents:
            folder = self.home.agent(name.removeprefix("agent:"))
            folder.mkdir(parents=True)
            (folder / "agent.toml").write_text(f'model = "{model}"\n')
            (folder / "persona.md").write_text("You are measured.\n")
        self.home.config.write_text(settings)
        self._command = [sys.executable, *animad, "--home", str(self.root)]
        self._environ = environ(model)
        self.told_at = 0.0  #: when the root was executed, seconds since 1970
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.told_at = time.time()
        with (self.root / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=REPO
            )
        try:
            self.until(lambda records: len(told(records, "ready")) > len(self.agents), 0)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()  # its children die with it
                self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the root."""
        return self.process.pid

    def do(self, what: str, *names: str, wait: bool = False) -> dict[str, Any]:
        """Tell the root to do something; its answer."""
        answer = control.ask(self.home, {"do": what, "names": list(names), "wait": wait}, timeout_s=60)
        assert answer["ok"], answer
        return answer

    def pids(self) -> dict[str, int]:
        """Who lives, by name."""
        processes = control.ask(self.home, {"do": "status"}, timeout_s=30)["processes"]
        return {each["name"]: each["pid"] for each in processes if each["pid"]}

    def head(self) -> int:
        """Number of the newest lifecycle record."""
        records = self._since(0)
        return records[-1]["n"] if records else 0

    def until(self, enough: Callable[[list[Record]], bool], since: int, timeout_s: float = 120.0) -> list[Record]:
        """Lifecycle records after number `since` once they are `enough`. Looks rarely: a watcher costs the root time."""
        deadline = time.monotonic() + timeout_s
        pause_s = 0.2
        while True:
            assert self.process.poll() is None, (self.root / "stderr.log").read_text()
            records = self._since(since)
            if enough(records):
                return records
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {records[-3:]}"
            time.sleep(pause_s)

    def _since(self, n: int) -> list[Record]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.home.control))
                connection.sendall(control.request_line({"do": "watch", "since": n}))
                connection.settimeout(0.1)
                said = bytearray()
                try:
                    while more := connection.recv(1 << 20):
                        said += more
                except TimeoutError:
                    pass
        except OSError:
            return []
        return [json.loads(line) for line in said.splitlines()]

    def kill_and_watch(self, name: str, pid: int) -> tuple[float, float]:
        """Kill -9 an agent. Seconds until another child hangs on the root, and until the agent is READY again."""
        head = self.head()
        time.sleep(0.05)
        killed_at = time.time()
        forked_s = kill_and_wait_for_another(self.pid, pid)
        time.sleep(0.3)  # nobody competes with the newborn
        records = self.until(lambda found: name in {each["name"] for each in told(found, "ready")}, head)
        return forked_s, told(records, "ready")[-1]["ts"] - killed_at


def told(records: list[Record], what: str, kind: str = "") -> list[Record]:
    """The records of one sort, of processes whose name begins with `kind`."""
    return [each for each in records if each["what"] == what and each["name"].startswith(kind)]


def environ(model: str = REFLEX, **more: str) -> dict[str, str]:
    """What a measured program should see: byte code kept, no key but a wrong one, no settings of the person who measures."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH")}
    key = {"ANTHROPIC_API_KEY": "sk-ant-of-a-bench"} if model == CLAUDE else {}
    return {**kept, **key, "PYTHONPATH": str(REPO), **more}


# -- the kernel's word -----------------------------------------------------------------------------------------------------


def children(pid: int) -> set[int]:
    """Direct children of a process, by all its threads."""
    found: set[int] = set()
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        found.update(map(int, listing.read_bytes().split()))
    return found


def kill_and_wait_for_another(parent: int, victim: int, is_it: Callable[[int], bool] = bool, timeout_s: float = 10.0) -> float:
    """Kill -9 `victim`; seconds until `parent` has a child it did not have before. The same eye for us and for every peer.

    Some peers fork for other ends too: the one that counts is the first that sooner or later `is_it`.
    """
    listings = [open(path, "rb", buffering=0) for path in Path(f"/proc/{parent}/task").glob("*/children")]  # noqa: SIM115, PTH123
    before = children(parent)
    seen: dict[int, float] = {}
    begun = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    try:
        while True:
            now = b"".join(os.pread(each.fileno(), 1 << 16, 0) for each in listings)
            took_s = time.monotonic() - begun
            for pid in set(map(int, now.split())) - before:
                seen.setdefault(pid, took_s)
            if found := [seen_s for pid, seen_s in seen.items() if is_it(pid)]:
                return min(found)
            assert took_s < timeout_s, f"{victim} has no successor after {timeout_s:g} s"
            time.sleep(0.0001)
    finally:
        for each in listings:
            each.close()


def cpu_s(pid: int) -> float:
    """Processor time of a process so far. From schedstat: the ticks of /proc/PID/stat round a small process down to 0."""
    total_ns = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total_ns += int(path.read_text().split()[0])
    return total_ns / 1e9


def wakeups(pid: int) -> int:
    """How often a process has gone to sleep of its own accord, which is how often it was woken."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")))


def idle(pids: set[int], seconds: float) -> tuple[float, float]:
    """Processor time in % of a core and wake-ups per 10 s of some processes, over `seconds` in which nothing happens."""
    before = sum(map(cpu_s, pids)), sum(map(wakeups, pids))
    begun = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - begun
    return 100 * (sum(map(cpu_s, pids)) - before[0]) / took_s, 10 * (sum(map(wakeups, pids)) - before[1]) / took_s


def memory_mb(pid: int) -> tuple[float, float]:
    """PSS (its fair share) and USS (its own alone) of a process, in MB of 2**20 bytes."""
    rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    sizes = {row[0]: int(row[1]) for row in rows}
    return sizes["Pss:"] / 1024, (sizes["Private_Clean:"] + sizes["Private_Dirty:"]) / 1024


def wait_until(done: Callable[[], bool], why: str, timeout_s: float = 60.0, pause_s: float = 0.002) -> None:
    """Return when `done()`; AssertionError with `why` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {why}"
        time.sleep(pause_s)
