"""One agent that feels, as thymos keeps it: its heart, its soul, and the words that are there.

All three are folds over the agent's events. The soul, which may change by what is felt, is somebody else's (anima/psyche):
here it is whatever keeps gains and learns from moves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import sub
from typing import Any, Protocol

from anima.errors import BadMessage
from anima.thymos.heart import Heart, Move, Temper, at, beat, pack, unpack
from anima.thymos.levels import born
from anima.thymos.voice import Vocabulary
from anima.wire.events import Event
from anima.wire.feelings import Gains, read_gains


class Soul(Protocol):
    """What learns from what is felt."""

    def live(self, ts: float, stimulus: str, change: tuple[float, ...]) -> None:
        """Something was felt: `change` is what it did to each level."""
        ...

    def made(self, gains: Gains) -> None:
        """A person made it what it is now."""
        ...

    def news(self) -> tuple[Gains, str] | None:
        """How it has changed since it was last told of, and why; then that is told."""
        ...

    def pack(self) -> list[Any]:
        """Plain values, from which `souls` makes it again."""
        ...


Souls = Callable[[list[Any] | None], Soul]  #: makes a soul, from what `pack` made or a newborn one


@dataclass(frozen=True, slots=True)
class Nature:
    """What an agent's settings say about how it feels. `digest` changes when the fold must be begun anew."""

    temper: Temper
    vocabulary: Vocabulary
    digest: str = ""


@dataclass(slots=True)
class Being:
    """One agent's."""

    heart: Heart
    soul: Soul
    felt: tuple[str, ...] = ()  #: names of the feelings that are there, at `heart.ts`
    moves: int = 0  #: how often it was moved
    dirty: bool = field(default=False, compare=False)

    def take(self, event: Event, nature: Nature) -> list[Move]:
        """Fold the next event; returns what moved it. Raises BadMessage for a malformed body: nothing changed."""
        moves = beat(self.heart, event, nature.temper)
        for move in moves:
            change = tuple(map(sub, move.after, move.before))
            self.soul.live(move.ts, move.stimulus, change)
        if event.kind == "soul_changed" and event.source != "thymos":
            self.soul.made(read_gains(event.data["gains"]))
        if moves:
            self.felt = nature.vocabulary.felt(self.heart.levels, self.felt)
            self.moves += len(moves)
        self.dirty = True
        return moves

    def now(self, ts: float, nature: Nature) -> tuple[Heart, tuple[str, ...]]:
        """The heart at `ts` and the feelings that are there, if nothing more happens until then; nothing is changed."""
        heart = at(self.heart, ts, nature.temper)
        return heart, nature.vocabulary.felt(heart.levels, self.felt)

    def pack(self) -> list[Any]:
        """Plain values; `unpack_being` is the way back."""
        return [pack(self.heart), self.soul.pack(), list(self.felt), self.moves]


def newborn(nature: Nature, souls: Souls) -> Being:
    """Somebody to whom nothing has happened yet."""
    return Being(Heart(levels=born(nature.temper.resting)), souls(None))


def unpack_being(found: list[Any], souls: Souls) -> Being:
    """The being in what `pack` made. Raises BadMessage for anything else."""
    try:
        heart, soul, felt, moves = found
        return Being(unpack(heart), souls(soul), tuple(map(str, felt)), int(moves))
    except (TypeError, ValueError) as error:
        raise BadMessage(f"not a being: {error!r}") from error
