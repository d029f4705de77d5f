"""Which tools a model with a small window is shown: those whose keywords a text touches. Pure functions."""

import re
from collections.abc import Sequence

from anima.tools.tool import Tool

ALWAYS = "list_tools"  #: how a model finds what it was not shown

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ing", "ed", "es", "s")


def recall(tools: Sequence[Tool], text: str, most: int) -> list[Tool]:
    """Those of `tools` that have to do with the text, the closest first, at most `most`; `list_tools` is always among them.

    A tool named in the text comes before one that shares words with it.
    """
    always = [card for card in tools if card.name == ALWAYS]
    found = [card for card in matching(tools, text) if card.name != ALWAYS]
    return found[: max(0, most - len(always))] + always


def matching(tools: Sequence[Tool], text: str) -> list[Tool]:
    """Those of `tools` with a keyword in the text, the most keywords first, else in their own order."""
    named = set(re.findall(r"\w+", text.lower()))
    words = {_stem(word) for word in _WORD.findall(text.lower())}
    scored = [(len(words & _words_of(card)) + 100 * (card.name in named and card.name in text), card) for card in tools]
    return [card for score, card in sorted(scored, key=lambda pair: -pair[0]) if score]


def _words_of(card: Tool) -> set[str]:
    return {_stem(word.lower()) for word in (*card.keywords, *card.name.split("_"))}


def _stem(word: str) -> str:
    """A word without its commonest endings, so that `files` meets `file`. Crude, and enough for a list of keywords."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:  # noqa: PLR2004
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e") if len(word) > 3 else word  # noqa: PLR2004
