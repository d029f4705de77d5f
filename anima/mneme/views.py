"""Memories as plain maps: for a command, for a file, for whoever asks. Pure."""

import math
from collections.abc import Sequence
from typing import Any

from anima.errors import BadMessage
from anima.mneme.memory import Memory
from anima.wire.memories import MORE, bare


def row(memory: Memory) -> dict[str, Any]:
    """A memory as `memory export` writes it and `memory import` reads it: what is not the usual is left out."""
    found = {"id": bare(memory.id), "ts": memory.ts, "session": memory.session, "speaker": memory.speaker, "text": memory.text}
    said = {name: getattr(memory, "kind" if name == "sort" else name) for name in MORE}
    said |= {"mood": dict(memory.mood), "data": dict(memory.data), "by": bare(memory.by)}
    # `shared` is always told, whatever a file's lines are taken for
    return found | {name: value for name, value in said.items() if value != MORE[name][1] or name == "shared"}


def full(memory: Memory) -> dict[str, Any]:
    """All that is known of a memory."""
    return {**row(memory), "sort": memory.kind, "state": memory.state, "importance": memory.importance, "seq": memory.seq} | {
        "accessed": memory.accessed,
        "source": memory.source,
    }


def hit(memory: Memory, score: float, parts: Any = None, around: Sequence[Memory] = ()) -> dict[str, Any]:
    """A memory that was found."""
    found: dict[str, Any] = {
        "id": bare(memory.id),
        "score": round(float(score), 6),
        "text": memory.text,
        "ts": memory.ts,
        "session": memory.session,
        "speaker": memory.speaker,
        "sort": memory.kind,
    }
    if parts:
        found["parts"] = {name: round(float(value), 6) for name, value in parts.items()}
    if around:
        found["around"] = [{"id": bare(each.id), "speaker": each.speaker, "text": each.text} for each in around]
    return found


def text(asked: dict[str, Any], name: str, usual: str | None = None) -> str:
    """A text of a question. Raises BadMessage if it is missing or none."""
    value = asked.get(name, usual)
    if not isinstance(value, str):
        raise BadMessage(f'"{name}" is a text')
    return value


def number(asked: dict[str, Any], name: str, usual: float, most: float = math.inf) -> float:
    """A number of a question, from 0 to `most`. Raises BadMessage if it is none."""
    value = asked.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise BadMessage(f'"{name}" is a number from 0 to {most:g}')
    return value
