"""The memories of all agents in one SQLite file: rows, their words, and how far the journal was read, always together.

One connection, one thread. Every method that writes is one transaction, on the disk before it returns.
"""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from anima.store.database import Connection

TERMS_MAX = 64  # words of a query that are looked up
_FIRST_LOOK, _LOOKED_PER_HIT = 256, 8  # rows that are taken by their words before it is known whose they are
_LOOK_FURTHER = 32  # times as many, where too few of them could be seen
_ALL = 1_000_000_000
_TERM = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing that is remembered."""

    id: str  #: AGENT/ID, see anima/wire/memories.py
    agent: str
    kind: str  #: episode, fact, snapshot1, snapshot2, goal1, goal2 or pin
    session: str  #: where it was said; "" is everywhere
    speaker: str
    text: str
    ts: float  #: seconds since 1970, UTC
    seq: int = 0  #: of the journal's event it comes from; 0 if it was imported
    importance: float = 0.5  #: 0 to 1
    shared: bool = False  #: may surface in other sessions
    mood: Mapping[str, float] = field(default_factory=dict)  #: how far each hormone was from its rest
    source: str = ""  #: who said so, what led to it, or the file it was imported from
    state: str = "live"  #: live, superseded or forgotten
    by: str = ""  #: id of what superseded it
    accessed: int = 0  #: how often it came to mind
    data: Mapping[str, Any] = field(default_factory=dict)  #: what else is known, by kind


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that fits a query."""

    memory: Memory
    score: float  #: more is better; comparable within one search
    parts: Mapping[str, float] = field(default_factory=dict)  #: what made it


@dataclass(frozen=True, slots=True)
class Lens:
    """Which memories are looked at, and from where."""

    session: str | None = None  #: what that conversation may know: its own, what is shared, what was said nowhere; None: all
    only_session: bool = False  #: its own alone
    kinds: tuple[str, ...] = ()  #: () means all
    since: float | None = None  #: seconds since 1970: nothing older
    mood: Mapping[str, float] = field(default_factory=dict)  #: of the one who looks: what was kept in a like mood comes easier
    now: float = 0.0  #: seconds since 1970: what is old comes harder; 0 if age does not matter


#: Words in nearly every sentence, English and German: what else is asked for decides, and these cost the most.
_SAY_NOTHING = frozenset(
    re.findall(
        r"\w+",
        """a about am an and any are as at be been but by can could did do does for from had has have he her him his how i if in
        into is it its just me my no not of on or our she should so some than that the their them then there these they this
        to up us was we were what when where which who whom whose why will with would you your
        aber als am an auch auf aus bei bin bist da das dass dem den der des die du ein eine einen er es für hab habe haben hat
        hatte ich ihm ihn ihr im in ist ja kann man mein mich mir mit nach nicht noch nur ob oder sein sich sie sind so über um
        und uns von vor war was wann wer wo wie wir wird zu zum zur""",
    )
)

_FIELDS = tuple(each.name for each in fields(Memory))
_COLUMNS = ", ".join(f'm."{name}"' for name in _FIELDS)
_NAMES = ", ".join(f'"{name}"' for name in _FIELDS)
_WORDED = "state = 'live' AND text <> ''"  # whose words are looked up
_JSON = frozenset({"mood", "data"})
_INSERT = (
    f"INSERT INTO memories ({_NAMES}) VALUES ({', '.join('?' * len(_FIELDS))}) "  # noqa: S608 - our own names
    "ON CONFLICT (id) DO NOTHING RETURNING n"
)


