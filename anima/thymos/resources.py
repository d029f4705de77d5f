"""What feelings do to resources: how long an agent thinks, how often it wakes, how far it persists. Bounded, and nothing else.

Feelings never widen what an agent may do: permissions, approvals and spending limits are not among these, and whoever
applies a share does so below the agent's own limit.
"""

from dataclasses import dataclass

from anima.thymos.levels import Levels
from anima.wire.feelings import HORMONES

_PLACE = {name: place for place, name in enumerate(HORMONES)}


@dataclass(frozen=True, slots=True)
class Shares:
    """Factors on what is configured; 1.0 leaves it as it is."""

    thinking: float = 1.0  #: of the thinking budget; 1 to 3
    heartbeat: float = 1.0  #: of the interval between heartbeats; 0.5 (curious) to 2 (worn out)
    steps: float = 1.0  #: of the steps of a turn; 0.5 to 1: persistence may shrink, the limit stays the limit
    recall: float = 1.0  #: of the memories that come to mind; 0.5 to 1.5


def shares(levels: Levels) -> Shares:
    """What these levels do. The thinking budget is the mission's own formula: base * (1 + frustration / 50)."""
    named = {name: levels[place] for name, place in _PLACE.items()}
    tired = max(0.0, (50.0 - named["serotonin"]) / 50.0)
    curious = max(0.0, (named["dopamine"] - 50.0) / 50.0)
    tense = named["cortisol"] / 100.0
    return Shares(
        thinking=1.0 + named["frustration"] / 50.0,
        heartbeat=_within(1.0 + tired - 0.5 * curious, 0.5, 2.0),
        steps=_within(1.0 - 0.5 * max(0.0, tense - named["testosterone"] / 100.0), 0.5, 1.0),
        recall=_within(1.0 + 0.5 * curious - 0.5 * tense, 0.5, 1.5),
    )


def thinking_budget(base: float, levels: Levels, most: float) -> float:
    """`base * (1 + frustration / 50)`, capped by `most`, in whatever unit both have."""
    return min(base * shares(levels).thinking, most)


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
