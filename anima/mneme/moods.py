"""How an agent feels at a moment, as a memory keeps it: how far each hormone is from where it rests.

Asked of thymos while something happens; what is folded later has no mood, because nobody knows it any more.
"""

import time
from collections.abc import Mapping

from anima.bus.bus import Bus
from anima.errors import AnimaError
from anima.limits import feel_pause_s, feel_timeout_s

YOUNG_S = 2.0  # a mood that is not older is not asked for again
_TOLD_MIN = 0.5  # a level so near its rest is at rest
_PLEASANT = ("dopamine", "serotonin", "oxytocin", "endorphins")
_PAINFUL = ("cortisol", "frustration")
_FELT_MIN = 8.0  # of all hormones together; a weaker mood is not felt again
_FELT_USUAL = 40.0  # is recalled with strength 1
_STRENGTH_MAX = 2.0


class Moods:
    """Of all agents, as thymos tells them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, tuple[float, dict[str, float]]] = {}
        self._quiet_until = 0.0

    async def of(self, agent: str) -> dict[str, float]:
        """The mood of now; {} if thymos does not say. Takes `feel_timeout_s` at most, and not again for a while if in vain."""
        now = time.monotonic()
        at, mood = self._known.get(agent, (0.0, {}))
        if now - at < YOUNG_S and agent in self._known:
            return mood
        if now < self._quiet_until:
            return {}
        try:
            told = await self._bus.ask("thymos", "show", feel_timeout_s, agent=agent)
            mood = mood_of(told["levels"], told["baselines"])
        except (AnimaError, KeyError, TypeError, ValueError):
            self._quiet_until = now + feel_pause_s
            return {}
        self._known[agent] = (now, mood)
        return mood


def mood_of(levels: Mapping[str, float], rest: Mapping[str, float]) -> dict[str, float]:
    """How far each level is from its rest, where that is worth telling."""
    moved = {name: round(float(level) - float(rest.get(name, level)), 1) for name, level in levels.items()}
    return {name: by for name, by in moved.items() if abs(by) >= _TOLD_MIN}


def felt(mood: Mapping[str, float]) -> tuple[str, float]:
    """What recalling a memory of that mood is: the stimulus and its strength; ("", 0) for one that leaves cold."""
    balance = sum(mood.get(name, 0.0) for name in _PLEASANT) - sum(mood.get(name, 0.0) for name in _PAINFUL)
    if abs(balance) < _FELT_MIN:
        return "", 0.0
    strength = round(min(abs(balance) / _FELT_USUAL, _STRENGTH_MAX), 2)
    return ("pleasant_memory" if balance > 0 else "painful_memory"), strength
