"""What a question asks for: its telling words, the people it names, the times it speaks of. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from anima.mneme.dates import Span, spans

TERMS_MAX = 64  # words of a query that are looked up
_TERM = re.compile(r"[^\W_]+")
_WHEN = re.compile(
    r"\b(when|how long|since|what (?:date|day|month|year)|which (?:month|year)"
    r"|wann|wie lange|seit|welche[sn]? (?:tag|monat|jahr))\b"
)
#: A memory with one of these speaks of a time; so does "this summer", "vor drei Tagen".
_TIMES = frozenset(
    re.findall(
        r"\w+",
        """yesterday today tonight tomorrow ago last next recently week weeks weekend weekends month months year years
        monday tuesday wednesday thursday friday saturday sunday
        january february march april may june july august september october november december
        gestern heute morgen vorgestern letzte letzten letzter letztes nächste nächsten nächster nächstes woche monat jahr seit
        montag dienstag donnerstag freitag samstag sonntag mittwoch""",
    )
)
_TIMES_OF_TWO = re.compile(r"\bthis (?:morning|summer|winter|fall|spring)\b|\bvor \w+ (?:tag|woche|monat|jahr)")

#: Words in nearly every sentence, English and German: what else is asked for decides, and these cost the most.
SAY_NOTHING = frozenset(
    re.findall(
        r"\w+",
        """a about am an and any are as at be been but by can could did do does for from had has have he her him his how i if in
        into is it its just me my no not of on or our she should so some than that the their them then there these they this
        to up us was we were what when where which who whom whose why will with would you your
        aber als am an auch auf aus bei bin bist da das dass dem den der des die du ein eine einen er es für hab habe haben hat
        hatte ich ihm ihn ihr im in ist ja kann man mein mich mir mit nach nicht noch nur ob oder sein sich sie sind so über um
        und uns von vor war was wann wer wo wie wir wird zu zum zur""",
    )
)

QUESTION, TIMED = 1, 2  #: marks of a memory: it asks, it speaks of a time


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, understood as far as rules go."""

    terms: tuple[str, ...]  #: to be looked up, each once
    names: frozenset[str]  #: speakers it names, as they are written
    spans: tuple[Span, ...]  #: times it names
    when: bool  #: it asks for a time
    meant: str  #: without the names, for a model of meaning: what is said by a person seldom holds their name


def understood(query: str, speakers: Collection[str], now: float) -> Asked:
    """A question as these speakers' memories are asked it, at `now` (seconds since 1970; 0: nobody knows when)."""
    words = [word.casefold() for word in _TERM.findall(query)]
    named = {speaker for speaker in speakers if (parts := _TERM.findall(speaker.casefold())) and _holds(words, parts)}
    known = {part for speaker in named for part in _TERM.findall(speaker.casefold())}
    rest = [word for word in dict.fromkeys(words) if word not in known]
    telling = [word for word in rest if word not in SAY_NOTHING and word != "s"] or rest or list(dict.fromkeys(words))
    meant = _without(query, named) if rest else query
    when = bool(_WHEN.search(query.casefold()))
    return Asked(tuple(telling[:TERMS_MAX]), frozenset(named), tuple(spans(query, now)) if now else (), when, meant)


def looks(text: str) -> tuple[int, int]:
    """How many words a memory has, and its marks: what it is, as far as a question cares."""
    folded = text.casefold()
    words = _TERM.findall(folded)
    timed = not _TIMES.isdisjoint(words) or bool(_TIMES_OF_TWO.search(folded))
    return len(words), QUESTION * text.rstrip().endswith(("?", "\uff1f")) | TIMED * timed


def _holds(words: list[str], parts: list[str]) -> bool:
    """Whether a name stands in a question: in whole, or by its first word ("Ada" for "Ada Lovelace")."""
    return parts[0] in words and parts[0] not in SAY_NOTHING


def _without(query: str, names: Collection[str]) -> str:
    words = {word for name in names for word in re.findall(r"[^\W_]+", name)}
    if not words:
        return query
    every = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"\b(?:{every})\b(?:['\u2019]s\b)?", "", query, flags=re.IGNORECASE).strip() or query
