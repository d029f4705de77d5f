"""The memories of all agents in one SQLite file: rows, their words, and how far the journal was read, always together.

One connection, one thread. Every method that writes is one transaction, on the disk before it returns.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anima.mneme.asked import Asked, looks, understood
from anima.mneme.index import Index
from anima.mneme.indexes import WORDED, Indexes
from anima.mneme.memory import EVERYTHING, Hit, Lens, Memory
from anima.mneme.ranking import WEIGHTS, Ranked, Sight, like, ranked
from anima.store.database import Connection

_CONTEXT_TURNS, _CONTEXT_CHARS = 2, 400  # what was said before belongs to what a memory means
_READ_CHARS = 1_000  # about what a model reads of one text: a long turn leaves no room for what was before it
_MOOD_LOOKED_AT = 5  # times as many as are wanted: among those a like mood can bring one forward
_MAPPED_BYTES = 1 << 30


_FIELDS = tuple(each.name for each in fields(Memory))
_COLUMNS = ", ".join(f'm."{name}"' for name in _FIELDS)
_NAMES = ", ".join(f'"{name}"' for name in _FIELDS)
_JSON = frozenset({"mood", "data"})
_INSERT = (
    f"INSERT INTO memories ({_NAMES}, words, marks) VALUES ({', '.join('?' * (len(_FIELDS) + 2))}) "  # noqa: S608
    "ON CONFLICT (id) DO NOTHING RETURNING n"
)


class Store:
    """Everything that is remembered."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._db.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")  # hundreds of vectors are fetched a search: 1.1 ms instead of 2
        self._indexes = Indexes(connection)

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
        moved: list[int] = []
        with self._transaction():
            for memory in put:
                moved += self._put(memory)
            for id_, changes in (change or {}).items():
                moved += self._change(id_, changes)
            for id_ in drop:
                moved += self._drop(id_)
            for id_, _ in touched:
                moved += self._numbers("UPDATE memories SET accessed = accessed + 1 WHERE id = ? RETURNING n", id_)
            if cursor is not None:
                self._db.execute("UPDATE cursor SET seq = ?", (cursor,))
        self._indexes.follow(moved)

    def _put(self, memory: Memory) -> list[int]:
        values = [_packed(name, getattr(memory, name)) for name in _FIELDS]
        rows = self._numbers(_INSERT, *values, *looks(memory.text))
        for n in rows:
            self._word(n)
        return rows

    def _word(self, n: int) -> None:
        """Have a memory found by its words, and read for its meaning."""
        chosen = f"FROM memories WHERE n = ? AND {WORDED}"
        self._db.execute(f"INSERT INTO words (rowid, text) SELECT n, text {chosen}", (n,))
        self._db.execute(f"INSERT OR IGNORE INTO unwoven SELECT n {chosen}", (n,))

    def _drop(self, id_: str) -> list[int]:
        self._unword(id_)
        return self._numbers("DELETE FROM memories WHERE id = ? RETURNING n", id_)

    def _numbers(self, statement: str, *values: Any) -> list[int]:
        """Run it; the rows it touched."""
        return [int(row[0]) for row in self._db.execute(statement, values).fetchall()]

    def _change(self, id_: str, changes: Mapping[str, Any]) -> list[int]:
        if not changes:
            return []
        if unknown := set(changes) - set(_FIELDS):
            raise ValueError(f"a memory has no {', '.join(unknown)}")
        words = bool({"text", "state"} & set(changes))
        if words:
            self._unword(id_)
        columns = {name: _packed(name, value) for name, value in changes.items()}
        if "text" in changes:
            columns |= dict(zip(("words", "marks"), looks(changes["text"]), strict=True))
        said = ", ".join(f'"{name}" = ?' for name in columns)
        rows = self._numbers(f"UPDATE memories SET {said} WHERE id = ? RETURNING n", *columns.values(), id_)  # noqa: S608
        for n in rows if words else ():
            self._word(n)
        return rows

    def _unword(self, id_: str) -> None:
        """Take a memory's words and its meaning out; to be done while the row is as it was put in."""
        self._db.execute(
            f"INSERT INTO words (words, rowid, text) SELECT 'delete', n, text FROM memories WHERE id = ? AND {WORDED}",  # noqa: S608
            (id_,),
        )
        for table in ("vectors", "unwoven"):
            self._db.execute(f"DELETE FROM {table} WHERE n = (SELECT n FROM memories WHERE id = ?)", (id_,))  # noqa: S608

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
        self, agent: str, lens: Lens = EVERYTHING, *, before: float | None = None, after_id: str = "", limit: int = 100
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

    # -- finding ---------------------------------------------------------------------------------------------------------

    def load(self, agent: str) -> Iterator[None]:
        """Get ready to search an agent's memories, a slice at a time: whoever has other work does it in between.

        A search does what is left of it itself; for a million memories all of it takes ten seconds.
        """
        return self._indexes.load(agent)

    def asked(self, agent: str, query: str, now: float = 0.0) -> Asked:
        """A query, understood among the people whose words this agent remembers."""
        return understood(query, self._indexes.of(agent).speakers.known, now)

    def search(
        self, agent: str, query: str, k: int = 10, lens: Lens = EVERYTHING, *, vector: Any = None, explain: bool = False
    ) -> list[Hit]:
        """The memories that fit best, best first; none for a query without a word.

        `vector` is the meaning of `asked(...).meant`; None searches by words. What made each score is told
        with `explain`.
        """
        index, asked = self._indexes.of(agent), self.asked(agent, query, lens.now)
        if not asked.terms or not index.size or k < 1:
            return []
        postings, sight = self._indexes.postings(index, asked), Sight(_seen(index, lens), lens.now)
        found = ranked(index, asked, postings, sight, vector, lambda places: self._indexes.codes(index, places))
        looked_at = k * _MOOD_LOOKED_AT if lens.mood else k
        rows = index["n"][found.places[:looked_at]].tolist()
        wanted = ", ".join(map(str, rows))  # whole numbers of our own
        told = {n: row for n, *row in self._db.execute(f"SELECT n, {_COLUMNS} FROM memories m WHERE n IN ({wanted})")}  # noqa: S608
        hits = [_hit(_memory(told[n]), at, found, lens, explain=explain) for at, n in enumerate(rows)]
        return sorted(hits, key=lambda hit: -hit.score)[:k]

    # -- vectors ---------------------------------------------------------------------------------------------------------

    def adopt(self, model: str, dimensions: int) -> None:
        """From now on vectors are of this model: those of another are dropped, and all is read anew."""
        if self._embedding() != (model, dimensions):
            self._unweave("1", (), (model, dimensions))
            self._indexes.unwoven()

    def _embedding(self) -> tuple[str, int]:
        model, dimensions = self._db.execute("SELECT model, dimensions FROM embedding").fetchone()
        return str(model), int(dimensions)

    def unweave(self, agent: str) -> None:
        """Forget the vectors of an agent, so that they are made anew."""
        self._unweave("agent = ?", (agent,))
        self._indexes.unwoven(agent)

    def _unweave(self, whose: str, values: tuple[str, ...], adopted: tuple[str, int] | None = None) -> None:
        with self._transaction():
            rows = f"SELECT n FROM memories WHERE {whose} AND {WORDED}"  # noqa: S608 - our own words
            self._db.execute(f"DELETE FROM vectors WHERE n IN ({rows})", values)  # noqa: S608
            self._db.execute(f"INSERT OR IGNORE INTO unwoven {rows}", values)
            if adopted is not None:
                self._db.execute("UPDATE embedding SET model = ?, dimensions = ?", adopted)

    def unembedded(self, limit: int) -> list[tuple[str, str]]:
        """Memories without a vector, (id, what is to be read) each: what was said before belongs to the meaning of a turn."""
        query = "SELECT m.id, m.agent, m.session, m.ts, m.n, m.kind, m.text FROM unwoven u JOIN memories m ON m.n = u.n LIMIT ?"
        return [(id_, self._context(*rest)) for id_, *rest in self._db.execute(query, (limit,)).fetchall()]

    def _context(self, agent: str, session: str, ts: float, n: int, kind: str, text: str) -> str:
        room = min(_CONTEXT_CHARS, (_READ_CHARS - len(text)) // _CONTEXT_TURNS)
        if kind != "episode" or room <= 0:
            return text
        before = self._db.execute(
            "SELECT substr(text, ?) FROM memories WHERE agent = ? AND session = ? AND state = 'live' AND kind = 'episode' "
            "AND (ts, n) < (?, ?) ORDER BY ts DESC, n DESC LIMIT ?",
            (-room, agent, session, ts, n, _CONTEXT_TURNS),
        ).fetchall()
        return " ".join([*(each[0] for each in reversed(before)), text])

    def unembedded_count(self) -> int:
        """How many have none."""
        return int(self._db.execute("SELECT count(*) FROM unwoven").fetchone()[0])

    def embedded(self, rows: Sequence[tuple[str, Any]]) -> None:
        """Keep the vectors (id, vector) of the adopted model; what was changed or dropped meanwhile is left out."""
        codes = quantised(np.asarray([vector for _, vector in rows], np.float32))
        kept, places = [], []
        with self._transaction():
            for at, (id_, _) in enumerate(rows):
                found = self._db.execute(
                    "DELETE FROM unwoven WHERE n = (SELECT n FROM memories WHERE id = ?) RETURNING n", (id_,)
                ).fetchone()
                if found:
                    self._db.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (found[0], codes[at].tobytes()))
                    kept.append((id_.partition("/")[0], int(found[0])))
                    places.append(at)
        self._indexes.woven(kept, codes[places])


def _hit(memory: Memory, at: int, found: Ranked, lens: Lens, *, explain: bool) -> Hit:
    mood = like(memory.mood, lens.mood)
    score = float(found.scores[at]) * (1 + WEIGHTS.lift_mood * mood)
    parts = {name: float(part[at]) for name, part in found.parts.items() if part[at]} if explain else {}
    return Hit(memory, score, float(found.fit[at]), parts | ({"mood": mood} if explain and mood else {}))


def quantised(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors as whole numbers, the largest of each 127: their directions are all that is compared."""
    most = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.rint(vectors / most * 127), np.int8)


def _seen(index: Index, lens: Lens) -> NDArray[np.bool_]:
    """Which memories may be found."""
    seen = index["live"].copy()
    if lens.session is not None:
        own = index["session"] == index.sessions.known.get(lens.session, -1)
        if not lens.only_session:
            own = own | index["shared"] | (index["session"] == index.sessions.known.get("", -1))
        seen &= own
    if lens.kinds:
        seen &= np.isin(index["kind"], [index.kinds.known[each] for each in lens.kinds if each in index.kinds.known])
    if lens.since is not None:
        seen &= index["ts"] >= lens.since
    return seen


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
