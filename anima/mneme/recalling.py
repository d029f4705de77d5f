"""What comes to mind before a turn, as a model is shown it: within its budget, nothing it sees anyway, with age and source.

snapshots   of this conversation: weeks first, then hours; they change seldom, so they stand before the window
pinned      memories pinned for good, and the goals
recalled    what the message and the goals bring to mind; it changes with every message, so it stands at the tail
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anima.mneme.memory import Memory
from anima.wire.memories import EXTRACT, bare

#: Shares of the room a conversation has: the window gets the rest, less only what is really shown.
LEVEL2_SHARE = 0.05
LEVEL1_SHARE = 0.15
RECALL_SHARE = 0.05
PINS_SHARE = 0.05

SHOWN_CHARS = 1_200  # of one memory; the tool `view_around` shows all of it
AROUND_CHARS = 200  # of what was said right before and after it
AROUND_MAX = 3  # memories that are shown with their surroundings
NEAR_BEST = 0.5  # of the best one's score: what is further off comes to nobody's mind
FIT_MIN = 0.2  # nor does what fits less by itself; 97 % of what answers a question fit more, 31 % of another life's do not
_BYTES_PER_TOKEN = 2.3  # as anima/nous/tokens.py counts at its most careful
_HEAD = "What comes to mind, from long ago or elsewhere. It is not part of this conversation and may be out of date."
_SPANS = ((60, "second"), (60, "minute"), (24, "hour"), (7, "day"), (4.35, "week"), (12, "month"))


class Scored(Protocol):
    """A hit of the store's search."""

    @property
    def memory(self) -> Memory:
        """What was found."""
        ...

    @property
    def score(self) -> float:
        """How well it fits beside the others; more is better."""
        ...

    @property
    def fit(self) -> float:
        """How well it fits by itself, 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Occasion:
    """For which message something is brought to mind."""

    session: str
    turn: str = ""  #: id of the message itself, which is no memory yet
    since: int = 0  #: seq of the first question that the window shows; 0: unknown
    tokens: int = 32_000  #: the room of the conversation
    share: float = 1.0  #: of the usual budget for what comes to mind


@dataclass(slots=True)
class Shown:
    """What is shown, and which memories that are."""

    inserts: list[list[str]] = field(default_factory=list)  #: [place, name, text]
    ids: list[str] = field(default_factory=list)  #: of what was recalled, bare


def in_view(memory: Memory, occasion: Occasion) -> bool:
    """Whether the model sees it in its window anyway. What was imported, or added by a person, stands in no window."""
    if bare(memory.id) == occasion.turn:
        return True
    said = memory.kind == "episode" or memory.source not in ("", "mneme")  # a fact's source is the call that kept it
    return said and bool(memory.seq) and memory.session == occasion.session and memory.seq >= occasion.since > 0


def chosen(hits: Iterable[Scored], occasion: Occasion) -> list[Memory]:
    """Those of the hits that are worth showing, best first: near the best, each said once, and nothing in view."""
    found = [hit for hit in hits if hit.fit >= FIT_MIN and not in_view(hit.memory, occasion)]
    best = max((hit.score for hit in found), default=0.0)
    said: set[str] = set()
    memories = []
    for hit in sorted(found, key=lambda hit: -hit.score):
        words = " ".join(hit.memory.text.casefold().split())
        if hit.score >= best * NEAR_BEST and words not in said:
            said.add(words)
            memories.append(hit.memory)
    return memories


def recalled(memories: Sequence[Memory], around: Mapping[str, Sequence[Memory]], occasion: Occasion, now: float) -> Shown:
    """What came to mind, as one insert; best first, within its share of the room."""
    left = int(occasion.tokens * RECALL_SHARE * occasion.share) - tokens(_HEAD)
    lines: list[str] = []
    shown = Shown()
    for memory in memories:
        told = "\n".join(_lines(memory, around.get(memory.id, ()), now))
        left -= tokens(told)
        if left < 0:
            break
        lines.append(told)
        shown.ids.append(bare(memory.id))
    if lines:
        shown.inserts.append(["recalled", "recall", "\n".join([_HEAD, *lines])])
    return shown


def standing(
    snapshots: Sequence[Memory], pins: Sequence[Memory], goals: Sequence[Memory], occasion: Occasion
) -> list[list[str]]:
    """What stands before the window: snapshots, newest kept, and what is pinned. The same bytes until one of them changes."""
    inserts = []
    for kind, share, name in (("snapshot2", LEVEL2_SHARE, "long_ago"), ("snapshot1", LEVEL1_SHARE, "earlier")):
        level = [_snapshot(each) for each in snapshots if each.kind == kind]
        if kept := _newest(level, int(occasion.tokens * share)):
            inserts.append(["snapshot", name, "\n\n".join(kept)])
    left = int(occasion.tokens * PINS_SHARE)
    wanted = _newest([_goal(each) for each in goals], left)
    if wanted:
        inserts.append(["pinned", "goals", "\n".join(wanted)])
    kept = _newest([f"- {_cut(each.text, SHOWN_CHARS)}" for each in pins], left - sum(map(tokens, wanted)))
    if kept:
        inserts.append(["pinned", "pinned_memories", "\n".join(kept)])
    return inserts


def _newest(texts: Sequence[str], left: int) -> list[str]:
    """The last of the texts that fit, in their order."""
    kept: list[str] = []
    for text in reversed(texts):
        left -= tokens(text)
        if left < 0:
            break
        kept.insert(0, text)
    return kept


def _snapshot(memory: Memory) -> str:
    how = " (sentences picked by rule: no model was there to summarise)" if memory.data.get("model") == EXTRACT else ""
    return f"Up to {day(memory.ts)}{how}: {memory.text}"


def _goal(memory: Memory) -> str:
    level = "for weeks" if memory.kind == "goal2" else "at hand"
    notes = memory.data.get("notes") or []
    last = f" (last: {_cut(str(notes[-1]), AROUND_CHARS)})" if notes else ""
    return f"- [{bare(memory.id)}] {level}: {_cut(memory.text, SHOWN_CHARS)}{last}"


def _lines(memory: Memory, around: Sequence[Memory], now: float) -> list[str]:
    lines = [f"- {told(memory, now)}"]
    for each in around:
        if each.id != memory.id:
            when = "before" if (each.ts, each.id) < (memory.ts, memory.id) else "after"
            lines.append(f"    {when} that, {each.speaker or 'somebody'}: {_cut(each.text, AROUND_CHARS)}")
    return lines


def told(memory: Memory, now: float, chars: int = SHOWN_CHARS) -> str:
    """A memory on one line: its age, its source, its words."""
    where = f", in {memory.session}" if memory.session else ""
    who = memory.speaker or ("somebody" if memory.kind == "episode" else "")
    sort = {"fact": "noted", "pin": "pinned", "snapshot1": "summary", "snapshot2": "summary"}.get(memory.kind, "")
    by = ", ".join(each for each in (sort, who) if each)
    return f"[{bare(memory.id)}] {age(now - memory.ts)} ({day(memory.ts)}){where}, {by}: {_cut(memory.text, chars)}"


def age(seconds: float) -> str:
    """How long ago, in words: "3 weeks ago"."""
    amount = max(seconds, 0.0)
    for size, unit in _SPANS:
        if amount < size:
            return _ago(amount, unit)
        amount /= size
    return _ago(amount, "year")


def _ago(amount: float, unit: str) -> str:
    whole = int(amount)
    return f"{whole} {unit}{'' if whole == 1 else 's'} ago"


def day(ts: float) -> str:
    """The day, as in 2023-05-08, in UTC."""
    try:
        return dt.datetime.fromtimestamp(ts, dt.UTC).strftime("%a %Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "some day"


def tokens(text: str) -> int:
    """How much a text weighs; rather too much than too little."""
    return math.ceil(len(text.encode(errors="replace")) / _BYTES_PER_TOKEN)


def _cut(text: str, chars: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"
