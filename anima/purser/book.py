"""The purser's book: every call of every agent, from the events of the journal, in a database of its own.

What it holds follows from the journal alone, and an event told again changes nothing; so nothing is lost with a
transaction that a death takes, and a book that is lost is written again.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from anima.purser.account import KINDS, NOTHING, Entry, Sum, opened, settled, unreserved
from anima.store.database import Connection
from anima.wire.events import ChoreCalled, Event, ModelCalled, Reflected
from anima.wire.spending import UNKNOWN_USD, AgentFrozen, AgentThawed, BudgetReleased, BudgetReserved

READS = (*KINDS, "agent_frozen", "agent_thawed")  #: the kinds of event that it is about

_AMOUNTS = "calls, tokens, usd, wall_s, unpriced"
_SUMS = "sum(calls), sum(tokens), sum(usd), sum(wall_s), sum(unpriced)"


@dataclass(frozen=True, slots=True)
class Frozen:
    """Since when an agent may send nothing, and why."""

    seq: int
    ts: float
    reason: str


Call = ModelCalled | Reflected | ChoreCalled
C = TypeVar("C", bound=Call)
PriceOf = Callable[[Call], float]  #: what a call costs by the house's table, in US dollars, or UNKNOWN_USD


class Book:
    """`day` tells on which day of an agent a moment (seconds since 1970) falls, `price_of` what calls cost.

    An agent says what its calls cost; if the table says more, the table is believed.
    """

    def __init__(
        self, connection: Connection, day: Callable[[str, float], str], price_of: PriceOf = lambda _: UNKNOWN_USD
    ) -> None:
        self._db = connection
        self._day = day
        self._price_of = price_of

    @property
    def cursor(self) -> int:
        """The seq up to which the journal was read."""
        return int(self._db.execute("SELECT seq FROM cursor").fetchone()[0])

    def apply(self, event: Event) -> None:
        """Take an event; it is kept with the next `commit`. Raises BadMessage for a malformed body."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        match event.body:
            case BudgetReserved() as body:
                self._put(opened(event, body, self._day(event.agent, event.ts)), event.seq)
            case ModelCalled(reservation="") as body:
                self._put(unreserved(event, self._priced(body), self._day(event.agent, event.ts)), event.seq)
            case (ModelCalled() | Reflected() | ChoreCalled()) as body if (
                entry := self._entry(body.reservation)
            ) and not entry.settled:
                self._put(settled(entry, self._priced(body)), event.seq)
            case BudgetReleased(id) if (entry := self._entry(id)) and not entry.settled:
                self._put(replace(entry, amount=NOTHING, settled=True), event.seq)
            case AgentFrozen(reason):
                row = (event.agent, event.seq, event.ts, reason)
                self._db.execute("INSERT OR REPLACE INTO frozen VALUES (?, ?, ?, ?)", row)
            case AgentThawed():
                self._db.execute("DELETE FROM frozen WHERE agent = ?", (event.agent,))
            case _:
                pass
        self._db.execute("UPDATE cursor SET seq = max(seq, ?)", (event.seq,))

    def commit(self) -> None:
        """Keep what was taken. Raises DiskBroken or Unavailable."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rewind(self) -> None:
        """The journal is not what it was: read it again from the beginning. What is known stays known by its id."""
        self.commit()
        self._db.execute("UPDATE cursor SET seq = 0")

    def on(self, agent: str, day: str, *, settled_only: bool = False) -> Sum:
        """What was spent on a day, reservations included, unless only what was settled is asked for."""
        return self._sum("agent = ? AND day = ? AND settled >= ?", (agent, day, int(settled_only)))

    def of(self, agent: str, turn: str, *, settled_only: bool = False) -> Sum:
        """What a turn has spent, likewise."""
        return self._sum("agent = ? AND turn = ? AND settled >= ?", (agent, turn, int(settled_only)))

    def parts(self, agent: str, day: str) -> list[dict[str, Any]]:
        """A day by cause and model, reservations included: [{cause, model, calls, tokens, usd, wall_s, unpriced}]."""
        rows = self._db.execute(
            f"SELECT cause, model, {_SUMS} FROM entries WHERE agent = ? AND day = ? GROUP BY cause, model ORDER BY 1, 2",  # noqa: S608
            (agent, day),
        )
        return [{"cause": cause, "model": model, **dataclasses.asdict(Sum(*sums))} for cause, model, *sums in rows]

    def last_turn(self, agent: str) -> str:
        """The turn that a model was asked for last; "" if none ever was."""
        row = self._db.execute("SELECT turn FROM entries WHERE agent = ? ORDER BY seq DESC LIMIT 1", (agent,)).fetchone()
        return str(row[0]) if row else ""

    def frozen(self, agent: str) -> Frozen | None:
        """Since when the agent is frozen, if it is."""
        row = self._db.execute("SELECT seq, ts, reason FROM frozen WHERE agent = ?", (agent,)).fetchone()
        return Frozen(*row) if row else None

    def agents(self) -> list[str]:
        """All agents that ever spent anything, or are frozen."""
        rows = self._db.execute("SELECT DISTINCT agent FROM entries UNION SELECT agent FROM frozen ORDER BY 1")
        return [agent for (agent,) in rows]

    def _priced(self, body: C) -> C:
        """The call, at the higher of what its agent and the table say."""
        return replace(body, cost_usd=max(body.cost_usd, self._price_of(body)))

    def _sum(self, where: str, values: tuple[object, ...]) -> Sum:
        row = self._db.execute(f"SELECT {_SUMS} FROM entries WHERE {where}", values).fetchone()  # noqa: S608 - our own words
        return Sum(*row) if row[0] is not None else NOTHING

    def _entry(self, id_: str) -> Entry | None:
        query = f"SELECT id, agent, turn, day, cause, model, settled, {_AMOUNTS} FROM entries WHERE id = ?"  # noqa: S608
        row = self._db.execute(query, (id_,)).fetchone()
        if row is None:
            return None
        _, agent, turn, day, cause, model, done, *amounts = row
        return Entry(id_, agent, turn, day, cause, model, Sum(*amounts), bool(done))

    def _put(self, entry: Entry, seq: int) -> None:
        """Write the entry down; one that is settled stays as it is, and so does a reservation told again."""
        amount = dataclasses.astuple(entry.amount)
        row = (entry.id, seq, entry.agent, entry.turn, entry.day, entry.cause, entry.model, *amount, entry.settled)
        self._db.execute(
            f"INSERT INTO entries (id, seq, agent, turn, day, cause, model, {_AMOUNTS}, settled) "  # noqa: S608
            f"VALUES ({', '.join('?' * len(row))}) ON CONFLICT (id) DO UPDATE SET model = excluded.model, "
            "calls = excluded.calls, tokens = excluded.tokens, usd = excluded.usd, wall_s = excluded.wall_s, "
            "unpriced = excluded.unpriced, settled = 1 WHERE NOT entries.settled AND excluded.settled",
            row,
        )
