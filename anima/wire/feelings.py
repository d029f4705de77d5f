"""What a feeling is made of: the hormones, the stimuli, and the plain shapes in which both cross a process boundary.

Levels are seven floats in [0, 100], in the order of HORMONES. A soul is a matrix of gains, one row per stimulus, one
column per hormone, 1.0 neutral, each in [0, 3].
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anima.errors import BadMessage

HORMONES = ("dopamine", "serotonin", "oxytocin", "testosterone", "cortisol", "endorphins", "frustration")

#: What can happen to somebody who feels. Where each comes from is anima/thymos/notice.py.
STIMULI = (
    "tool_failed",
    "tool_succeeded",
    "message",
    "praise",
    "criticism",
    "gratitude",
    "question_unanswered",
    "silence",
    "task_finished",
    "task_failed",
    "goal_reached",
    "deadline_near",
    "repetition",
    "novelty",
    "crash",
    "return",
    "budget_low",
    "pleasant_memory",
    "painful_memory",
    "threat",
)

HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Gland:
    """Where one hormone rests, and how fast it returns there."""

    baseline: float  #: 0 to 100
    half_life_s: float


GLANDS: dict[str, Gland] = {
    "dopamine": Gland(40.0, 2 * HOUR_S),
    "serotonin": Gland(50.0, 12 * HOUR_S),
    "oxytocin": Gland(25.0, 24 * HOUR_S),
    "testosterone": Gland(35.0, 6 * HOUR_S),
    "cortisol": Gland(10.0, 1.5 * HOUR_S),
    "endorphins": Gland(15.0, 3 * HOUR_S),
    "frustration": Gland(0.0, 0.5 * HOUR_S),
}

LEVEL_MAX = 100.0
GAIN_MAX = 3.0
STRENGTH_MAX = 10.0  #: of one stimulus; 1.0 is the usual

#: What feelings may do to resources: factors on what is configured, 1.0 leaves it as it is; from, to.
SHARES: dict[str, tuple[float, float]] = {
    "thinking": (1.0, 3.0),  # of the thinking budget
    "heartbeat": (0.5, 2.0),  # of the interval between heartbeats: curious, worn out
    "steps": (0.5, 1.0),  # of the steps of a turn: persistence may shrink, the limit stays the limit
    "recall": (0.5, 1.5),  # of the memories that come to mind
    "tier": (0.5, 1.0),  # of the model's: below 1 is weary, and leaves the turn to the fast one
}

Gains = dict[str, tuple[float, ...]]  #: by stimulus, one number per hormone; a stimulus that is not there is neutral
NEUTRAL: tuple[float, ...] = (1.0,) * len(HORMONES)


def levels_by_name(levels: tuple[float, ...]) -> dict[str, float]:
    """Levels as a map from hormone to level."""
    return dict(zip(HORMONES, levels, strict=True))


def bounded(shares: Mapping[str, Any]) -> dict[str, float]:
    """All of SHARES, each within its bounds; what is missing or no number is 1.0."""
    found = {}
    for name, (least, most) in SHARES.items():
        value = shares.get(name, 1.0)
        known = type(value) in (int, float) and math.isfinite(value)
        found[name] = min(max(float(value), least), most) if known else 1.0
    return found


def check_stimulus(name: str, strength: float) -> None:
    """Raises BadMessage, naming the nearest that exists, for a stimulus nobody knows or a strength that is none."""
    if name not in STIMULI:
        raise BadMessage(f"there is no stimulus '{name}'; there are {', '.join(STIMULI)}")
    if not (math.isfinite(strength) and 0 < strength <= STRENGTH_MAX):
        raise BadMessage(f"a strength of {strength} is out of range; it lies above 0 and up to {STRENGTH_MAX:g}")


def read_gains(found: Mapping[str, Any]) -> Gains:
    """The matrix in a map {stimulus: {hormone: gain}}; what is not named is neutral.

    Raises BadMessage for unknown names, for what is no number, and for gains outside [0, GAIN_MAX].
    """
    gains: Gains = {}
    for stimulus, row in found.items():
        check_stimulus(stimulus, 1.0)
        if not isinstance(row, Mapping):
            raise BadMessage(f"{stimulus} is no table; write {stimulus} = {{ frustration = 1.2 }}")
        values = list(NEUTRAL)
        for hormone, gain in row.items():
            if hormone not in HORMONES:
                raise BadMessage(f"{stimulus}: there is no hormone '{hormone}'; there are {', '.join(HORMONES)}")
            if type(gain) not in (float, int) or not 0 <= gain <= GAIN_MAX:  # which a NaN is not either
                raise BadMessage(f"{stimulus}.{hormone} is {gain!r}; a gain is a number from 0 to {GAIN_MAX:g}")
            values[HORMONES.index(hormone)] = float(gain)
        gains[stimulus] = tuple(values)
    return gains


def write_gains(gains: Gains) -> dict[str, dict[str, float]]:
    """The map that `read_gains` reads: only what is not neutral."""
    return {
        stimulus: named
        for stimulus, row in gains.items()
        if (named := {hormone: gain for hormone, gain in zip(HORMONES, row, strict=True) if gain != 1.0})
    }
