"""What else than the conversation a model is shown, and where. Pure.

persona, soul, tools            the system prompt: the same bytes as long as nobody edits them
snapshots, then pinned          before the window; they change seldom, and the cache with them
the window
recalled, feelings              at the tail, each as a call of the agent's own with its answer: they change all the time
always.md, then the inner voice the very last, just before it speaks
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from anima.nous.model import Call, Message


class Place(IntEnum):
    """Where an insert stands; the order is that of the prompt."""

    SNAPSHOT = 1  #: memories of long ago first, then the more recent
    PINNED = 2
    RECALLED = 3  #: what came to mind
    FEELING = 4
    VOICE = 5  #: the inner voice


_AT_THE_TAIL = (Place.RECALLED, Place.FEELING)


@dataclass(frozen=True, slots=True)
class Insert:
    """One thing the model is shown beside the conversation."""

    place: Place
    name: str  #: what it is called: of a tag before the window, of a tool at the tail
    text: str


def around(window: Sequence[Message], inserts: Iterable[Insert]) -> tuple[Message, ...]:
    """The window with what stands before and behind it; inserts of one place keep their order."""
    ordered = sorted(inserts, key=lambda insert: insert.place)
    front = [_tagged(insert) for insert in ordered if insert.place < Place.RECALLED]
    before = [Message("user", "\n\n".join(front))] if front else []
    tail = [each for at, insert in enumerate(ordered) if insert.place in _AT_THE_TAIL for each in _pair(at, insert)]
    return (*before, *window, *tail)


def last_words(always: str, inserts: Iterable[Insert]) -> str:
    """What is put last of all: always.md, then the inner voice."""
    voices = [_tagged(insert) for insert in inserts if insert.place == Place.VOICE]
    return "\n\n".join(text for text in (always, *voices) if text)


def _tagged(insert: Insert) -> str:
    return f"<{insert.name}>\n{insert.text.strip()}\n</{insert.name}>"


def _pair(at: int, insert: Insert) -> list[Message]:
    """A call of the agent's own and its answer; ids are the same for the same place, so that the same bytes come about."""
    call = Call(f"own-{insert.name}-{at}", insert.name, {})
    return [Message("assistant", "", calls=(call,)), Message("tool", insert.text, call_id=call.id)]
