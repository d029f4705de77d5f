"""The supervisor's peers, each keeping `sleep 1000` alive many times: runit, s6, supervisord, circus, pm2.

All run in a folder of their own with the shortest delays they allow, and are gone when it is left.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from house import children, environ, wait_until

BIN = Path(sys.executable).parent
SLEEP = shutil.which("sleep") or "/bin/sleep"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Keeper:
    """A running peer: `root` keeps `parents` (itself, or one process per child), which keep the sleeping ones."""

    def __init__(self, root: int, stop: Callable[[], None]) -> None:
        self.root = root
        self.stop = stop

    def family(self) -> dict[int, int]:
        """Every sleeping process by PID, and who keeps it."""
        found = {}
        todo = [self.root]
        while todo:
            parent = todo.pop()
            for child in children(parent):
                if command_of(child) == "sleep":
                    found[child] = parent
                else:
                    todo.append(child)
        return found

    def processes(self) -> set[int]:
        """Who does the keeping."""
        return {self.root, *self.family().values()}


def command_of(pid: int) -> str:
    """What a process runs now; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _run_files(folder: Path, count: int) -> None:
    for number in range(count):
        place = folder / f"{number:03}"
        place.mkdir(parents=True)
        (place / "run").write_text(f"#!/bin/sh\nexec {SLEEP} 1000\n")
        (place / "run").chmod(0o755)


def _launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environ(HOME=str(folder)), cwd=folder, start_new_session=True, **QUIET)


@contextmanager
def _ended(process: subprocess.Popen[bytes], ask: Callable[[], None]) -> Iterator[Keeper]:
    """The keeper in `process`; told to stop by `ask`, and with force if that was not done or did not help."""
    keeper = Keeper(process.pid, lambda: (ask(), process.wait(60))[0])
    try:
        yield keeper
    finally:
        if process.poll() is None:
            left = keeper.family()
            ask()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pid in left:
                if command_of(pid) == "sleep":
                    subprocess.run(["kill", "-9", str(pid)], check=False, **QUIET)


@contextmanager
def runit(folder: Path, count: int) -> Iterator[Keeper]:
    """runsvdir with one runsv per child."""
    _run_files(folder / "svc", count)
    process = _launch(["runsvdir", "-P", str(folder / "svc")], folder)
    with _ended(process, lambda: process.send_signal(signal.SIGHUP)) as keeper:
        told = keeper.stop

        def stop() -> None:
            asleep = set(keeper.family())
            told()  # runsvdir leaves at once; its runsv processes stop their children
            wait_until(lambda: not any(command_of(pid) == "sleep" for pid in asleep), "runit has not stopped all")

        keeper.stop = stop
        yield keeper


@contextmanager
def s6(folder: Path, count: int) -> Iterator[Keeper]:
    """s6-svscan with one s6-supervise per child."""
    _run_files(folder / "scan", count)
    process = _launch(["s6-svscan", str(folder / "scan")], folder)
    with _ended(process, lambda: subprocess.run(["s6-svscanctl", "-t", str(folder / "scan")], check=False, **QUIET)) as keeper:
        yield keeper


@contextmanager
def supervisord(folder: Path, count: int) -> Iterator[Keeper]:
    """supervisord as it comes: one process, a loop that turns once a second."""
    (folder / "supervisord.conf").write_text(
        f"[supervisord]\nlogfile={folder}/log\npidfile={folder}/pid\n"
        f"[program:p]\ncommand={SLEEP} 1000\nprocess_name=%(process_num)03d\nnumprocs={count}\nautorestart=true\n"
    )
    process = _launch([str(BIN / "supervisord"), "-n", "-c", str(folder / "supervisord.conf")], folder)
    with _ended(process, process.terminate) as keeper:
        yield keeper


@contextmanager
def circus(folder: Path, count: int) -> Iterator[Keeper]:
    """circusd looking every 0.1 s instead of every 5 s: it does not notice a death otherwise."""
    (folder / "circus.ini").write_text(
        f"[circus]\ncheck_delay = 0.1\nendpoint = ipc://{folder}/e\npubsub_endpoint = ipc://{folder}/p\n"
        f"stats_endpoint = ipc://{folder}/s\n[watcher:w]\ncmd = {SLEEP} 1000\nnumprocesses = {count}\nwarmup_delay = 0\n"
    )
    process = _launch([str(BIN / "circusd"), str(folder / "circus.ini")], folder)
    with _ended(process, process.terminate) as keeper:
        yield keeper


@contextmanager
def pm2(folder: Path, count: int) -> Iterator[Keeper]:
    """pm2's own daemon, with its defaults."""
    apps = [{"name": f"p{number:03}", "script": SLEEP, "args": "1000", "interpreter": "none"} for number in range(count)]
    (folder / "apps.config.json").write_text(json.dumps({"apps": apps}))
    seen = environ(HOME=str(folder), PM2_HOME=str(folder / "pm2"))

    def stop() -> None:
        subprocess.run(["pm2", "kill"], env=seen, check=False, timeout=60, **QUIET)

    try:
        subprocess.run(["pm2", "start", str(folder / "apps.config.json")], env=seen, check=True, timeout=120, **QUIET)
        yield Keeper(int((folder / "pm2" / "pm2.pid").read_text()), stop)
    finally:
        stop()


#: Name, the program that must be there, and how it is started.
KEEPERS: tuple[tuple[str, str, Callable[[Path, int], object]], ...] = (
    ("runit", "runsvdir", runit),
    ("s6", "s6-svscan", s6),
    ("pm2", "pm2", pm2),
    ("circus, check_delay 0.1 s", str(BIN / "circusd"), circus),
    ("supervisord", str(BIN / "supervisord"), supervisord),
)
