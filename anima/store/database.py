"""SQLite the way this house uses it: one owner, one connection, WAL, every commit on the disk before it returns.

    connection = open_database(home.journal, files("anima.journal") / "schema")

The schema is a folder of numbered .sql files, an append-only history, see migrate.py. sqlite-utils is for inspection and
administration: importing it takes longer than starting a process.

The connection is in SQLite's exclusive locking mode: one process and one connection per file is the rule here anyway
(SQLite before 3.51.3 can corrupt a WAL that several connections reset), and it needs no shared memory file then.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from anima.errors import AnimaError, ConfigError, Exit, Unavailable
from anima.store.lock import take_lock
from anima.store.migrate import migrate

CHECKPOINT_PAGES = 1_000  # 4 MiB: a longer WAL makes each commit extend a file instead of overwriting one, at twice the cost


class DiskBroken(AnimaError):
    """The disk said no to reading or writing; whether the last bytes rest on it is unknown.

    The process must end: a second fsync on the same file descriptor would say "done" although the bytes are gone. The
    next incarnation reads what really rests on the disk. Nor may the file be closed: SQLite would fold the log into it,
    believe that second fsync and remove the log. So the connection is left open, for the end of the process to take.
    """

    exit = Exit.TRY_LATER


class Connection(sqlite3.Connection):
    """A sqlite3 connection that holds the file's lock; closing it folds the WAL into the file and lets the lock go."""

    lock_fd: int = -1

    def close(self) -> None:
        """Checkpoint and close; nothing if it was left or closed before.

        Raises DiskBroken if the disk refuses, and then stays open; Unavailable if it is full, the WAL stays beside the file.
        """
        if self.lock_fd < 0:
            return
        try:
            if self.in_transaction:
                self.execute("ROLLBACK")
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise self.judge(error, "its last checkpoint") from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without a word, after an error; nothing if the disk broke."""
        if self.lock_fd >= 0:
            super().close()
            os.close(self.lock_fd)
            self.lock_fd = -1

    @contextmanager
    def opening(self, path: Path) -> Iterator[None]:
        """While it is being opened: what fails leaves the connection, and an error of SQLite is told as what it means."""
        try:
            yield
        except sqlite3.Error as error:
            found = self.judge(error, str(path))
            self.abandon()
            raise found from error
        except AnimaError:
            self.abandon()
            raise

    def judge(self, error: sqlite3.Error, what: str) -> AnimaError:
        """What `error` means for the one who catches it; after a DiskBroken this connection is never closed."""
        found = judge(error, what)
        if isinstance(found, DiskBroken):
            _left_open.append((self, self.lock_fd))
            self.lock_fd = -1
        return found


_left_open: list[tuple[Connection, int]] = []  #: kept from being collected, which would close them


def _nobody() -> None:
    """Nobody waits."""


def open_database(
    path: Path, migrations: Traversable, *, checkpoint_pages: int = CHECKPOINT_PAGES, alive: Callable[[], None] = _nobody
) -> Connection:
    """The database at `path`, created or migrated to the newest of `migrations` (a folder of NNNN_name.sql files).

    `checkpoint_pages` 0 leaves checkpoints to the caller; see `checkpoint` for why one would. `alive` is called now and then
    while it is migrated, which may take long.
    Raises Unavailable if another process owns the file or the disk is full; ConfigError if it is no database, damaged,
    not writable or written by a newer version; DiskBroken if the disk fails.
    """
    lock_fd = take_lock(path.with_name(path.name + ".lock"), path)
    try:
        # One thread, but for copies of the whole (process/copying.py): SQLite itself lets one in at a time.
        connection = sqlite3.connect(path, isolation_level=None, factory=Connection, check_same_thread=False)
    except sqlite3.Error as error:
        os.close(lock_fd)
        raise judge(error, str(path)) from error
    connection.lock_fd = lock_fd
    with connection.opening(path):
        _configure(connection, checkpoint_pages)
        migrate(connection, path, migrations, alive)
    return connection


def checkpoint(connection: Connection) -> None:
    """Fold the WAL into the file, so that the next commits overwrite it from its beginning.

    SQLite's own checkpoints happen inside a commit and swallow their errors, a failed fsync too: the next one would
    succeed without the bytes being there. Raises DiskBroken, or Unavailable if the disk is full (harmless: try again later).
    """
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.Error as error:
        raise connection.judge(error, "a checkpoint") from error


def judge(error: sqlite3.Error, what: str) -> AnimaError:
    """What an error of SQLite about `what` (a path or an action) means for the one who catches it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(f"the disk is full, {what} could not be written; free some space, nothing was changed")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return ConfigError(
            f"{what} is damaged or not a database ({error}); put a backup in its place, or move it away to begin anew "
            "(`sqlite3 FILE .recover` may save what is left in it)",
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return ConfigError(f"{what} cannot be written ({error}); it and its directory must belong to the user who runs anima")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"{what} is open in another program ({error}); close that program, one file has one owner")
    if code == sqlite3.SQLITE_IOERR:
        return DiskBroken(
            f"the disk failed at {what} ({error}, {getattr(error, 'sqlite_errorname', 'no code')}); look at `dmesg`"
        )
    return AnimaError(f"a mistake in this program: SQLite refuses what it was told about {what} ({error})")


def _configure(connection: Connection, checkpoint_pages: int) -> None:
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    found: Any = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if found[0] != "wal":
        raise ConfigError(
            f"the file system cannot carry a write-ahead log (SQLite chose {found[0]}); put $ANIMA_HOME on a local disk"
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
    connection.execute("BEGIN IMMEDIATE")  # takes the exclusive lock now, not at the first write of somebody's message
    connection.execute("COMMIT")
