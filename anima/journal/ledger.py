"""The journal on disk: rows in, rows out. Synchronous, no sockets; owns journal.db.

Many batches go into one transaction (group commit), each as a whole or not at all. `append` returns when the rows rest
on the disk. What it does not protect against: someone who may write the file can compute a new chain.
"""

import heapq
import logging
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Self

from anima.clock import SYSTEM, Clock
from anima.errors import ConfigError, Refused, Unavailable
from anima.journal.admission import Entry
from anima.journal.adopting import adopted_rows, mark
from anima.journal.numbering import Commit, NewRow, Tip, Told, plan
from anima.journal.queries import walks
from anima.journal.witness import Witness, read_witness, write_witness
from anima.limits import page_bytes_max, page_events_max
from anima.process.copying import Copier
from anima.store.database import Connection, checkpoint, open_database
from anima.wire.chain import START, link
from anima.wire.events import Event, decode_event
from anima.wire.frames import Query

TAIL_ROWS = 256  # verified at every start: what was written last is what a crash can have damaged
CHECKPOINT_BYTES = 4 * 1024 * 1024  # see store.database.CHECKPOINT_PAGES
_COMMIT_BYTES = 24 * 1024  # what a commit adds to the WAL beyond its blobs: a page of the table and of each index
_IDS_PER_LOOKUP = 500  # SQLite binds at most 999 parameters in older builds

_INSERT = "INSERT INTO events (seq, id, ts, kind, agent, session, blob, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

_log = logging.getLogger(__name__)

Row = tuple[int, float, bytes, bytes]  #: seq, ts, blob, chain


