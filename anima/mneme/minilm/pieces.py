"""A text as the pieces of words that BERT's models read: lower case, no accents, the longest known piece first. Pure.

The same as `tokenizers` of Hugging Face does for this model (Devlin et al. 2018, "WordPiece"). That package is not used because
it brings fifteen others, among them the client of a server that models are downloaded from.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_WORD_CHARS_MAX = 100  # a longer one is no word
_WIDE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class Pieces:
    """The known pieces, by their numbers."""

    def __init__(self, vocabulary: Sequence[str], longest: int) -> None:
        self._known = {piece: number for number, piece in enumerate(vocabulary)}
        self._longest = longest
        self._begin, self._end, self._unknown = (self._known[each] for each in ("[CLS]", "[SEP]", "[UNK]"))
        self._word = lru_cache(maxsize=20_000)(self._split)

    def of(self, text: str) -> list[int]:
        """The numbers of a text's pieces, between those for its begin and its end, `longest` at most."""
        numbers = [self._begin]
        for word in words(text):
            numbers += self._word(word)
            if len(numbers) >= self._longest:
                break
        return [*numbers[: self._longest - 1], self._end]

    def _split(self, word: str) -> tuple[int, ...]:
        if len(word) > _WORD_CHARS_MAX:
            return (self._unknown,)
        found: list[int] = []
        start = 0
        while start < len(word):
            lead = "##" if start else ""
            for end in range(len(word), start, -1):
                if (number := self._known.get(lead + word[start:end])) is not None:
                    break
            else:
                return (self._unknown,)
            found.append(number)
            start = end
        return tuple(found)


def words(text: str) -> list[str]:
    """Words and single signs, in lower case and without accents."""
    if text.isascii():
        plain = text.lower()
    else:
        bare = "".join(each for each in unicodedata.normalize("NFD", text) if unicodedata.category(each) != "Mn")
        plain = bare.lower()
    return "".join(_apart(each) for each in plain).split()


@lru_cache(maxsize=4_096)
def _apart(sign: str) -> str:
    """A sign as it stands among others: alone, as space, or not at all."""
    code = ord(sign)
    if sign in "\t\n\r" or unicodedata.category(sign) == "Zs":
        return " "
    if code in (0, 0xFFFD) or unicodedata.category(sign) in ("Cc", "Cf", "Co"):
        return ""
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126  # noqa: PLR2004 - ASCII's own
    if ascii_sign or unicodedata.category(sign).startswith("P") or any(low <= code <= high for low, high in _WIDE):
        return f" {sign} "
    return sign
