"""Text in pieces the size of a word, for providers that have all of it at once and still stream."""

import re

_WORD = re.compile(r"\s*\S+|\s+")


def words(text: str) -> list[str]:
    """`text` in pieces of one word each, with the space before it; joined they are the text."""
    return _WORD.findall(text)
