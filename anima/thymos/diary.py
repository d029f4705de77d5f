"""What thymos keeps on disk: every agent's heart and soul, what moved them, and the cursor, in one transaction.

All of it follows from the journal and the settings; a diary that is lost is written again.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgpack

from anima.errors import ConfigError
from anima.store.database import Connection
from anima.thymos.heart import Move
from anima.thymos.levels import Levels
from anima.wire.events import Event, decode_event
from anima.wire.feelings import HORMONES

_LEVELS = struct.Struct(f"<{len(HORMONES)}d")


class Diary:
    """Over a connection to thymos.db."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def cursor(self) -> tuple[int, int]:
        """Up to which seq the journal was read, and up to which souls were told of."""
        seq, told = self._db.execute("SELECT seq, told FROM cursor").fetchone()
        return int(seq), int(told)

    def beings(self) -> Iterator[tuple[str, str, list[Any]]]:
        """Each agent: its name, the digest of its nature, its packed being. Raises ConfigError if one is damaged."""
        for agent, nature, packed in self._db.execute("SELECT agent, nature, packed FROM beings"):
            try:
                yield agent, nature, msgpack.unpackb(packed, strict_map_key=False)
            except ValueError as error:
                raise ConfigError(
                    f"the heart of {agent} in thymos.db is damaged ({error}); move the file away, it is written again"
                ) from None

    def write(
        self,
        cursor: tuple[int, int],
        beings: Iterable[tuple[str, str, list[Any]]] = (),
        moves: Mapping[str, Sequence[tuple[int, Move]]] | None = None,
        told: Iterable[Event] = (),
        heard: Iterable[str] = (),
        forget: Iterable[str] = (),
    ) -> None:
        """One transaction: whom to forget first, hearts, what moved them (numbered), what is to be told, ids of what was heard.

        Raises DiskBroken or Unavailable.
        """
        self._db.execute("BEGIN")
        for agent in forget:
            self._db.execute("DELETE FROM beings WHERE agent = ?", (agent,))
            self._db.execute("DELETE FROM moves WHERE agent = ?", (agent,))
        self._db.executemany(
            "INSERT OR REPLACE INTO beings VALUES (?, ?, ?)",
            [(agent, nature, msgpack.packb(packed)) for agent, nature, packed in beings],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO moves VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (agent, n, move.seq, move.ts, move.stimulus, move.strength, _packed(move.before), _packed(move.after))
                for agent, each in (moves or {}).items()
                for n, move in each
            ],
        )
        self._db.executemany("INSERT OR REPLACE INTO outbox VALUES (?, ?)", [(each.id, each.encode()) for each in told])
        self._db.executemany("DELETE FROM outbox WHERE id = ?", [(each,) for each in heard])
        self._db.execute("UPDATE cursor SET seq = ?, told = ?", cursor)
        self._db.execute("COMMIT")

    def outbox(self) -> list[Event]:
        """What is to be told."""
        return [decode_event(packed) for (packed,) in self._db.execute("SELECT event FROM outbox ORDER BY id")]

    def moves(self, agent: str, since: float = 0.0, *, newest: int = 0) -> list[Move]:
        """What moved the agent from `since` on, and the last move before it; oldest first; with `newest` no more than those."""
        found = self._moves("ts >= ? ORDER BY n DESC LIMIT ?", agent, since, newest or -1)
        if since and (not newest or len(found) < newest):
            found += self._moves("ts < ? ORDER BY n DESC LIMIT ?", agent, since, 1)
        return found[::-1]

    def _moves(self, where: str, agent: str, ts: float, limit: int) -> list[Move]:
        query = f"SELECT seq, ts, stimulus, strength, before, after FROM moves WHERE agent = ? AND {where}"  # noqa: S608 - ours
        return [
            Move(seq, at, stimulus, strength, _LEVELS.unpack(before), _LEVELS.unpack(after))
            for seq, at, stimulus, strength, before, after in self._db.execute(query, (agent, ts, limit))
        ]


def _packed(levels: Levels) -> bytes:
    return _LEVELS.pack(*levels)
