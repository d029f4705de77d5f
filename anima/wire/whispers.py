"""Whispers: deltas and progress for people who look on. Published, never stored, may be lost."""

from dataclasses import asdict, dataclass
from typing import Any

import msgpack

from anima.errors import BadMessage


@dataclass(frozen=True, slots=True)
class Whisper:
    """Something about a running turn. `attempt` grows when a killed turn starts over: what was shown before is void."""

    agent: str
    session: str
    turn: str
    attempt: int
    what: str  #: text (a delta of the answer), thinking, tool, note
    text: str

    def encode(self) -> bytes:
        """A msgpack map."""
        packed: bytes = msgpack.packb(asdict(self))
        return packed


def decode_whisper(packed: bytes) -> Whisper:
    """The whisper in `packed`. Raises BadMessage for anything else."""
    try:
        content: dict[str, Any] = msgpack.unpackb(packed)
        whisper = Whisper(**content)
    except Exception as error:
        raise BadMessage(f"not a whisper: {error!r}") from error
    texts = (whisper.agent, whisper.session, whisper.turn, whisper.what, whisper.text)
    if not all(type(text) is str for text in texts) or type(whisper.attempt) is not int:
        raise BadMessage("not a whisper: a field has the wrong type")
    return whisper
