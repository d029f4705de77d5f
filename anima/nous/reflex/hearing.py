"""What was said, taken apart: the words of the person on one side, attached text on the other.

Only the person's own words are ever obeyed. Attached text (fenced, or too long to have been typed) may hold anything,
a web page or somebody's file, so it is summarised and counted, never followed. A short unfenced text that came through
a pipe cannot be told from typing; whoever sends it marks it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from anima.nous.model import Message, Request

TYPED_LINES_MAX = 6  # more than this nobody types at a prompt
TYPED_CHARS_MAX = 800

#: The one request that is looked for around a long unfenced text, at its first or last line.
ASKS_FOR_SUMMARY = re.compile(
    r"(?:please\s+|bitte\s+|can\s+you\s+|could\s+you\s+|kannst\s+du\s+)?"
    r"(?:(?:summari[sz]e|sum\s+up|shorten|tl;?\s?dr|give\s+me\s+(?:a|the)\s+summary(?:\s+of)?|summary(?:\s+of)?|"
    r"what\s+is\s+(?:this|it|that)\s+about)\b.{0,80}|"
    r"(?:fasse?\b.{0,60}\bzusammen|zusammenfassung\b.{0,60}|worum\s+geht\s+es\b.{0,60}|k(?:ü|ue)rze\b.{0,60}))",
    re.IGNORECASE,
)
_OWN = "own-"  # how calls begin that the agent makes itself, to be shown what is in its mind
_SAID = re.compile(r"^- \[[^\]\n]*\] [^\n]*?, user: ([^\n]+)$", re.MULTILINE)  # a line of what came to mind
_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})(?P<info>[^`]*)")


@dataclass(frozen=True, slots=True)
class Attached:
    """A text the person handed over, with what it was called."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Heard:
    """One message, taken apart."""

    words: str  #: what the person says; "" if there is nothing but attached text
    attached: tuple[Attached, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What of the session is in view."""

    now: Heard  #: the message to be answered
    said: tuple[Heard, ...]  #: the person's earlier messages, oldest first, what came to mind before what is in view
    answers: tuple[str, ...]  #: ours, oldest first
    results: tuple[Message, ...]  #: what tools returned since the message to be answered
    request: Request


def listen(request: Request) -> Conversation:
    """The conversation in a request. The last user message is the one to be answered."""
    asked = max((at for at, each in enumerate(request.messages) if each.role == "user"), default=-1)
    before, after = request.messages[: max(asked, 0)], request.messages[asked + 1 :]
    return Conversation(
        now=hear(request.messages[asked].text) if asked >= 0 else Heard(""),
        said=(*_recalled(after), *(hear(each.text) for each in before if each.role == "user")),
        answers=tuple(each.text for each in before if each.role == "assistant" and each.text),
        results=tuple(each for each in after if each.role == "tool" and not each.call_id.startswith(_OWN)),
        request=request,
    )


def _recalled(after: Sequence[Message]) -> tuple[Heard, ...]:
    """What the person said long ago, as it came to mind: before all that is in view, what fits best last."""
    told = (each.text for each in after if each.role == "tool" and each.call_id.startswith(f"{_OWN}recall"))
    return tuple(hear(words) for text in told for words in reversed(_SAID.findall(text)))


def hear(text: str) -> Heard:
    """Take one message apart."""
    text = text.replace("\r\n", "\n")
    outside, attached = _unfence(text.split("\n"))
    words = "\n".join(outside).strip().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    if len(words) <= TYPED_CHARS_MAX and words.count("\n") < TYPED_LINES_MAX:
        return Heard(words, tuple(attached))
    for request, rest in _ends(text.strip()):  # whatever is fenced in a text this long is a part of it
        if ASKS_FOR_SUMMARY.fullmatch(request.strip(" .:!?")):
            return Heard(request.strip(), (Attached("", rest.strip()),))
    return Heard("", (Attached("", text.strip()),))


def _ends(words: str) -> list[tuple[str, str]]:
    """The first line with the rest, and the last line with the rest."""
    first, _, after = words.partition("\n")
    before, _, last = words.rpartition("\n")
    return [(line, rest) for line, rest in ((first, after), (last, before)) if len(line) <= TYPED_CHARS_MAX and rest.strip()]


def _unfence(lines: list[str]) -> tuple[list[str], list[Attached]]:
    """Lines outside of fences, and what stood inside. A fence that is never closed reaches to the end."""
    outside: list[str] = []
    attached: list[Attached] = []
    inside: list[str] = []
    marks, label = "", ""
    for line in lines:
        fence = _FENCE.fullmatch(line)
        if not marks and fence:
            marks, label = fence["marks"], _label(outside) or fence["info"].strip()
            inside = []
        elif marks and fence and not fence["info"].strip() and fence["marks"].startswith(marks):
            attached.append(Attached(label, "\n".join(inside)))
            marks = ""
        else:
            (inside if marks else outside).append(line)
    if marks:
        attached.append(Attached(label, "\n".join(inside)))
    return outside, attached


def _label(outside: list[str]) -> str:
    """The line just before a fence, if it is a name: `[notes.md]` as the command line writes it, or `notes.md:`. Taken out."""
    line = outside[-1].strip() if outside else ""
    found = re.fullmatch(r"\[(?P<bracketed>[^\[\]]{1,200})\]|(?P<colon>[^\n]{1,100}):", line)
    if not found or ASKS_FOR_SUMMARY.fullmatch(line.rstrip(": ")):
        return ""
    outside.pop()
    return (found["bracketed"] or found["colon"]).strip()
