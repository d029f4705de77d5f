"""Verifying the journal's checksum chain, through the journal when it runs, in its file when it does not.

Covered: rows that are missing, changed or out of order. Not covered: someone who rewrote the rest of the chain too.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from anima.errors import ConfigError
from anima.wire.chain import START, link

if TYPE_CHECKING:
    from anima.bus.client import Client

Row = tuple[int, float, bytes, bytes]  #: seq, ts, blob, chain


class Verifier:
    """Feed it all rows from the first on. `count` rows were fine so far."""

    def __init__(self) -> None:
        self.count = 0
        self._previous = START

    def take(self, rows: Iterable[Row]) -> str:
        """Check the next rows; returns the sentence about the first wrong one, or nothing."""
        for seq, ts, blob, chain in rows:
            if seq != self.count + 1:
                return f"row {self.count + 1} is missing: the next one has seq {seq}"
            self._previous = link(self._previous, seq, ts, blob)
            if chain != self._previous:
                return f"row {seq} is not what was stored: its checksum does not follow from the rows before it"
            self.count += 1
        return ""


async def verify_through_journal(bus: "Client") -> tuple[int, str]:
    """How many rows are fine, and what is wrong with the next one, if anything; asks the running journal page by page."""
    from anima.wire.frames import Query

    verifier = Verifier()
    while True:
        _, more, rows = await bus.read_rows(Query(since=verifier.count))
        wrong = verifier.take((row[0], row[1], row[2], row[3]) for row in rows)
        if wrong or not more or not rows:
            return verifier.count, wrong


def verify_file(path: Path) -> tuple[int, str]:
    """The same for the file of a house that is down. Raises ConfigError if it cannot be read."""
    if not path.exists():
        return 0, ""
    verifier = Verifier()
    try:
        wrong = verifier.take(_rows(path))
    except sqlite3.Error as error:
        raise ConfigError(f"{path} cannot be read: {error}; restore it from a backup, or try SQLite's `.recover`") from error
    return verifier.count, wrong


def _rows(path: Path) -> Iterator[Row]:
    wal = path.with_name(path.name + "-wal")
    clean = not wal.exists() or not wal.stat().st_size
    mode = "mode=ro&immutable=1" if clean else "mode=rw"  # what a crash left in the WAL is part of the journal
    connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # the journal's own way; needs no shared-memory file
        yield from connection.execute("SELECT seq, ts, blob, chain FROM events ORDER BY seq")
    finally:
        connection.close()
