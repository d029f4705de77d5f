"""Databases move forward only, each in its owner's process, behind a copy of the whole that was taken first.

The history of a schema is a folder of numbered .sql files; the names of those applied are kept in the database. What is
to be applied is one transaction: when it fails, the database is as it was. Two copies of each are kept, the older ones go.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from importlib.resources.abc import Traversable
from pathlib import Path

from anima.errors import ConfigError, Unavailable
from anima.store.becoming import becoming

COPIES_MAX = 2  # of each database
_STEPS_AT_ONCE = 10_000_000  # of SQLite's machine: some tenths of a second
_PAGES_AT_ONCE = 4_096  # 16 MiB

_TABLE = "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at REAL NOT NULL) WITHOUT ROWID"
_APPLIED = "SELECT name FROM migrations ORDER BY name"
_SHADOWS = "SELECT name FROM pragma_table_list WHERE type = 'shadow'"

_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY)


def migrate(connection: sqlite3.Connection, path: Path, migrations: Traversable, alive: Callable[[], None]) -> None:
    """Bring the open database at `path` to the newest of `migrations`; `alive` is called now and then while that lasts.

    Raises ConfigError if a newer version wrote it, or if one of them fails: then the database is as it was.
    Raises sqlite3.Error if the disk is full or broken.
    """
    found = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'").fetchone()
    if not found[0]:
        connection.execute(_TABLE)
    applied = [name for (name,) in connection.execute(_APPLIED)]
    pending = _pending(path, applied, _known(migrations))
    copy = _keep_copy(connection, path, applied[-1], alive) if applied and pending else None
    if pending:
        connection.set_progress_handler(alive, _STEPS_AT_ONCE)
        _apply(connection, path, _scripts(migrations, pending), copy)  # and what `rehearse` may read tells the truth at once:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.set_progress_handler(None, 0)


def rehearse(path: Path, migrations: Traversable) -> tuple[str, ...]:
    """The names of the migrations the database at `path` would be moved forward by, tried on an empty one of its schema.

    Its owner may be at work meanwhile: nothing is locked, nothing is written. Raises ConfigError if a newer version wrote
    it or one of them fails, Unavailable if there is no room for the copy.
    """
    if not path.exists():
        return ()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as source:
            applied = [name for (name,) in source.execute(_APPLIED)]
            shadows = {name for (name,) in source.execute(_SHADOWS)}
            schema = source.execute("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY rowid").fetchall()
    except sqlite3.Error:
        return ()  # it has written nothing yet, or is writing there right now: its owner will see
    pending = _pending(path, applied, _known(migrations))
    if not pending:
        return ()
    if shutil.disk_usage(path.parent).free < path.stat().st_size:
        raise Unavailable(f"{path} must be copied before it moves forward, and the disk has no room for that; free some space")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as trial:
        for name, sql in schema:
            if name not in shadows:
                trial.execute(sql)
        _apply(trial, path, _scripts(migrations, pending), None)
    return tuple(pending)


def _known(migrations: Traversable) -> list[str]:
    return sorted(each.name for each in migrations.iterdir() if each.name.endswith(".sql"))


def _scripts(migrations: Traversable, names: list[str]) -> dict[str, str]:
    return {name: (migrations / name).read_text(encoding="utf-8") for name in names}


def _pending(path: Path, applied: list[str], known: list[str]) -> list[str]:
    """What is known and not applied. Raises ConfigError if something is applied that is not known."""
    if newer := [name for name in applied if name not in known]:
        raise ConfigError(
            f"{path} was written by a newer version of this program (it has {', '.join(newer)}); "
            "install that version again, or put back a backup from before the upgrade",
        )
    return [name for name in known if name not in applied]


def _apply(connection: sqlite3.Connection, path: Path, scripts: dict[str, str], copy: Path | None) -> None:
    """Run migrations by name and record their names: all of them or none, for the old program could read nothing between."""
    steps = [
        f"{script}\n;\nINSERT INTO migrations VALUES ({_quoted(name)}, {time.time()!r});" for name, script in scripts.items()
    ]
    try:
        connection.executescript("\n".join(["BEGIN IMMEDIATE;", *steps, "COMMIT;"]))
    except sqlite3.Error as error:
        done = {name for (name,) in connection.execute(_APPLIED)} if connection.in_transaction else set()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _OF_THE_DISK:
            raise
        failed = next(name for name in scripts if name not in done)
        kept = f"; a copy of it lies at {copy}" if copy else ""
        raise ConfigError(
            f"{path} cannot be moved forward: {failed} fails ({error}); it was left as it was{kept}; "
            "go back to the version that wrote it"
        ) from error


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _keep_copy(connection: sqlite3.Connection, path: Path, newest: str, alive: Callable[[], None]) -> Path:
    """A copy of the whole database beside it, on the disk when this returns; older ones beyond COPIES_MAX go."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    copy = path.with_name(f"{path.stem}.before-{stamp}.{newest.removesuffix('.sql')}{path.suffix}")
    try:
        with becoming(copy) as part, closing(sqlite3.connect(part)) as target:
            connection.backup(target, pages=_PAGES_AT_ONCE, progress=lambda *_: alive())
            target.execute("PRAGMA journal_mode=DELETE")
    except OSError as error:
        raise Unavailable(f"{path} must be copied before it moves forward, and that fails: {error.strerror}") from error
    for old in sorted(path.parent.glob(f"{path.stem}.before-*{path.suffix}"))[:-COPIES_MAX]:
        old.unlink(missing_ok=True)
    return copy
