"""Lifecycle records: what happened to whom, numbered, the newest few thousand kept for those who come late."""

import time
from collections import deque
from itertools import islice
from typing import Any

from anima.ids import new_id
from anima.limits import records_kept_max
from anima.supervisor.reexec import Diary

Record = dict[str, Any]


class Records:
    """A ring of records. `boot` names this run of the root, `n` counts from 1: together they identify a record for ever."""

    def __init__(self, written: Diary | None = None) -> None:
        self.boot = written.boot if written else new_id()
        self.head = written.head if written else 0  #: n of the newest
        self._kept: deque[Record] = deque(written.kept if written else (), maxlen=records_kept_max)

    def hand_on(self) -> Diary:
        """All of it, for the code that goes on."""
        return Diary(self.boot, self.head, tuple(self._kept))

    def add(self, what: str, **fields: object) -> None:
        """Keep one more; the fields of a `started`, `ready`, `ended` or `parked` one are those of its wire event."""
        self.head += 1
        self._kept.append({"n": self.head, "boot": self.boot, "ts": time.time(), "what": what, **fields})

    @property
    def forgotten(self) -> int:
        """Number of the newest record that is no longer kept; 0 if all are."""
        return self.head - len(self._kept)

    def after(self, n: int, count_max: int) -> list[Record]:
        """The oldest kept records with a higher number than `n`, at most `count_max` of them."""
        skipped = max(0, n - self.forgotten)
        return list(islice(self._kept, skipped, skipped + count_max))
