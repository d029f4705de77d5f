"""A soul as thymos keeps it: growth that can be put away and told of."""

from collections.abc import Mapping
from typing import Any

from anima.errors import BadMessage
from anima.psyche.growth import Growth, Halved, live, set_soul, untold
from anima.wire.feelings import Gains

REASONS_MAX = 3  # of one change that are told; the rest is counted


class GrowingSoul:
    """Learns by growth.py; `halved` is 2 ** -x, the same on every machine."""

    def __init__(self, halved: Halved, packed: list[Any] | None = None) -> None:
        self._halved = halved
        self.growth = Growth() if packed is None else _unpacked(packed)

    def live(self, ts: float, stimulus: str, change: tuple[float, ...]) -> None:
        """Something was felt: `change` is what it did to each level."""
        live(self.growth, ts, stimulus, change, self._halved)

    def made(self, gains: Gains) -> None:
        """A person made it what it is now."""
        set_soul(self.growth, gains)

    def news(self) -> tuple[Gains, str] | None:
        """How it has changed since it was last told of, and why; then that is told."""
        growth = self.growth
        if not growth.moved:
            return None  # what drifts home is told with the next thing that moves it
        growth.moved = False
        if not untold(growth):
            return None
        growth.told = dict(growth.gains)
        reasons = list(growth.reasons)
        growth.reasons.clear()
        more = f", and {len(reasons) - REASONS_MAX} more" if len(reasons) > REASONS_MAX else ""
        return dict(growth.gains), "; ".join(reasons[-REASONS_MAX:]) + more

    def pack(self) -> list[Any]:
        """Plain values, floats to the bit."""
        growth = self.growth
        maps = (growth.gains, growth.born, growth.told, growth.traces)
        rows = [{key: list(row) for key, row in each.items()} for each in maps]
        return [*rows, growth.traced, growth.frights, growth.ts, growth.reasons, growth.moved]


def _unpacked(packed: list[Any]) -> Growth:
    try:
        *rows, traced, frights, ts, reasons, moved = packed
        gains, born, told, traces = map(_rows, rows)
        return Growth(gains, born, told, traces, dict(traced), dict(frights), float(ts), list(reasons), bool(moved))
    except (TypeError, ValueError, AttributeError) as error:
        raise BadMessage(f"not a soul: {error!r}") from error


def _rows(found: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    return {str(key): tuple(map(float, row)) for key, row in found.items()}
