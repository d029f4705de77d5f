"""What feelings do to resources: how long an agent thinks, how often it wakes, how far it persists. Bounded, and nothing else.

Feelings never widen what an agent may do: permissions, approvals and spending limits are not among these, and whoever
applies a share does so below the agent's own limit.
"""

from anima.thymos.levels import Levels
from anima.wire.feelings import GLANDS, LEVEL_MAX, bounded, levels_by_name

_WORN_OUT = 0.6  # so tired somebody leaves work to the fast model: serotonin below 20


def shares(levels: Levels) -> dict[str, float]:
    """What these levels do, by the names of SHARES and within its bounds.

    The thinking budget is the mission's own formula: base * (1 + frustration / 50).
    """
    named = levels_by_name(levels)
    tired = max(0.0, (50.0 - named["serotonin"]) / 50.0)
    curious = max(0.0, (named["dopamine"] - 50.0) / 50.0)
    calm = GLANDS["cortisol"].baseline
    tense = max(0.0, (named["cortisol"] - calm) / (LEVEL_MAX - calm))
    return bounded(
        {
            "thinking": 1.0 + named["frustration"] / 50.0,
            "heartbeat": 1.0 + tired - 0.5 * curious,
            "steps": 1.0 - 0.5 * max(0.0, tense - named["testosterone"] / 100.0),
            "recall": 1.0 + 0.5 * curious - 0.5 * tense,
            "tier": 0.5 if tired > _WORN_OUT else 1.0,
        }
    )


def thinking_budget(base: float, levels: Levels, most: float) -> float:
    """`base * (1 + frustration / 50)`, capped by `most`, in whatever unit both have."""
    return min(base * shares(levels)["thinking"], most)
