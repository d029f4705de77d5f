"""`up`, `down`, `reload`: the house as a whole."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from anima.cli import root
from anima.cli.terminal import colour
from anima.errors import Refused, Unavailable
from anima.paths import Home

UP_TIMEOUT_S = 120.0
DOWN_TIMEOUT_S = 180.0
_RESTING = {"up", "failed", "paused", "waiting"}  #: at its end, or known why not


def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the house is up, and leave it running.")] = False,
) -> None:
    """Start the house: the supervisor, the journal and all agents.

    Without --detach it stays in the foreground, and Ctrl-C stops it in order.

    Example: animactl up --detach
    """
    home: Home = context.obj
    from anima.config.load import load_house

    if root.is_up(home):
        told = root.request(home, "status")["supervisor"]
        if not detach:
            raise Refused(f"the house at {home.root} is already running (pid {told['pid']}); `animactl status` shows it")
        print(f"the house at {home.root} is already running (pid {told['pid']})")
        return
    load_house(home)  # what is wrong with it is said here, on this terminal
    home.check_lengths()
    command = [sys.executable, "-m", "daemons", "--home", str(home.root)]
    if not detach:
        os.execv(sys.executable, command)  # noqa: S606 - it becomes the supervisor
    _start(home, command)


def down(context: typer.Context) -> None:
    """Stop the house in order and wait until everything is gone.

    Agents stop first, the journal last, because an agent's last act is to write.

    Example: animactl down
    """
    import time

    home: Home = context.obj
    try:
        root.request(home, "down")
    except Unavailable:
        if not _is_locked(home):
            print(f"the house at {home.root} is not running")
            return
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while _is_locked(home):
        if time.monotonic() > deadline:
            raise Unavailable(f"the house is still stopping after {DOWN_TIMEOUT_S:g} s; see {home.log_file('supervisor')}")
        time.sleep(0.02)
    print(f"the house at {home.root} is down")


def reload(context: typer.Context) -> None:
    """Read the configuration anew and apply what changed.

    Only what changed is started, stopped or restarted. If anything in it is wrong, nothing changes.

    Example: animactl reload
    """
    told = root.request(context.obj, "reload", timeout_s=30.0)
    parts = [f"{word}: {', '.join(told[word])}" for word in ("added", "changed", "removed") if told.get(word)]
    print("; ".join(parts) if parts else "nothing has changed")


def _start(home: Home, command: list[str]) -> None:
    """Start the supervisor as a process of its own, and wait until the house is up or why it is not is known."""
    import subprocess
    import time

    log = home.log_file("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as output:
        before = output.tell()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + UP_TIMEOUT_S
    while True:
        if child.poll() is not None:
            raise Unavailable(f"the house did not start: {_last_words(log, before)} (the whole story: {log})")
        told = _standing(home)
        if told is not None:
            break
        if time.monotonic() > deadline:
            raise Unavailable(f"the house is not up after {UP_TIMEOUT_S:g} s; see `animactl status` and {log}")
        time.sleep(0.02)
    _report(home, child.pid, told)


def _standing(home: Home) -> list[dict[str, Any]] | None:
    """All processes, if each is up or it is known why not; None as long as the house is not that far."""
    try:
        told = root.request(home, "status")
    except Unavailable:
        return None
    processes: list[dict[str, Any]] = told["processes"]
    settled = all(each["state"] in _RESTING or (each["state"] == "down" and each["reason"]) for each in processes)
    journal_up = any(each["name"] == "journal" and each["state"] == "up" for each in processes)
    return processes if settled and (journal_up or any(each["state"] in {"failed", "waiting"} for each in processes)) else None


def _report(home: Home, pid: int, told: list[dict[str, Any]]) -> None:
    agents = [each for each in told if each["kind"] == "agent"]
    away = [each for each in told if each["state"] != "up"]
    count = f"{len(agents)} agent{'' if len(agents) == 1 else 's'}" if agents else "no agent yet; `animactl create NAME`"
    print(f"{colour('the house is up', 'green')} at {home.root} (pid {pid}, {count})")
    for each in away:
        print(f"{colour('not up:', 'yellow')} {each['name']} is {each['state']}: {each['reason'] or 'no reason given'}")
    if any(each["kind"] != "agent" for each in away):
        raise Refused("a part of the house itself is not up; `animactl logs NAME` says more, `animactl down` stops the rest")


def _last_words(log: Path, before: int) -> str:
    """The most telling line of what the supervisor wrote since it was started."""
    with log.open("rb") as file:
        file.seek(before)
        lines = file.read().decode(errors="replace").strip().splitlines()
    told = [line.partition("animad: ")[2] for line in lines if "animad: " in line]
    errors = [line.partition(" ERROR ")[2] for line in lines if " ERROR " in line]
    return (told or errors or lines or ["it said nothing"])[-1]


def _is_locked(home: Home) -> bool:
    """Whether a supervisor holds this home."""
    import fcntl

    try:
        with home.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
