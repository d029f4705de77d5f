"""What is looked at in every search, of one agent, as columns of numbers: everything else stays in the file.

A memory takes about 110 bytes here, its vector as 384 signs among them (48 bytes): 11 MB for 100,000. Of few memories the
vectors are here as they are stored, too. The whole follows from the store and is read when an agent's memories are first
searched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
_SIGNS = 64  # in one number
CODES_KEPT = 50_000  # memories whose vectors are kept here whole, 19 MB; of more they are fetched from the file, 1 ms a search
NONE = -1
_COLUMNS: dict[str, Any] = {
    "n": np.int64, "ts": np.float64, "before": np.int32, "after": np.int32, "session": np.int32, "speaker": np.int32,
    "kind": np.int16, "marks": np.uint8, "words": np.float32, "near_words": np.float32,
    "importance": np.float32, "accessed": np.float32, "shared": np.bool_, "live": np.bool_, "woven": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One memory's numbers."""

    n: int
    session: str
    speaker: str
    kind: str
    ts: float
    shared: bool
    importance: float
    accessed: int
    words: int
    marks: int
    live: bool
    woven: bool  #: whether it has a vector


class Codes:
    """Texts as small numbers, in the order they came."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def of(self, text: str) -> int:
        """The number of a text, a new one if need be."""
        return self.known.setdefault(text, len(self.known))


class Index:
    """Columns that grow; a memory's place in them follows the order of arrival."""

    def __init__(self, dimensions: int = 384) -> None:
        self.size = 0
        self.dimensions = dimensions
        self.words_total = 0.0
        self.sessions, self.speakers, self.kinds = Codes(), Codes(), Codes()
        self._room = 1_024
        self._columns = {name: np.zeros(self._room, sort) for name, sort in _COLUMNS.items()}
        self._signs = np.zeros((-(-dimensions // _SIGNS), self._room), np.uint64)
        self._codes: NDArray[np.int8] | None = np.zeros((self._room, dimensions), np.int8)
        self.terms: dict[str, tuple[NDArray[Any], int]] = {}  #: where words stand, up to which n; kept by the store
        self._last: dict[int, int] = {}  # session -> place of its newest episode

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name][: self.size]

    @property
    def signs(self) -> NDArray[np.uint64]:
        """The vectors' signs, (dimensions / 64, size)."""
        return self._signs[:, : self.size]

    def places(self, rows: NDArray[np.int64]) -> Places:
        """The places of those rows that are here."""
        if not self.size:
            return np.empty(0, np.int64)
        found = np.searchsorted(self["n"], rows)
        found[found == self.size] = 0
        here: Places = found[self["n"][found] == rows]
        return here

    def load(self, rows: Sequence[Sequence[Any]]) -> None:
        """More rows, in the order of their n, as tuples in the order of Row's fields; `join` when all are here."""
        start, end = self.size, self.size + len(rows)
        self._make_room(end)
        self.size = end
        for name, values in zip(Row.__slots__, zip(*rows, strict=True), strict=False):
            codes = {"session": self.sessions, "speaker": self.speakers, "kind": self.kinds}.get(name)
            self._columns[name][start:end] = list(map(codes.of, values)) if codes else values
        self._columns["woven"][start:end] = False  # until its vector is here
        self.words_total += float(self["words"][start:].sum(dtype=np.float64))

    def join(self) -> None:
        """Who comes before and after whom, once all rows are loaded."""
        for side in ("before", "after"):
            self._columns[side][:] = NONE
        words = self["words"]
        self["near_words"][:] = words
        episodes = np.flatnonzero(self["kind"] == self.kinds.known.get("episode", -1))
        if not len(episodes):
            return
        session = self["session"][episodes]
        order = np.argsort(session, kind="stable")
        places, session = episodes[order], session[order]
        same = session[1:] == session[:-1]
        self._columns["before"][places[1:][same]] = places[:-1][same]
        self._columns["after"][places[:-1][same]] = places[1:][same]
        last = np.append(~same, True)
        self._last = dict(zip(session[last].tolist(), places[last].tolist(), strict=True))
        for side in ("before", "after"):
            step = self[side].astype(np.int64)
            for _ in range(2):
                self["near_words"][:] += np.where(step != NONE, words[step], np.float32(0))
                step = np.where(step != NONE, self[side][step], NONE)

    def put(self, rows: Iterable[Row]) -> int:
        """New rows, in the order of their n, or known ones that changed; how many of these."""
        changed = 0
        for row in rows:
            if self.size and row.n <= self["n"][-1]:
                known = self.places(np.array([row.n]))
                if len(known):
                    self._set(int(known[0]), row)
                    changed += 1
                continue
            place = self.size
            self._make_room(place + 1)
            self.size += 1
            self._columns["before"][place] = self._columns["after"][place] = NONE
            self._set(place, row)
            self._join(place, row.kind)
        return changed

    def _set(self, place: int, row: Row) -> None:
        columns = self._columns
        self.words_total += row.words - float(columns["words"][place])
        columns["n"][place], columns["ts"][place] = row.n, row.ts
        columns["session"][place], columns["speaker"][place] = self.sessions.of(row.session), self.speakers.of(row.speaker)
        columns["kind"][place], columns["marks"][place], columns["words"][place] = self.kinds.of(row.kind), row.marks, row.words
        columns["importance"][place], columns["accessed"][place] = row.importance, row.accessed
        columns["shared"][place], columns["live"][place] = row.shared, row.live
        columns["woven"][place] &= row.woven

    def _join(self, place: int, kind: str) -> None:
        """An episode follows the one before it in its session."""
        words = self._columns["words"][place]
        self._columns["near_words"][place] = words
        if kind != "episode":
            return
        session = int(self._columns["session"][place])
        if (before := self._last.get(session, NONE)) != NONE:
            self._columns["before"][place], self._columns["after"][before] = before, place
            for near in (before, int(self._columns["before"][before])):
                if near != NONE:
                    self._columns["near_words"][near] += words
                    self._columns["near_words"][place] += self._columns["words"][near]
        self._last[session] = place

    def _make_room(self, size: int) -> None:
        """Have columns for so many, at least."""
        while self._room < size:
            self._room *= 2
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros_like(column)])
            self._signs = np.concatenate([self._signs, np.zeros_like(self._signs)], axis=1)
            if self._codes is not None:
                self._codes = np.concatenate([self._codes, np.zeros_like(self._codes)]) if size <= CODES_KEPT else None

    def drop(self, n: int) -> None:
        """The row is no more."""
        self._columns["live"][self.places(np.array([n]))] = False

    def weave(self, rows: Sequence[int], codes: NDArray[np.int8]) -> None:
        """These rows have vectors now, (rows, dimensions)."""
        if not self.size:
            return
        wanted = np.array(rows, np.int64)
        places = np.minimum(np.searchsorted(self["n"], wanted), self.size - 1)
        here = self["n"][places] == wanted
        places = places[here]
        self._signs[:, places] = signs(codes[here]).T
        if self._codes is not None:
            self._codes[places] = codes[here]
        self._columns["woven"][places] = True

    def codes(self, places: Places) -> NDArray[np.int8] | None:
        """The vectors of places, (places, dimensions), zeros for one without; None if they are to be fetched from the file."""
        if self._codes is None:
            return None
        return np.where(self["woven"][places][:, None], self._codes[places], np.int8(0))

    def unweave(self) -> None:
        """No row has a vector any more."""
        self._columns["woven"][:] = False

    def window(self, places: Places) -> Places:
        """The places with the two before and the two after each in its session, (5, places); NONE where there is nobody."""
        rows = [places]
        for side in ("before", "after"):
            step = places
            for _ in range(2):
                step = np.where(step != NONE, self[side][step], NONE).astype(np.int64)
                rows.append(step)
        return np.stack(rows)


def signs(codes: NDArray[np.int8] | NDArray[np.float32]) -> NDArray[np.uint64]:
    """Which of a vector's numbers are above zero, 64 in one number, (rows, dimensions / 64)."""
    short = -codes.shape[1] % _SIGNS
    return np.packbits(np.pad(codes > 0, ((0, 0), (0, short))), axis=1).view(np.uint64)
