"""A copy of a database, made by its owner while it goes on living: the verb `copy` of whoever owns one.

It goes through the owner's own connection, for nobody else may open the file, a few pages at a time and in a thread. What
the owner writes meanwhile SQLite writes into the copy as well, so the copy is the database as it was at the copy's end, and
the owner stands still for some milliseconds at a time, however large it is.
"""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anima.bus.bus import Answer
from anima.errors import BadMessage, Unavailable
from anima.process.aside import in_thread
from anima.store.becoming import becoming

PAGES = 128  # half a MiB at once: the owner waits for no more than that
_PAUSE_S = 0.001  # between two pieces; SQLite's lock is not fair, its owner would not get it back otherwise
_RETRY_MS = 2  # while the owner is in the middle of a transaction
_LOOK_S = 0.005
_KNOWN_MAX = 16  # a question may be asked twice: the second one gets the same copy


class Copier:
    """Copies the database behind `connection`. `settle` ends a transaction that its owner leaves open for long."""

    def __init__(self, connection: sqlite3.Connection, settle: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._settle = settle
        self._made: dict[Path, asyncio.Future[dict[str, Any]]] = {}

    def verbs(self) -> dict[str, Answer]:
        """What to serve."""
        return {"copy": self.copy}

    async def copy(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer {"to": absolute path} with {"bytes", "took_s", "standstill_s"} when the copy rests on the disk.

        `standstill_s` is how late the owner's event loop was at worst meanwhile, whatever the reason. What stood at the
        path is replaced. Raises BadMessage for no such path, Unavailable if it cannot be written.
        """
        to = Path(str(asked.get("to", "")))
        if not to.is_absolute():
            raise BadMessage(f'"to" is the absolute path of the copy, not "{to}"')
        if known := self._made.get(to):
            return await asyncio.shield(known)
        making = self._made[to] = asyncio.ensure_future(self._make(to))
        try:
            return await making
        finally:
            if making.cancelled() or making.exception():
                del self._made[to]  # whoever asks again wants it tried again
            elif len(self._made) > _KNOWN_MAX:
                del self._made[next(iter(self._made))]

    async def _make(self, to: Path) -> dict[str, Any]:
        loop, ended = asyncio.get_running_loop(), threading.Event()
        begun, late_s = loop.time(), 0.0
        copying = asyncio.ensure_future(in_thread(lambda: copy_database(self._connection, to, ended.is_set), None))
        try:
            while not copying.done():
                self._settle()
                looked = loop.time()
                await asyncio.wait({copying}, timeout=_LOOK_S)
                late_s = max(late_s, loop.time() - looked - _LOOK_S)
            size = copying.result()
        finally:
            ended.set()  # a process that ends does not wait for its copies
            copying.cancel()
        return {"bytes": size, "took_s": loop.time() - begun, "standstill_s": late_s}


class _BeginAgain(Exception):
    """The owner rolled something back, and SQLite copies from the first page again: with one that does so often, for ever.

    So the second time it is copied in one go.
    """


def copy_database(connection: sqlite3.Connection, to: Path, ended: Callable[[], bool] = lambda: False) -> int:
    """Copy what `connection` has open to `to`, durably, or not at all; in a thread while its owner goes on.

    Returns its size in bytes. Gives up when `ended` says so. Raises Unavailable if it gave up or could not write.
    """
    lefts: list[int] = []

    def pause(_status: int, left: int, _whole: int) -> None:
        if ended():
            raise Unavailable(f"the copy {to} was broken off: its owner ends; try again")
        if lefts and left > lefts[-1] + PAGES:
            raise _BeginAgain
        lefts.append(left)
        time.sleep(_PAUSE_S)

    try:
        with becoming(to) as part, contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
            target.execute("PRAGMA synchronous=OFF")  # a copy that is not whole is thrown away; it is synced once, at its end
            target.execute("PRAGMA journal_mode=OFF")
            try:
                connection.backup(target, pages=PAGES, progress=pause, sleep=_RETRY_MS / 1_000)
            except _BeginAgain:
                connection.backup(target, pages=-1, sleep=_RETRY_MS / 1_000)
        return to.stat().st_size
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"the copy {to} could not be made ({error}); its directory must exist and have space") from error
