"""Levels of hormones over time: decay, and what one stimulus does. Pure; time is whatever the caller says it is.

levels(t) --decay--> levels(t + dt) --stimulus--> levels'(t + dt)

delta[hormone] = base[stimulus][hormone] * gain[stimulus][hormone] * strength
a rise is damped by the couplings, then the sum is clamped to [0, 100]
"""

from collections.abc import Mapping

from anima.thymos.decay import decayed
from anima.thymos.glands import BASES, DAMPERS
from anima.wire.feelings import GLANDS, HORMONES, LEVEL_MAX, NEUTRAL, Gains, Gland

Levels = tuple[float, ...]
Rest = tuple[tuple[float, float], ...]  #: baseline and half-life of each hormone


def rest(glands: Mapping[str, Gland] = GLANDS) -> Rest:
    """The glands by place."""
    return tuple((glands[name].baseline, glands[name].half_life_s) for name in HORMONES)


DEFAULT_REST = rest()


def born(resting: Rest = DEFAULT_REST) -> Levels:
    """The levels of somebody to whom nothing has happened yet."""
    return tuple(baseline for baseline, _ in resting)


def after(levels: Levels, elapsed_s: float, resting: Rest = DEFAULT_REST) -> Levels:
    """The levels when `elapsed_s` have gone by in which nothing happened."""
    if elapsed_s <= 0:
        return levels
    return tuple(
        [
            decayed(level, baseline, half_life_s, elapsed_s)
            for level, (baseline, half_life_s) in zip(levels, resting, strict=True)
        ]
    )


def moved(levels: Levels, stimulus: str, strength: float, gains: Gains) -> Levels:
    """The levels after a stimulus that `check_stimulus` lets through. All hormones answer at once, to what was before."""
    row, bases = gains.get(stimulus, NEUTRAL), BASES[stimulus]
    moving = list(levels)
    for place, base in enumerate(bases):
        if not base:
            continue
        delta = base * row[place] * strength
        if delta > 0:
            for source, share in DAMPERS[place]:
                delta *= 1.0 - share * levels[source]
        moving[place] = _clamped(levels[place] + delta)
    return tuple(moving)


def _clamped(level: float) -> float:
    return 0.0 if level < 0.0 else min(level, LEVEL_MAX)
