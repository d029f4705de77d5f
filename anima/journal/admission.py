"""The border: which bytes become events of the journal, decided without touching the journal.

Covered: shape, sizes, names, known kinds with well-formed bodies. Not covered here: who may say it (claims.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anima.errors import BadMessage
from anima.limits import batch_bytes_max, batch_events_max, event_bytes_max, name_chars_max, session_chars_max
from anima.wire.events import decode_event
from anima.wire.frames import unpack

ID_CHARS_MAX = 64  # of a cause: an id of ours, or of whoever knows more
SOURCE_CHARS_MAX = 192

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # ids derive from it: see ids.derived_id
_AGENT = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One admitted event: what the journal's columns need, and the blob as it came."""

    id: str
    kind: str
    agent: str
    session: str
    source: str
    blob: bytes


def read_batch(payload: bytes) -> list[bytes]:
    """The blobs of one append. Raises BadMessage for anything else, and for one above the limits of a batch."""
    blobs: Any = unpack(payload)
    if type(blobs) is not list or not all(type(blob) is bytes for blob in blobs):
        raise BadMessage("an append is a list of encoded events")
    if not blobs or len(blobs) > batch_events_max or sum(map(len, blobs)) > batch_bytes_max:
        raise BadMessage(f"one append holds 1 to {batch_events_max} events and at most {batch_bytes_max} bytes; split it")
    return blobs


def admit(blobs: Sequence[bytes]) -> list[Entry]:
    """The events in `blobs`. Raises BadMessage at the first that is none: a batch is admitted as a whole or not at all."""
    return [_admit(blob) for blob in blobs]


def _admit(blob: bytes) -> Entry:
    if len(blob) > event_bytes_max:
        raise BadMessage(f"an event of {len(blob)} bytes is larger than {event_bytes_max}; store the body as a blob")
    event = decode_event(blob)
    if not _ID.fullmatch(event.id):
        raise BadMessage(f"'{event.id[:80]}' is no id of an event; make it a UUID, in small letters and with hyphens")
    if event.agent and (len(event.agent) > name_chars_max or not _AGENT.fullmatch(event.agent)):
        raise BadMessage(f"'{event.agent[:80]}' is no agent's name")
    if len(event.session) > session_chars_max:
        raise BadMessage(f"a session's name has at most {session_chars_max} characters, this one has {len(event.session)}")
    if len(event.source) > SOURCE_CHARS_MAX or len(event.cause) > ID_CHARS_MAX:
        raise BadMessage("the source or the cause of an event is too long")
    assert event.body is not None  # reading it raises if it is malformed
    return Entry(event.id, event.kind, event.agent, event.session, event.source, blob)
