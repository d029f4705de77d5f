"""What arrives at the journal's door, sorted. Pure: frames in, requests out; see wire.frames for their shape."""

from dataclasses import dataclass
from typing import Any

from anima.errors import BadMessage
from anima.wire import frames
from anima.wire.frames import Query, read_query, unpack

_SENDER_OPERATION_NUMBER_PAYLOAD = 4
_SENDER_OPERATION_BLOB = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that gets an answer; the payload is not yet read, so that what is wrong with it can be answered too."""

    sender: Any  #: the sender's first frame: its bytes are the way back, its User-Id is who it is
    operation: bytes
    number: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Whispered:
    """Something to pass on at once."""

    sender: Any
    blob: bytes


def sort_message(message: list[Any]) -> Asked | Whispered:
    """The request in the frames of one message. Raises BadMessage for one nobody could answer."""
    if len(message) == _SENDER_OPERATION_NUMBER_PAYLOAD:
        sender, operation, number, payload = message
        if operation not in (frames.APPEND, frames.READ, frames.ASK) or len(number) != frames.NUMBER_BYTES:
            raise BadMessage("neither append, read nor ask, or without a number")
        return Asked(sender, operation, number, payload)
    if len(message) == _SENDER_OPERATION_BLOB and message[1] == frames.WHISPER:
        return Whispered(message[0], message[2])
    raise BadMessage(f"a message of {len(message)} frames")


def read_question(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Verb and arguments of an `ask`. Raises BadMessage for anything else."""
    content = unpack(payload)
    if type(content) is not list or [type(each) for each in content] != [str, dict]:
        raise BadMessage("a question is a verb and a map of arguments")
    return content[0], content[1]


def read_page_query(payload: bytes) -> Query:
    """The query of a `read`. Raises BadMessage for anything else."""
    content = unpack(payload)
    if type(content) is not dict:
        raise BadMessage("a query is a map")
    return read_query(content)
