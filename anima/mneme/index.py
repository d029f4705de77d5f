"""What is looked at in every search, of one agent, as columns of numbers: everything else stays in the file.

A memory takes about 110 bytes here, its vector as 384 signs among them (48 bytes): 11 MB for 100,000. The whole follows from
the store and is read when an agent's memories are first searched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
_SIGNS = 64  # in one number
NONE = -1
_COLUMNS: dict[str, Any] = {
    "n": np.int64, "ts": np.float64, "before": np.int32, "after": np.int32, "session": np.int32, "speaker": np.int32,
    "kind": np.int16, "marks": np.uint8, "words": np.float32, "importance": np.float32, "accessed": np.float32,
    "shared": np.bool_, "live": np.bool_, "woven": np.bool_,
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

    def put(self, rows: Iterable[Row]) -> None:
        """New rows, in the order of their n, or known ones that changed."""
        for row in rows:
            if self.size and row.n <= self["n"][-1]:
                known = self.places(np.array([row.n]))
                if len(known):
                    self._set(int(known[0]), row)
                continue
            place = self.size
            self._grow()
            self._columns["before"][place] = self._columns["after"][place] = NONE
            self._set(place, row)
            self._join(place, row.kind)

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
        if kind != "episode":
            return
        session = int(self._columns["session"][place])
        if (before := self._last.get(session, NONE)) != NONE:
            self._columns["before"][place], self._columns["after"][before] = before, place
        self._last[session] = place

    def _grow(self) -> None:
        if self.size == self._room:
            self._room *= 2
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros_like(column)])
            self._signs = np.concatenate([self._signs, np.zeros_like(self._signs)], axis=1)
        self.size += 1

    def drop(self, n: int) -> None:
        """The row is no more."""
        self._columns["live"][self.places(np.array([n]))] = False

    def weave(self, rows: Sequence[int], codes: NDArray[np.int8]) -> None:
        """These rows have vectors now, (rows, dimensions)."""
        wanted = np.array(rows, np.int64)
        here = np.isin(wanted, self["n"])
        places = self.places(wanted[here])
        self._signs[:, places] = signs(codes[here]).T
        self._columns["woven"][places] = True

    def unweave(self) -> None:
        """No row has a vector any more."""
        self._columns["woven"][:] = False

    def window(self, places: Places) -> Places:
        """The places with the two before and the two after each in its session; some may come more than once."""
        parts = [places]
        for side in ("before", "after"):
            step = places
            for _ in range(2):
                step = self[side][step]
                step = step[step != NONE].astype(np.int64)
                parts.append(step)
        return np.concatenate(parts)

    def window_words(self, places: Places) -> NDArray[np.float32]:
        """How many words stand in the window of each place."""
        words: NDArray[np.float32] = self["words"]
        total: NDArray[np.float32] = words[places].copy()
        for side in ("before", "after"):
            step = self[side][places].astype(np.int64)
            for _ in range(2):
                there = step != NONE
                total += np.where(there, words[step], np.float32(0))
                step = np.where(there, self[side][step], NONE)
        return total


def signs(codes: NDArray[np.int8] | NDArray[np.float32]) -> NDArray[np.uint64]:
    """Which of a vector's numbers are above zero, 64 in one number, (rows, dimensions / 64)."""
    short = -codes.shape[1] % _SIGNS
    return np.packbits(np.pad(codes > 0, ((0, 0), (0, short))), axis=1).view(np.uint64)