class Ledger:
    """The open journal. `tip` is where it ends; `lost` counts acknowledged events the disk took since it was last open.

    After such a loss the numbering goes on from the newest row that survived, so seq stays dense, and the numbers of
    the lost events are given again to others: whoever noted a seq above `tip` has to take the journal's word.
    """

    def __init__(self, path: Path, connection: Connection, clock: Clock) -> None:
        self.path = path
        self.tip = _read_tip(connection)
        self.lost = 0
        self._connection = connection
        self._clock = clock
        self._witness_path = path.with_suffix(".head")
        self._witness = Witness()
        self._wal_bytes = 0

    @classmethod
    def open(cls, path: Path, clock: Clock = SYSTEM, alive: Callable[[], None] = lambda: None) -> Self:
        """The journal in the file at `path`, its last TAIL_ROWS rows verified; for `alive` see `open_database`.

        Raises ConfigError if it is damaged, not writable or of a newer version; Unavailable if another process has it
        or the disk is full; DiskBroken if the disk fails.
        """
        connection = open_database(path, files("anima.journal") / "schema", checkpoint_pages=0, alive=alive)
        with connection.opening(path):
            ledger = cls(path, connection, clock)
            ledger._check_tail()
            ledger._hear_witness()
        return ledger

    def append(self, batches: Sequence[Sequence[Entry]]) -> Commit:
        """Store `batches` in one transaction; durable when this returns.

        Raises Unavailable if the disk is full: nothing was stored, the next append may succeed. Raises DiskBroken if
        the disk failed: it is unknown what was stored, and this process must end.
        """
        now = self._clock.now()
        commit = plan(batches, {}, self.tip, now)
        try:
            if not self._insert(commit.rows):  # rare: something was sent again
                commit = plan(batches, self._known(batches), self.tip, now)
                stored = self._insert(commit.rows)
                assert stored, "an id is neither known nor new"
        except sqlite3.Error as error:
            self._roll_back()
            raise self._connection.judge(error, str(self.path)) from error
        if commit.rows:
            self._grown(commit.rows, commit.rows[-1][2])
        return commit

    def adopt(self, events: Sequence[Event]) -> Told | None:
        """Store what happened to an agent elsewhere, all or nothing; the newest of it, or None if it is here already.

        Raises Refused if the agent has a life here of its own; else as `append`.
        """
        agent = events[0].agent
        try:
            found = self._connection.execute("SELECT blob FROM events WHERE id = ?", (mark(events[0].id),)).fetchone()
            if found and decode_event(found[0]).data["events"] == len(events):
                return None
            if agent in self.tip.heads:
                again = ", and came from where this is from, at another time" if found else ""
                raise Refused(f"an agent called {agent} has lived in this house already{again}; two lives cannot become one")
            rows = list(adopted_rows(events, self.tip, self._clock.now()))
            if not self._insert(rows):
                raise Refused(f"some of what happened to {agent} is in this journal already; it is not from another house")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._connection.judge(error, str(self.path)) from error
        self._grown(rows, self.tip.ts)
        return Told(agent, rows[-1][0] - 1, rows[-1][0], rows[-1][2], rows[-1][6])

    def _grown(self, rows: list[NewRow], ts: float) -> None:
        """The journal ends with these rows now, and at `ts`."""
        self.tip.seq, self.tip.ts, self.tip.chain = rows[-1][0], ts, rows[-1][7]
        self.tip.heads.update((row[4], row[0]) for row in rows)
        self._wal_bytes += _COMMIT_BYTES + sum(2 * len(row[6]) for row in rows)

    def _insert(self, rows: list[NewRow]) -> bool:
        """Insert and commit; False if an id is known already, then nothing was done."""
        if not rows:
            return True
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_INSERT, rows)
        except sqlite3.IntegrityError:
            self._roll_back()
            return False
        self._connection.execute("COMMIT")
        return True

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite has rolled back by itself after some errors
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise self._connection.judge(error, f"{self.path}, rolling back") from error

    def _known(self, batches: Sequence[Sequence[Entry]]) -> dict[str, int]:
        ids = list({entry.id for batch in batches for entry in batch})
        known: dict[str, int] = {}
        for start in range(0, len(ids), _IDS_PER_LOOKUP):
            some = ids[start : start + _IDS_PER_LOOKUP]
            marks = ",".join("?" * len(some))
            known.update(self._connection.execute(f"SELECT id, seq FROM events WHERE id IN ({marks})", some))  # noqa: S608
        return known

    def tidy(self) -> None:
        """Fold the WAL into the file when it has grown enough; call when nobody waits.

        Raises DiskBroken if the disk failed, and Unavailable if it is full: harmless, call again later.
        """
        if self._wal_bytes >= CHECKPOINT_BYTES:
            checkpoint(self._connection)
            self._wal_bytes = 0

    def read(self, query: Query) -> tuple[int, bool, list[Row]]:
        """The head, whether more match, and a page of matching rows, oldest first; see wire.frames.Query.

        Raises BadMessage for a query beyond the limits, DiskBroken or ConfigError if the file cannot be read.
        """
        limit = min(query.limit or page_events_max, page_events_max)
        rows: list[Row] = []
        size = 0
        more = False
        try:
            with closing(_merge(self._connection, query, self.tip.heads)) as found:
                for row in found:
                    if len(rows) == limit or (rows and size + len(row[2]) > page_bytes_max):
                        more = True
                        break
                    rows.append(row)
                    size += len(row[2])
        except sqlite3.Error as error:
            raise self._connection.judge(error, str(self.path)) from error
        if query.newest:
            rows.reverse()
        return self.tip.seq, more, rows

    def verify(self, since: int, limit: int) -> tuple[int, str]:
        """Recompute the chain of up to `limit` rows after seq `since`: the last seq that is sound, and what is wrong after it.

        The sentence is "" if nothing is.
        """
        try:
            previous = self._chain_at(since) if since else START
            if previous is None:
                return since, f"event {since} is missing"
            rows = self._connection.execute(
                "SELECT seq, ts, blob, chain FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (since, limit)
            )
            for seq, ts, blob, chain in rows:
                if seq != since + 1:
                    return since, f"event {since + 1} is missing"
                if link(previous, seq, ts, blob) != chain:
                    return since, f"event {seq} was changed after it was stored"
                since, previous = seq, chain
        except sqlite3.Error as error:
            raise self._connection.judge(error, str(self.path)) from error
        return since, ""

    def copier(self) -> Copier:
        """Who copies the journal while it goes on."""
        return Copier(self._connection)

    def size_bytes(self) -> int:
        """What the journal occupies on disk, the WAL included."""
        return sum(each.stat().st_size for each in (self.path, self.path.with_name(self.path.name + "-wal")) if each.exists())

    def note_witness(self) -> None:
        """Bring journal.head up to date if the journal has moved. Raises Unavailable if the disk is full or refuses."""
        witness = Witness(self.tip.seq, self.tip.chain)
        if witness != self._witness:
            write_witness(self._witness_path, witness)
            self._witness = witness

    def close(self) -> None:
        """Let go of the file, everything folded into it; after a DiskBroken the file is left as it is.

        Raises DiskBroken if the disk refuses, Unavailable if it is full; nothing is lost by either.
        """
        try:
            self.note_witness()
        except Unavailable as error:
            _log.warning("%s", error)
        self._connection.close()

    def _chain_at(self, seq: int) -> bytes | None:
        found = self._connection.execute("SELECT chain FROM events WHERE seq = ?", (seq,)).fetchone()
        return bytes(found[0]) if found else None

    def _hear_witness(self) -> None:
        witness = read_witness(self._witness_path)
        self.lost = max(0, witness.seq - self.tip.seq)
        if self.lost:
            _log.error(
                "%s ends at event %d, but had come to %d: the disk took back %d acknowledged events; "
                "look at `dmesg` and at your backups. Going on from event %d.",
                self.path, self.tip.seq, witness.seq, self.lost, self.tip.seq + 1,
            )  # fmt: skip
        elif witness.seq and self._chain_at(witness.seq) != witness.chain:
            _log.error("%s is not the journal that was here before: event %d differs from its note", self.path, witness.seq)

    def _check_tail(self) -> None:
        """Raise ConfigError unless the last rows are sound and every index knows them."""
        start = max(0, self.tip.seq - TAIL_ROWS)
        sound, wrong = self.verify(start, TAIL_ROWS)
        if not wrong and sound < self.tip.seq:
            wrong = f"event {sound + 1} is missing"
        if not wrong and (unindexed := self._connection.execute(_sql("unindexed"), (start,)).fetchone()):
            wrong = "event {} is missing in {}".format(*unindexed)
        if not wrong and max(self.tip.heads.values(), default=0) != self.tip.seq:
            wrong = "an index ends elsewhere than its table"
        if wrong:
            raise ConfigError(f"{self.path} is damaged: {wrong}; put a backup in its place, or move it away to begin anew")


def _read_tip(connection: Connection) -> Tip:
    newest = connection.execute("SELECT seq, ts, chain FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    heads = dict(connection.execute(_sql("topics")).fetchall())
    return Tip(newest[0], newest[1], newest[2], heads) if newest else Tip(heads=heads)


def _merge(connection: Connection, query: Query, heads: dict[str, int]) -> Generator[Row, None, None]:
    """The rows of all walks of `query`, by seq, read only as far as they are taken."""
    cursors = [connection.execute(text, parameters) for text, parameters in walks(query, heads)]
    try:
        yield from cursors[0] if len(cursors) == 1 else heapq.merge(*cursors, key=lambda row: row[0], reverse=query.newest)
    finally:
        for cursor in cursors:  # an open cursor would keep the WAL from being folded
            cursor.close()


def _sql(name: str) -> str:
    return (files("anima.journal") / f"{name}.sql").read_text(encoding="utf-8")
