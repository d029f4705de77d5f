"""Copies of a house's databases that belong together: each is the state at some event, none at a later one than the journal's.

Each owner copies its own; the journal is the last one, so that every other copy is at an event it has: whoever wakes on
such copies reads on from there, as after any death. A house that is down is copied under its lock.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from anima.bus.client import connect
from anima.cli import root
from anima.cli.chain import verify_file
from anima.errors import Refused, Unavailable
from anima.paths import Home
from anima.process.copying import copy_database
from anima.store.lock import take_lock
from anima.supervisor import lock

_FOLDER = "copy-"  #: below `state`, so that who owns a database may write there; gone when the command ends
_COPY_S, _BYTES_PER_S = 60.0, 4 * 1024 * 1024  # patience with an owner, and more for a large file


@dataclass(frozen=True)
class Copies:
    """The copies by owner, in a folder of their own, and how they were made."""

    files: dict[str, Path]
    seq: int  #: of the newest event in the journal's copy; all others are at this one or before
    chain: str  #: its checksum, hexadecimal
    cursors: dict[str, int]
    standstill_s: float  #: the longest that one of their owners was late meanwhile; 0 for a house that is down


def databases(home: Home) -> dict[str, Path]:
    """The databases by owner, in the order in which they are to be copied."""
    return {"mneme": home.mneme, "thymos": home.thymos, "purser": home.purser, "journal": home.journal}


@contextlib.contextmanager
def copied(home: Home) -> Iterator[Copies]:
    """Sound copies of all databases; a house that is down stays down meanwhile, and its files stay as they are.

    Raises Unavailable if an owner is away, there is no space, or a house is just starting; Refused if a copy is not sound.
    """
    files = (each.with_name(each.name + end) for each in databases(home).values() for end in ("", "-wal"))
    needed = sum(each.stat().st_size for each in files if each.exists())
    free = shutil.disk_usage(home.root).free
    if needed > free:
        raise Unavailable(f"the copies need {needed:,} bytes below {home.state}, where {free:,} are free; make some space")
    if root.is_up(home):
        with staging(home) as folder:
            late_s = asyncio.run(_by_owners(home, folder))
            yield _sound(home, folder, late_s)
        return
    lock.prepare(home)
    held = lock.take_lock(home)
    try:
        with staging(home) as folder:
            for name, path in databases(home).items():
                _by_hand(path, folder / f"{name}.db")
            yield _sound(home, folder, 0.0)
    finally:
        os.close(held)


@contextlib.contextmanager
def staging(home: Home) -> Iterator[Path]:
    """A folder for copies; those that a killed command left are removed first."""
    for old in home.state.glob(f"{_FOLDER}*"):
        fd = os.open(old, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
        except BlockingIOError:
            continue  # another command is at it
        finally:
            os.close(fd)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=home.state))
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(held)


async def _by_owners(home: Home, folder: Path) -> float:
    """Have every owner copy its own, one after the other; the longest standstill of them, in seconds."""
    late_s = 0.0
    async with connect(home) as bus:
        for name, path in databases(home).items():
            size = path.stat().st_size if path.exists() else 0
            patience_s = _COPY_S + size / _BYTES_PER_S
            asking = asyncio.ensure_future(bus.ask(name, "copy", patience_s, to=str(folder / f"{name}.db")))
            try:
                while not asking.done():
                    await asyncio.wait({asking}, timeout=1.0)
                    if not asking.done():
                        await asyncio.to_thread(_check_alive, home, name)
                late_s = max(late_s, float(asking.result()["standstill_s"]))
            finally:
                asking.cancel()
    return late_s


def _check_alive(home: Home, name: str) -> None:
    """Raise Unavailable if nobody will answer for it; one that has died (`waiting`) is born again and asked again by itself."""
    state = next((each for each in root.processes(home) if each["name"] == name), {"state": "unknown", "reason": ""})
    if state["state"] in {"failed", "paused", "unknown"} or (state["state"] == "down" and state["reason"]):
        reason = f" ({state['reason']})" if state["reason"] else ""
        raise Unavailable(f"{name} is {state['state']}{reason} and cannot copy its database; `animactl status` shows it")


def _by_hand(path: Path, to: Path) -> None:
    """Copy a database nobody has open; what a crash left in its log becomes part of it."""
    if not path.exists():
        return
    held = take_lock(path.with_name(path.name + ".lock"), path)
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # its owner's own way; needs no shared-memory file
            copy_database(connection, to)
    except sqlite3.Error as error:
        raise Refused(f"{path} cannot be read ({error}); `animactl doctor --deep` says more") from error
    finally:
        os.close(held)


def _sound(home: Home, folder: Path, late_s: float) -> Copies:
    """The copies, looked through. Raises Refused for the first that is damaged or does not go with the others."""
    files = {name: copy for name in databases(home) if (copy := folder / f"{name}.db").exists()}
    cursors = {}
    for name, copy in files.items():
        with opened(copy) as connection:
            told = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if told != "ok":
                raise Refused(f"the database of {name} is damaged ({told}); nothing was written, an older backup may be sound")
            if name != "journal":
                cursors[name] = int(connection.execute("SELECT seq FROM cursor").fetchone()[0])
    seq, wrong = verify_file(folder / "journal.db")
    if wrong:
        raise Refused(f"the journal is damaged ({wrong}); nothing was written, an older backup may be sound")
    for name, cursor in cursors.items():
        if cursor > seq:
            raise Refused(
                f"{name} has read up to event {cursor}, the journal ends at {seq}; let the house run a moment, then try again"
            )
    return Copies(files, seq, _chain_at(folder / "journal.db", seq), cursors, late_s)


@contextlib.contextmanager
def opened(copy: Path) -> Iterator[sqlite3.Connection]:
    """A copy, to be read. Raises Refused if it is none."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(copy))}?mode=ro&immutable=1", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Refused(f"the database {copy.name} is damaged ({error}); an older backup may be sound") from error


def _chain_at(copy: Path, seq: int) -> str:
    if not seq:
        return ""
    with opened(copy) as connection:
        return bytes(connection.execute("SELECT chain FROM events WHERE seq = ?", (seq,)).fetchone()[0]).hex()
