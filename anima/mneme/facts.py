"""Whether a new fact is one that is known: the same, nearly the same, or one that an old fact has to make room for. Pure.

Words are compared, not meanings, so this works before any vector is there and comes out the same on every machine:

    the same      the words are the same, but for case, marks and articles
    nearly        the shares of common words (Jaccard) reach ALIKE, and no number, name or negation tells them apart
    against       they say of the same thing, with the same verb, another value where only one can hold ("lives in", "is
                  called", "favourite ... is"); or one denies what the other says

What is missed stands beside the old one, newest first: a memory too many, never one too few.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ALIKE = 0.8  # of Jaccard: below it two facts about one thing begin to differ in what they say
_FILLING = frozenset(
    re.findall(
        r"\w+",
        "a an the that this my your his her its their our of to in at on for and also really very just now currently please "
        "der die das ein eine dass mein dein sein ihr von zu im am auf für und auch sehr gerade jetzt",
    )
)
_DENIALS = frozenset(
    re.findall(r"\w+", "not no never nor without nicht kein keine keinen nie dont doesnt isnt wasnt cant wont")
)
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")

#: Verbs after which only one thing is true at a time; what stands before them and they themselves say what it is about.
_ONLY_ONE = re.compile(
    r"(?i)\b(?:name is|is called|is named|is \d+ years old|is married to|was born (?:in|on)|lives? (?:in|at|on|with)|"
    r"moved to|works? (?:as|at|for|in)|favorite [\w ]{1,40}? is|birthday is|address is|number is|email is|"
    r"(?:phone|job|age|wife|husband|partner|boss|dog|cat|car|time zone|language) is|prefers? to be called|heißt|wohnt in|"
    r"lebt in|arbeitet (?:als|bei)|name ist|lieblings\w+ ist|geburtstag ist)(?:\s+|$)"
)
_SPELLED = (("favourite", "favorite"), ("colour", "color"))
_SAME_ABOUT = {
    "moved to": "lives in",
    "live in": "lives in",
    "works in": "works at",
    "work at": "works at",
    "lebt in": "wohnt in",
}

Sort = Literal["new", "same", "alike", "against"]


@dataclass(frozen=True, slots=True)
class Known:
    """What a fact is to those there are: `memory` is the one it repeats or contradicts."""

    sort: Sort
    memory: str = ""


def compare(text: str, others: Iterable[tuple[str, str]]) -> Known:
    """What `text` is beside `others` (id, text): the best match wins, a repetition before a contradiction."""
    text = _plain(text)
    mine = _words(text)
    against = ""
    alike: tuple[float, str] = (0.0, "")
    for memory, told in others:
        other = _plain(told)
        theirs = _words(other)
        if mine == theirs:
            return Known("same", memory)
        if _contradicts(text, other):
            against = against or memory
        elif (shared := _alike(set(mine), set(theirs))) > alike[0]:
            alike = (shared, memory)
    if alike[0] >= ALIKE:
        return Known("alike", alike[1])
    return Known("against", against) if against else Known("new")


def _plain(text: str) -> str:
    text = text.casefold()
    for written, meant in _SPELLED:
        text = text.replace(written, meant)
    return text


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(_APOSTROPHE.sub("", text).casefold()) if word not in _FILLING]


def _alike(mine: set[str], theirs: set[str]) -> float:
    """The share of common words; 0 if what only one of them says is a number or a denial."""
    if not mine or not theirs:
        return 0.0
    if any(word in _DENIALS or any(each.isdigit() for each in word) for word in mine ^ theirs):
        return 0.0
    return len(mine & theirs) / len(mine | theirs)


def _contradicts(text: str, other: str) -> bool:
    mine, theirs = set(_words(text)), set(_words(other))
    if _denied(mine) != _denied(theirs) and _stems(mine - _DENIALS) == _stems(theirs - _DENIALS):
        return True
    ours, others = _claim(text), _claim(other)
    return bool(ours and others and ours[0] == others[0] and ours[1] != others[1])


def _denied(words: set[str]) -> bool:
    return bool(words & _DENIALS)


def _stems(words: set[str]) -> set[str]:
    """Words without the ending of the third person, so that "likes" meets "does not like"."""
    return {word.removesuffix("s") for word in words if word not in ("do", "does", "did", "any", "longer", "more")}


def _claim(text: str) -> tuple[tuple[str, ...], frozenset[str]] | None:
    """What it is about, and the value that it says of it; None if several may be true."""
    found = _ONLY_ONE.search(text)
    if not found:
        return None
    verb = " ".join(found[0].casefold().split())
    verb = re.sub(r"\d+", "#", _SAME_ABOUT.get(verb, verb))
    about = (*sorted(_words(text[: found.start()])), verb)
    return about, frozenset(_words(f"{found[0] if '#' in verb else ''} {text[found.end() :]}"))