class Store:
    """Everything that is remembered."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # -- writing ---------------------------------------------------------------------------------------------------------

    def cursor(self) -> int:
        """The seq up to which the journal was read."""
        return int(self._db.execute("SELECT seq FROM cursor").fetchone()[0])

    def apply(
        self,
        *,
        put: Sequence[Memory] = (),
        change: Mapping[str, Mapping[str, Any]] | None = None,
        drop: Sequence[str] = (),
        touched: Sequence[tuple[str, float]] = (),
        cursor: int | None = None,
    ) -> None:
        """One transaction: new memories, changed fields, memories to delete, those that came to mind, and the cursor.

        Putting a known id is nothing, and so is changing, dropping or touching an unknown one. A text that becomes "" is found
        no more. Raises DiskBroken, Unavailable if the disk is full, ConfigError if the file is damaged.
        """
        with self._transaction():
            for memory in put:
                self._put(memory)
            for id_, changes in (change or {}).items():
                self._change(id_, changes)
            for id_ in drop:
                self._unword(id_)
                self._db.execute("DELETE FROM memories WHERE id = ?", (id_,))
            self._db.executemany("UPDATE memories SET accessed = accessed + 1 WHERE id = ?", [(id_,) for id_, _ in touched])
            if cursor is not None:
                self._db.execute("UPDATE cursor SET seq = ?", (cursor,))

    def _put(self, memory: Memory) -> None:
        row = self._db.execute(_INSERT, [_packed(name, getattr(memory, name)) for name in _FIELDS]).fetchone()
        if row and memory.text and memory.state == "live":
            self._db.execute("INSERT INTO words (rowid, speaker, text) VALUES (?, ?, ?)", (row[0], memory.speaker, memory.text))

    def _change(self, id_: str, changes: Mapping[str, Any]) -> None:
        if not changes:
            return
        if unknown := set(changes) - set(_FIELDS):
            raise ValueError(f"a memory has no {', '.join(unknown)}")
        words = bool({"text", "speaker", "state"} & set(changes))
        if words:
            self._unword(id_)
        said = ", ".join(f'"{name}" = ?' for name in changes)
        values = [_packed(name, value) for name, value in changes.items()]
        self._db.execute(f"UPDATE memories SET {said} WHERE id = ?", (*values, id_))  # noqa: S608 - our own names
        if words:
            insert = "INSERT INTO words (rowid, speaker, text) SELECT n, speaker, text FROM memories"
            self._db.execute(f"{insert} WHERE id = ? AND {_WORDED}", (id_,))

    def _unword(self, id_: str) -> None:
        """Take a memory's words out; to be done while the row is as it was put in."""
        self._db.execute(
            "INSERT INTO words (words, rowid, speaker, text) SELECT 'delete', n, speaker, text FROM memories "  # noqa: S608
            f"WHERE id = ? AND {_WORDED}",
            (id_,),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._db.judge(error, "what is remembered (mneme.db)") from error
        finally:
            if self._db.lock_fd >= 0 and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    # -- reading ---------------------------------------------------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> list[Memory]:
        """The memories of these ids that are there, in the order of the ids."""
        found = [self._db.execute(f"SELECT {_COLUMNS} FROM memories m WHERE id = ?", (id_,)).fetchone() for id_ in ids]  # noqa: S608
        return [_memory(row) for row in found if row]

    def page(
        self, agent: str, lens: Lens = Lens(), *, before: float | None = None, after_id: str = "", limit: int = 100
    ) -> list[Memory]:
        """Memories in the order of time, and of arrival where that is the same; the next page begins after `after_id`."""
        where, values = _narrowed(agent, lens)
        if before is not None:
            where += " AND m.ts < ?"
            values.append(before)
        if after_id:
            where += " AND (m.ts, m.n) > (SELECT ts, n FROM memories WHERE id = ?)"
            values.append(after_id)
        query = f"SELECT {_COLUMNS} FROM memories m WHERE {where} ORDER BY m.ts, m.n LIMIT ?"  # noqa: S608 - our own words
        return [_memory(row) for row in self._db.execute(query, (*values, limit))]

    def around(self, id_: str, n: int) -> list[Memory]:
        """What was said before and after a memory in its session, `n` at most on each side, itself included."""
        row = self._db.execute("SELECT agent, session, ts, n FROM memories WHERE id = ?", (id_,)).fetchone()
        if row is None:
            return []
        select = f"SELECT {_COLUMNS} FROM memories m WHERE m.agent = ? AND m.session = ? AND m.state = 'live' "  # noqa: S608
        select += "AND m.kind = 'episode' AND (m.ts, m.n) "
        before = self._db.execute(f"{select} < (?, ?) ORDER BY m.ts DESC, m.n DESC LIMIT ?", (*row, n)).fetchall()
        after = self._db.execute(f"{select} > (?, ?) ORDER BY m.ts, m.n LIMIT ?", (*row, n)).fetchall()
        return [*(_memory(each) for each in reversed(before)), *self.get([id_]), *(_memory(each) for each in after)]

    def counts(self, agent: str) -> dict[str, int]:
        """How many there are of each kind that are live, and how many are superseded or forgotten."""
        rows = self._db.execute(
            "SELECT CASE state WHEN 'live' THEN kind ELSE state END AS what, count(*) FROM memories WHERE agent = ? "
            "GROUP BY what ORDER BY what",
            (agent,),
        )
        return {name: int(count) for name, count in rows}

    def search(
        self,
        agent: str,
        query: str,
        k: int = 10,
        lens: Lens = Lens(),
        *,
        vector: Any = None,  # noqa: ARG002 - meaning is not weighed yet, nor are age and mood
        explain: bool = False,  # noqa: ARG002 - the words are all there is
    ) -> list[Hit]:
        """The memories that fit best by their words (BM25), best first; none for a query without a word."""
        wanted = " OR ".join(f'"{term}"' for term in _terms(query))
        where, values = _narrowed(agent, lens)
        query = (
            f"SELECT found.rank, {_COLUMNS} "  # noqa: S608 - our own words
            "FROM (SELECT rowid, rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) found "
            f"JOIN memories m ON m.n = found.rowid WHERE {where} ORDER BY found.rank, m.n LIMIT ?"
        )
        looked_at = max(_FIRST_LOOK, _LOOKED_PER_HIT * k)
        while wanted:
            rows = self._db.execute(query, (wanted, looked_at, *values, k)).fetchall()
            if len(rows) >= k or looked_at >= _ALL:
                return [Hit(_memory(row[1:]), -row[0], {"words": -row[0]}) for row in rows]  # FTS5 gives what is better less
            looked_at *= _LOOK_FURTHER
        return []

    # -- vectors ---------------------------------------------------------------------------------------------------------

    def unembedded(self, limit: int, model: str) -> list[tuple[str, str]]:  # noqa: ARG002 - there are no vectors yet
        """Memories without a vector of that model, (id, text) each."""
        return []

    def unembedded_count(self, model: str) -> int:  # noqa: ARG002
        """How many have none."""
        return 0

    def unweave(self, agent: str) -> None:
        """Forget the vectors of an agent, so that they are made anew."""

    def embedded(self, rows: Sequence[tuple[str, Any]], model: str) -> None:
        """Keep the vectors (id, vector) of that model."""


def _terms(query: str) -> list[str]:
    """The words to look for, each once: without those that say nothing, unless there are no others."""
    terms = list(dict.fromkeys(term.casefold() for term in _TERM.findall(query)))
    return ([term for term in terms if term not in _SAY_NOTHING] or terms)[:TERMS_MAX]


def _narrowed(agent: str, lens: Lens) -> tuple[str, list[Any]]:
    """A condition and its values."""
    where, values = "m.agent = ?", [agent]
    bounds: list[Any] = []
    if lens.kinds:
        where += f" AND m.kind IN ({', '.join('?' * len(lens.kinds))})"
        bounds += lens.kinds
    if lens.session is not None:
        where += " AND m.session = ?" if lens.only_session else " AND (m.session IN ('', ?) OR m.shared)"
        bounds.append(lens.session)
    if lens.since is not None:
        where += " AND m.ts >= ?"
        bounds.append(lens.since)
    return where, [*values, *bounds]


def _packed(name: str, value: Any) -> Any:
    if name in _JSON:
        return json.dumps(dict(value), ensure_ascii=False)
    return int(value) if name == "shared" else value


def _memory(row: Sequence[Any]) -> Memory:
    values = dict(zip(_FIELDS, row, strict=True))
    return Memory(
        **{**values, "shared": bool(values["shared"]), "mood": json.loads(values["mood"]), "data": json.loads(values["data"])}
    )
