"""What thymos answers: how an agent feels, in words for the agent and in numbers for people."""

from collections.abc import Callable, Sequence
from typing import Any

from anima.clock import Clock
from anima.errors import BadMessage
from anima.thymos.diary import Diary
from anima.thymos.heart import Move, at_levels
from anima.thymos.hearts import Hearts
from anima.thymos.resources import shares
from anima.wire.feelings import HORMONES, Gains, levels_by_name, write_gains

CAUSES = 20
HOUR_POINTS = 60
POINTS_MAX = 2_000
MOVES_MAX = 1_000
_MIN_S = 60.0
_SHOWN_MIN = 0.05  # a smaller move is none for people

Arguments = dict[str, Any]
Archetype = Callable[[str], Gains]  #: the soul of that name; raises Refused, naming those there are


class Answers:
    """The verbs of the server `thymos`."""

    def __init__(
        self, hearts: Hearts, diary: Diary, clock: Clock, archetype: Archetype, archetypes: Sequence[str] = ()
    ) -> None:
        self._hearts = hearts
        self._diary = diary
        self._clock = clock
        self._archetype = archetype
        self._archetypes = archetypes

    async def feel(self, asked: Arguments) -> dict[str, Any]:
        """For the agent itself: words, no number and no hormone; and what feelings do to its means."""
        name = _name(asked)
        nature = self._hearts.nature(name)
        heart, felt = self._hearts.being(name).now(self._clock.now(), nature)
        words = nature.vocabulary.words(felt)
        inserts = [["voice", "inner_voice", words]] if words else []
        return {"inserts": inserts, "shares": shares(heart.levels)}

    async def show(self, asked: Arguments) -> dict[str, Any]:
        """For people: levels now, where they rest, what moved them last, the last hour by minutes."""
        name, now = _name(asked), self._clock.now()
        nature = self._hearts.nature(name)
        heart, felt = self._hearts.being(name).now(now, nature)
        resting = nature.temper.resting
        times = [now - _MIN_S * n for n in range(HOUR_POINTS - 1, -1, -1)]
        return {
            "agent": name,
            "ts": now,
            "levels": levels_by_name(heart.levels),
            "baselines": {hormone: rest[0] for hormone, rest in zip(HORMONES, resting, strict=True)},
            "half_lives_s": {hormone: rest[1] for hormone, rest in zip(HORMONES, resting, strict=True)},
            "felt": list(felt),
            "words": nature.vocabulary.words(felt),
            "shares": shares(heart.levels),
            "causes": [row for move in reversed(self._moves(name, newest=CAUSES)) for row in _rows(move)][:CAUSES],
            "hour": self._series(name, times),
        }

    async def why(self, asked: Arguments) -> dict[str, Any]:
        """Which events moved the agent, or one hormone of it, by how much; oldest first."""
        name, hormone = _name(asked), str(asked.get("hormone", ""))
        if hormone and hormone not in HORMONES:
            raise BadMessage(f"there is no hormone '{hormone}'; there are {', '.join(HORMONES)}")
        limit = min(max(1, int(asked.get("limit", CAUSES))), MOVES_MAX)
        moves = self._moves(name, newest=MOVES_MAX)
        rows = [row for move in moves for row in _rows(move) if hormone in ("", row["hormone"])]
        return {"agent": name, "moves": rows[-limit:]}

    async def series(self, asked: Arguments) -> dict[str, Any]:
        """Levels from `since` (seconds since 1970) to now at `points` moments, and what happened meanwhile."""
        name, now = _name(asked), self._clock.now()
        since = float(asked.get("since", now - 86_400.0))
        points = min(max(2, int(asked.get("points", 600))), POINTS_MAX)
        if not since < now:
            raise BadMessage("`since` lies in the future")
        times = [since + (now - since) * n / (points - 1) for n in range(points)]
        marks = [{"ts": move.ts, "stimulus": move.stimulus} for move in self._moves(name, since=since) if move.ts >= since]
        return {"agent": name, "ts": times, "levels": self._series(name, times), "marks": marks[-MOVES_MAX:]}

    async def psyche(self, asked: Arguments) -> dict[str, Any]:
        """The soul: its gains as they are felt now, by stimulus and hormone; what is not named is 1.0."""
        name = _name(asked)
        being = self._hearts.being(name)
        return {"agent": name, "gains": write_gains(being.heart.gains), "moves": being.moves}

    async def archetype(self, asked: Arguments) -> dict[str, Any]:
        """The gains of a soul that can be had by name, or by seed:TEXT."""
        return {"gains": write_gains(self._archetype(str(asked.get("name", ""))))}

    async def archetypes(self, _: Arguments) -> dict[str, Any]:
        """The names of those."""
        return {"names": list(self._archetypes)}

    def verbs(self) -> dict[str, Any]:
        """What to serve."""
        asked = (self.feel, self.show, self.why, self.series, self.psyche, self.archetype, self.archetypes)
        return {each.__name__: each for each in asked}

    def _moves(self, name: str, since: float = 0.0, *, newest: int = 0) -> list[Move]:
        """Those written down and those not yet."""
        found = [*self._diary.moves(name, since, newest=newest), *self._hearts.unwritten(name)]
        return found[-newest:] if newest else found

    def _series(self, name: str, times: list[float]) -> dict[str, list[float]]:
        """Levels at each of these moments, ascending: the last move before it, decayed."""
        resting = self._hearts.nature(name).temper.resting
        moves = self._moves(name, since=times[0])
        found: list[tuple[float, ...]] = []
        place = 0
        for ts in times:
            while place < len(moves) and moves[place].ts <= ts:
                place += 1
            found.append(at_levels(moves[place - 1] if place else None, ts, resting))
        return {hormone: [round(each[place], 3) for each in found] for place, hormone in enumerate(HORMONES)}


def _rows(move: Move) -> list[dict[str, Any]]:
    """A move, hormone by hormone, the largest first."""
    changes = sorted(
        ((after - before, after, hormone) for hormone, before, after in zip(HORMONES, move.before, move.after, strict=True)),
        key=lambda each: -abs(each[0]),
    )
    told = {"ts": move.ts, "seq": move.seq, "stimulus": move.stimulus, "strength": move.strength}
    return [{**told, "hormone": name, "delta": by, "level": level} for by, level, name in changes if abs(by) >= _SHOWN_MIN]


def _name(asked: Arguments) -> str:
    name = asked.get("agent")
    if not isinstance(name, str) or not name:
        raise BadMessage('"agent" is the name of an agent')
    return name
