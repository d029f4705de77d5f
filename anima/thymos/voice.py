"""From levels to words: what an agent feels, said as its own inner voice. Numbers and hormones never leave this module.

A feeling is there while the levels lie in its ranges, and a little longer: it ends when one of them is `hysteresis`
outside. Feelings that contradict each other coexist; which are said first is in the table, feelings.toml.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from anima.errors import ConfigError
from anima.thymos.levels import Levels
from anima.wire.feelings import HORMONES, LEVEL_MAX

_KNOWN_MAX = 10_000  # combinations of passed bounds that are remembered
_CHARS_PER_TOKEN = 3.5  # of prose in European languages; an estimate that errs on the side of more tokens
_FORBIDDEN = re.compile(r"\d|" + "|".join(name for name in HORMONES), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Feeling:
    """One row of the table."""

    name: str
    ranges: tuple[tuple[int, float, float], ...]  #: place of the hormone, from, to; "to" is outside unless it is the top
    say: str
    first: float
    band: str = ""  #: of feelings in one band at most one is there at a time

    def there(self, levels: Levels, slack: float) -> bool:
        """Whether the levels lie in all ranges, widened by `slack`."""
        for place, low, high in self.ranges:
            if not (low - slack <= levels[place] and (levels[place] < high + slack or high == LEVEL_MAX)):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The feelings of one language, the most urgent first."""

    feelings: tuple[Feeling, ...]
    hysteresis: float
    tokens_max: int
    _bounds: tuple[tuple[float, ...], ...] = field(init=False, repr=False, compare=False)
    _known: dict[tuple[object, ...], tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bounds: list[set[float]] = [set() for _ in HORMONES]
        for each in self.feelings:
            for place, low, high in each.ranges:
                bounds[place] |= {low, low - self.hysteresis, high, high + self.hysteresis}
        object.__setattr__(self, "_bounds", tuple(tuple(sorted(each)) for each in bounds))

    def felt(self, levels: Levels, before: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Names of the feelings that are there, given those that were.

        Which they are depends on the levels only by which bounds they have passed, so that much is worked out once.
        """
        key = (before, tuple(map(bisect_right, self._bounds, levels)))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = self._known[key] = self._felt(levels, before)
        return known

    def _felt(self, levels: Levels, before: tuple[str, ...]) -> tuple[str, ...]:
        were, slack = frozenset(before), self.hysteresis
        there = [each for each in self.feelings if each.there(levels, slack if each.name in were else 0.0)]
        kept = {each.band for each in there if each.name in were}  # in a band, what was there stays as long as it may
        return tuple(each.name for each in there if not each.band or each.name in were or each.band not in kept)

    def words(self, felt: Iterable[str]) -> str:
        """What is heard of these feelings, one line each, the most urgent first, as far as the tokens reach; "" is silence."""
        named = frozenset(felt)
        said: list[str] = []
        left = self.tokens_max * _CHARS_PER_TOKEN
        for each in self.feelings:
            if each.name in named and len(each.say) + 1 <= left:
                said.append(each.say)
                left -= len(each.say) + 1
        return "\n".join(said)


def read_vocabulary(text: str, language: str, where: str) -> Vocabulary:
    """The feelings of `language` in a TOML text. Raises ConfigError naming the feeling and what is wrong with it."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from None
    languages = sorted(name for name, value in found.items() if isinstance(value, dict))
    if language not in languages:
        raise ConfigError(f"{where}: there are no feelings in '{language}'; there are {', '.join(languages) or 'none'}")
    hysteresis, tokens_max = found.get("hysteresis", 3.0), found.get("tokens_max", 60)
    if type(hysteresis) not in (int, float) or not 0 <= hysteresis <= LEVEL_MAX:
        raise ConfigError(f"{where}: hysteresis is {hysteresis!r}; it is a number of levels, 3 for instance")
    if type(tokens_max) is not int or tokens_max < 0:
        raise ConfigError(f"{where}: tokens_max is {tokens_max!r}; it is a whole number, 60 for instance")
    feelings = [_feeling(f"{where}: {language}.{name}", name, row) for name, row in found[language].items()]
    return Vocabulary(tuple(sorted(feelings, key=lambda each: -each.first)), float(hysteresis), tokens_max)


@cache
def standard(language: str = "en") -> Vocabulary:
    """The feelings that come with the house. Raises ConfigError for a language they are not written in."""
    return read_vocabulary(files("anima.thymos").joinpath("feelings.toml").read_text("utf-8"), language, "feelings.toml")


def _feeling(where: str, name: str, row: Any) -> Feeling:
    if not isinstance(row, dict) or set(row) - {"when", "say", "first", "band"} or not isinstance(row.get("when"), dict):
        raise ConfigError(f"{where}: a feeling has when, say, first and perhaps band, and nothing else")
    say = row.get("say")
    if not isinstance(say, str) or not say.strip() or "\n" in say:
        raise ConfigError(f"{where}: say is one line of words")
    if forbidden := _FORBIDDEN.search(say):
        raise ConfigError(f"{where}: '{forbidden[0]}' is not felt by anybody; say it without numbers and names of hormones")
    first = row.get("first", 0)
    if type(first) not in (int, float):
        raise ConfigError(f"{where}: first is {first!r}; it is a number")
    return Feeling(name, _ranges(where, row["when"]), say, float(first), str(row.get("band", "")))


def _ranges(where: str, when: Mapping[str, Any]) -> tuple[tuple[int, float, float], ...]:
    ranges = []
    for hormone, bounds in when.items():
        if hormone not in HORMONES:
            raise ConfigError(f"{where}: there is no hormone '{hormone}'; there are {', '.join(HORMONES)}")
        numbers = isinstance(bounds, list) and len(bounds) == 2 and all(type(each) in (int, float) for each in bounds)  # noqa: PLR2004
        if not numbers or not 0 <= bounds[0] < bounds[1] <= LEVEL_MAX:
            raise ConfigError(f"{where}: {hormone} is {bounds!r}; write [from, to] within 0 and {LEVEL_MAX:g}")
        ranges.append((HORMONES.index(hormone), float(bounds[0]), float(bounds[1])))
    if not ranges:
        raise ConfigError(f"{where}: when names no hormone; it would always be there")
    return tuple(ranges)
