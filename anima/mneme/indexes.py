"""The columns of all agents' memories: read from the file a slice at a time, and kept as it changes.

Nothing here writes. The store tells what it wrote; what is told while columns are being read is looked at when they are there.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anima.mneme.asked import Asked
from anima.mneme.index import Index, Places, Row
from anima.store.database import Connection

WORDED = "state = 'live' AND text <> ''"  # whose words are looked up
_POSTINGS_MAX = 80_000  # rows that are looked at for all words of a query: a word in more memories than its part is known by
_POSTINGS_TERM = (2_000, 20_000)  # its newest ones; so many at least, and at most, for one word
_LOADED_ROWS = 20_000  # 0.1 to 0.2 s
_TERMS_KEPT = 500  # words whose places are kept, 20,000 of each at most: 80 MB if all of them were everywhere, 2 as a rule
_NOWHERE = np.empty(0, np.int32)
_ROW = f"SELECT n, session, speaker, kind, ts, shared, importance, accessed, words, marks, {WORDED}, "
_ROW += "n IN (SELECT n FROM vectors) FROM memories"


class Indexes:
    """Of the agents whose memories were searched in this life."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._held: dict[str, Index] = {}
        self._loading: list[set[int]] = []  # rows that changed while columns are being read
        self._dropped = 0  # how often vectors were

    def of(self, agent: str) -> Index:
        """The columns of an agent's memories; read from the file the first time."""
        for _ in self.load(agent):
            pass
        return self._held[agent]

    def load(self, agent: str) -> Iterator[None]:
        """Read the columns of an agent's memories, a slice at a time: whoever has other work does it in between."""
        while agent not in self._held:
            index, dropped, moved = Index(self._dimensions()), self._dropped, set[int]()
            self._loading.append(moved)
            try:
                yield from self._slices(index, agent)
            finally:
                self._loading.remove(moved)
            if dropped == self._dropped:  # else its vectors are not those of today any more
                self._held[agent] = index
                self.follow(moved)
                self._weave(index, agent, moved)

    def _weave(self, index: Index, agent: str, moved: Iterable[int]) -> None:
        """Vectors that came while the index was read."""
        query = "SELECT v.n, v.code FROM vectors v JOIN memories m ON m.n = v.n WHERE m.agent = ? AND v.n = ?"
        found = [row for n in moved for row in self._db.execute(query, (agent, n))]
        if found:
            index.weave([n for n, _ in found], as_codes([code for _, code in found]))

    def _slices(self, index: Index, agent: str) -> Iterator[None]:
        n = 0
        rows = f"{_ROW} WHERE agent = ? AND state = 'live' AND n > ? ORDER BY n LIMIT {_LOADED_ROWS}"
        while found := self._db.execute(rows, (agent, n)).fetchall():
            index.load(found)
            n = found[-1][0]
            yield
        index.join()
        codes = "SELECT v.n, v.code FROM memories m JOIN vectors v ON v.n = m.n WHERE m.agent = ? AND m.n > ? "
        codes += f"ORDER BY m.n LIMIT {_LOADED_ROWS}"
        n = 0
        while found := self._db.execute(codes, (agent, n)).fetchall():
            index.weave([each[0] for each in found], as_codes([each[1] for each in found]))
            n = found[-1][0]
            yield

    def follow(self, moved: Iterable[int]) -> None:
        """These rows are new in the file, have changed, or are gone."""
        for waiting in self._loading:
            waiting.update(moved)
        if not self._held:
            return
        for n in sorted(set(moved)):
            found = self._db.execute(f"{_ROW} WHERE n = ?", (n,)).fetchone()
            if found is None:
                for index in self._held.values():
                    index.drop(n)
                continue
            (agent,) = self._db.execute("SELECT agent FROM memories WHERE n = ?", (n,)).fetchone()
            held = self._held.get(agent)
            if held is not None and held.put([_numbers(found)]):
                held.terms.clear()  # a known row has other words now, perhaps

    def postings(self, index: Index, asked: Asked) -> list[Places]:
        """Where each word of the query stands; of a word that is everywhere the newest places."""
        least, most = _POSTINGS_TERM
        limit = min(max(_POSTINGS_MAX // len(asked.terms), least), most)
        return [self._places(index, term)[-limit:] for term in asked.terms]

    def _places(self, index: Index, term: str) -> Places:
        """Where a word stands. What is common is asked for often, so it is kept, and only what came since is read."""
        known, seen = index.terms.pop(term, (_NOWHERE, 0))
        look = "SELECT rowid FROM words WHERE words MATCH ? AND rowid > ? ORDER BY rowid DESC LIMIT ?"
        rows = self._db.execute(look, (f'"{term}"', seen, _POSTINGS_TERM[1])).fetchall()
        if rows:
            new = index.places(np.fromiter(itertools.chain.from_iterable(reversed(rows)), np.int64, len(rows)))
            known = np.concatenate([known, new])[-_POSTINGS_TERM[1] :]
            seen = rows[0][0]
        index.terms[term] = known, seen
        while len(index.terms) > _TERMS_KEPT:
            del index.terms[next(iter(index.terms))]
        return known

    def codes(self, index: Index, places: Places) -> NDArray[np.int8]:
        """The stored vectors of places, (places, dimensions); zeros for one without."""
        if (known := index.codes(places)) is not None:
            return known
        codes = np.zeros((len(places), index.dimensions), np.int8)
        rows = index["n"][places]
        wanted = ", ".join(map(str, rows.tolist()))  # whole numbers of our own
        found = self._db.execute(f"SELECT n, code FROM vectors WHERE n IN ({wanted}) ORDER BY n").fetchall()  # noqa: S608
        if found:
            codes[np.searchsorted(rows, [n for n, _ in found])] = as_codes([code for _, code in found])
        return codes

    def _dimensions(self) -> int:
        return int(self._db.execute("SELECT dimensions FROM embedding").fetchone()[0])

    def woven(self, rows: Sequence[tuple[str, int]], codes: NDArray[np.int8]) -> None:
        """These rows, (agent, n) each, have vectors now."""
        for waiting in self._loading:
            waiting.update(n for _, n in rows)
        for agent in {agent for agent, _ in rows} & set(self._held):
            places = [at for at, (whose, _) in enumerate(rows) if whose == agent]
            self._held[agent].weave([rows[at][1] for at in places], codes[places])

    def unwoven(self, agent: str = "") -> None:
        """The vectors of an agent were dropped, or all; these may have other dimensions from now on."""
        self._dropped += 1
        if not agent:
            self._held.clear()
        elif agent in self._held:
            self._held[agent].unweave()


def as_codes(blobs: Sequence[bytes]) -> NDArray[np.int8]:
    """Stored vectors as an array, (blobs, dimensions)."""
    return np.frombuffer(b"".join(blobs), np.int8).reshape(len(blobs), -1)


def _numbers(row: Sequence[Any]) -> Row:
    n, session, speaker, kind, ts, shared, importance, accessed, words, marked, live, woven = row
    return Row(n, session, speaker, kind, ts, bool(shared), importance, accessed, words, marked, bool(live), bool(woven))
