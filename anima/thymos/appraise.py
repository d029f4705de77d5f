"""What words do to somebody who feels, by a small lexicon: offline, quick, the same on every machine.

What it does not understand: irony, quotation, and whatever is not in lexicon.toml. `[thymos] appraisal = "model"` lets
a model judge instead.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from anima.errors import ConfigError
from anima.wire.feelings import check_stimulus

CHARS_MAX = 4_000  # of a message; what stands behind them is a document, not a word to anybody
_NEGATION_WORDS = 3  # so far before a phrase a negation still means it
_OPPOSITE = {"praise": "criticism", "criticism": "praise"}  # the rest, negated, is nothing
_SHARE_OF_OPPOSITE = {"criticism": 0.7, "praise": 0.5}  # "not good" is milder than "bad", "not bad" than "good"
_SHOUT = 1.3  # an exclamation mark
STRENGTH_MAX = 2.0  # of one kind in one message, however often it is said
_WORD = re.compile("[^\\W_]+(?:['\u2019][^\\W_]+)*")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Phrases by their first word, the longest first, each with what it is a stimulus of."""

    phrases: dict[str, list[tuple[tuple[str, ...], str, float]]]
    negations: frozenset[str]


def read_lexicon(text: str, where: str) -> Lexicon:
    """The lexicon in a TOML text. Raises ConfigError naming what is wrong in `where`."""
    try:
        found = tomllib.loads(text)
        phrases = [
            (tuple(_words(phrase)), str(entry["stimulus"]), float(entry["strength"]))
            for entry in found["entry"]
            for phrase in entry["phrases"]
        ]
        negations = frozenset(map(str, found["negations"]))
        for words, stimulus, strength in phrases:
            check_stimulus(stimulus, strength)
            if not words:
                raise ConfigError(f"{where}: a phrase of {stimulus} has no words")
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: not a lexicon: {error!r}") from error
    by_first: dict[str, list[tuple[tuple[str, ...], str, float]]] = {}
    for each in sorted(phrases, key=lambda each: -len(each[0])):
        by_first.setdefault(each[0][0], []).append(each)
    return Lexicon(by_first, negations)


@cache
def standard() -> Lexicon:
    """The lexicon that comes with the house."""
    return read_lexicon(files("anima.thymos").joinpath("lexicon.toml").read_text("utf-8"), "lexicon.toml")


def appraise(text: str, lexicon: Lexicon | None = None) -> dict[str, float]:
    """The stimuli in a message and their strengths; empty for most messages. Never raises."""
    known = lexicon or standard()
    shown = text[:CHARS_MAX]
    words = _words(shown)
    found: dict[str, float] = {}
    place = 0
    while place < len(words):
        size, stimulus, strength = _phrase_at(words, place, known)
        if stimulus and any(word in known.negations for word in words[max(0, place - _NEGATION_WORDS) : place]):
            stimulus = _OPPOSITE.get(stimulus, "")
            strength *= _SHARE_OF_OPPOSITE.get(stimulus, 0.0)
        if stimulus:
            found[stimulus] = found.get(stimulus, 0.0) + strength
        place += size
    loud = _SHOUT if "!" in shown else 1.0
    return {stimulus: min(strength * loud, STRENGTH_MAX) for stimulus, strength in found.items()}


def _phrase_at(words: Sequence[str], place: int, lexicon: Lexicon) -> tuple[int, str, float]:
    """The longest phrase that begins at this word: how many words it has, its stimulus and strength; else (1, "", 0)."""
    for phrase, stimulus, strength in lexicon.phrases.get(words[place], ()):
        if tuple(words[place : place + len(phrase)]) == phrase:
            return len(phrase), stimulus, strength
    return 1, "", 0.0


def _words(text: str) -> list[str]:
    return [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]
