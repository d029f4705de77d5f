"""What a rule is given and what it gives back, and the two languages the reflex speaks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from anima.nous.model import Call
from anima.nous.reflex.hearing import Conversation

Lang = str  #: "en" or "de"


@dataclass(frozen=True, slots=True)
class Answer:
    """Words, or a call of a tool with the words that come before it."""

    text: str
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The rule that fits, on what, in which language."""

    found: re.Match[str]
    lang: Lang
    conversation: Conversation

    def group(self, *names: str) -> str:
        """The first of these groups that exists and matched, without spaces around it; else ""."""
        groups = self.found.groupdict()
        return next((groups[name].strip() for name in names if groups.get(name)), "")

    def say(self, en: str, de: str) -> Answer:
        """The answer in the language of the question."""
        return Answer(de if self.lang == "de" else en)

    @property
    def facts(self) -> Mapping[str, str]:
        """The runtime context."""
        return self.conversation.request.facts


_GERMAN = frozenset(
    re.findall(
        r"\w+",
        "ich du der die das und ist nicht ein eine wie was wer wo warum mir dir mich dich mein dein bitte kannst den im",
    ),
)
_ENGLISH = frozenset(
    re.findall(r"\w+", "i you the and is not a an how what who where why me my your please can do does are of to in"),
)


def language(words: str) -> Lang:
    """Which of the two a text is rather in; English if in doubt."""
    tokens = re.findall(r"\w+", words.casefold())
    german = sum(each in _GERMAN for each in tokens) + sum(character in words for character in "äöüßÄÖÜ")
    return "de" if german > sum(each in _ENGLISH for each in tokens) else "en"


def quoted(text: str, chars_max: int = 500) -> str:
    """`text` on one line in quotation marks, not endless."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= chars_max else line[: chars_max - 1] + '…'}”"


def fenced(text: str) -> str:
    """`text` between fences longer than any in it."""
    longest = max((len(each) for each in re.findall(r"`{3,}", text)), default=2)
    marks = "`" * (longest + 1)
    return f"{marks}\n{text}\n{marks}"
