"""What was spent, by day and by turn: a pure fold over events, which may be told more than once.

An entry is one call of a model. It begins as its reservation, with everything at most, and is spent from that moment;
what the call really took replaces it. So a death between the two can only make the sum too high.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anima.wire.events import ChoreCalled, Event, ModelCalled, Reflected
from anima.wire.spending import UNKNOWN_USD, BudgetReleased, BudgetReserved

KINDS = (
    "budget_reserved",
    "budget_released",
    "model_called",
    "reflected",
    "chore_called",
)  #: of the events that the fold is over


@dataclass(frozen=True, slots=True)
class Sum:
    """An amount of everything there is a budget for."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    wall_s: float = 0.0
    unpriced: int = 0  #: those of `calls` whose price nobody knows; they are not in `usd`

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.usd + other.usd,
            self.wall_s + other.wall_s,
            self.unpriced + other.unpriced,
        )

    def __mul__(self, times: int) -> "Sum":
        return Sum(self.calls * times, self.tokens * times, self.usd * times, self.wall_s * times, self.unpriced * times)


NOTHING = Sum()


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of a model."""

    id: str  #: of the reservation; of the call, if nothing was reserved for it
    agent: str
    turn: str
    day: str  #: YYYY-MM-DD where the agent lives, when it was reserved
    cause: str
    model: str
    amount: Sum
    settled: bool = False


def cause_of(source: str) -> str:
    """Who wanted the turn of a message from that source: person, heartbeat, trigger or child; or memory's own."""
    kind = source.partition(":")[0]
    return {"heartbeat": "heartbeat", "trigger": "trigger", "agent": "child", "memory": "memory"}.get(kind, "person")


def zone_of(name: str) -> tzinfo:
    """The time zone of that name; UTC if it is called otherwise than the IANA does, as a machine may."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def day_of(ts: float, zone: tzinfo = UTC) -> str:
    """The day on which something happened, as YYYY-MM-DD."""
    return datetime.fromtimestamp(ts, zone).date().isoformat()


def opened(event: Event, body: BudgetReserved, day: str) -> Entry:
    """The entry a reservation begins with."""
    unpriced = body.cost_usd < 0
    amount = Sum(1, body.tokens, 0.0 if unpriced else body.cost_usd, body.wall_s, int(unpriced))
    return Entry(event.id, event.agent, body.turn, day, body.cause, body.model, amount)


def settled(entry: Entry, body: ModelCalled | Reflected | ChoreCalled) -> Entry:
    """The entry with what the call took. Samples that broke off count as whole ones: nobody tells what they took.

    A reply that does not say what it took is counted as reserved.
    """
    if not (body.tokens_in or body.tokens_out):
        return replace(entry, model=body.model, settled=True)
    unpriced = body.cost_usd == UNKNOWN_USD
    took = Sum(1, body.tokens_in + body.tokens_out, 0.0 if unpriced else body.cost_usd, body.duration_s, int(unpriced))
    broken = replace(entry.amount, wall_s=0.0) * body.restarts
    return replace(entry, model=body.model, amount=took + broken, settled=True)


def unreserved(event: Event, body: ModelCalled, day: str) -> Entry:
    """The entry of a call nothing was reserved for: of an older version, or of a bug."""
    return settled(Entry(event.id, event.agent, body.turn, day, "unknown", body.model, Sum(1)), body)


class Account:
    """The entries of one agent that still matter: those of its newest day, and of turns that have not ended."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone
        self._entries: dict[str, Entry] = {}
        self._days: dict[str, Sum] = {}
        self._turns: dict[str, Sum] = {}

    def apply(self, event: Event) -> None:
        """Take an event. Raises BadMessage for a malformed body."""
        match event.body:
            case BudgetReserved() as body if event.id not in self._entries:
                self._put(opened(event, body, day_of(event.ts, self._zone)))
            case (ModelCalled() | Reflected() | ChoreCalled()) as body if entry := self._entries.get(body.reservation):
                self._put(settled(entry, body))
            case ModelCalled(reservation="") as body:
                self._put(unreserved(event, body, day_of(event.ts, self._zone)))
            case BudgetReleased(id) if entry := self._entries.get(id):
                self._put(replace(entry, amount=NOTHING, settled=True))
            case _:
                pass

    def on(self, day: str) -> Sum:
        """What was spent on a day, reservations included."""
        return self._days.get(day, NOTHING)

    def of(self, turn: str) -> Sum:
        """What a turn has spent, reservations included."""
        return self._turns.get(turn, NOTHING)

    def forget(self, turn: str, today: str) -> None:
        """The turn has ended: leave out what no budget is held against any more."""
        self._turns.pop(turn, None)
        gone = [each.id for each in self._entries.values() if each.day < today and each.turn not in self._turns]
        for id_ in gone:
            del self._entries[id_]
        for day in [day for day in self._days if day < today]:
            del self._days[day]

    def _put(self, entry: Entry) -> None:
        old = self._entries.get(entry.id)
        if old and old.settled:
            return  # told again
        self._entries[entry.id] = entry
        less = old.amount * -1 if old else NOTHING
        self._days[entry.day] = self._days.get(entry.day, NOTHING) + entry.amount + less
        self._turns[entry.turn] = self._turns.get(entry.turn, NOTHING) + entry.amount + less
