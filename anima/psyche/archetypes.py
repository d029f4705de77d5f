"""Where a soul comes from: one of the archetypes, or a seed."""

import random
import tomllib
from functools import cache
from importlib.resources import files

from anima.errors import Refused
from anima.wire.feelings import HORMONES, STIMULI, Gains, read_gains

_SPREAD = 0.35  # of seeded gains around 1.0; within [1 - 2 * spread, 1 + 2 * spread]


@cache
def archetypes() -> dict[str, Gains]:
    """The souls that come with the house, by name."""
    found = tomllib.loads(files("anima.psyche").joinpath("archetypes.toml").read_text("utf-8"))
    return {name: read_gains(matrix) for name, matrix in found.items()}


def archetype(name: str) -> Gains:
    """One of them; `neutral` is the empty matrix. Raises Refused, naming those there are."""
    if name == "neutral":
        return {}
    if name not in archetypes():
        raise Refused(f"there is no archetype '{name}'; there are {', '.join(names())}, and seed:TEXT")
    return dict(archetypes()[name])


def names() -> list[str]:
    """What can be had by name."""
    return ["neutral", *archetypes()]


def named(name: str) -> Gains:
    """An archetype, or with seed:TEXT the soul of that seed. Raises Refused."""
    return seeded(name.removeprefix("seed:")) if name.startswith("seed:") else archetype(name)


def seeded(seed: str) -> Gains:
    """The soul of a seed: the same for the same seed, on every machine. Gains lie within 0.3 and 1.7, most near 1."""
    chance = random.Random(seed)  # noqa: S311 - Mersenne Twister seeded by text is specified by Python; secrecy is not wanted
    return {
        stimulus: tuple(round(1.0 + _SPREAD * (chance.random() + chance.random() - 1.0) * 2, 3) for _ in HORMONES)
        for stimulus in STIMULI
    }
