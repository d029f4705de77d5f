"""Names and identifiers: UUIDv7 for what is new, derived ids for what must come out twice the same, who may be called what."""

import hashlib
import os
import re
import time
import uuid

from anima.errors import Refused
from anima.limits import name_chars_max

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")

#: Names that mean a process of the house, or all of them; an agent cannot bear one.
RESERVED = frozenset(
    {"all", "supervisor", "journal", "mneme", "thymos", "sandbox", "purser", "triggers", "gateway", "channels", "mcp", "cli"},
)


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7) as text: 48 bits of milliseconds, then chance; sorts by time of birth."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return _uuid_text(value, version=7)


def derived_id(parent: str, *words: object) -> str:
    """The id that follows from `parent` and `words`: the same for every incarnation that does the same work.

    This is what makes a turn's results storable only once: whoever resumes the turn computes the same ids, and
    the journal knows them already. A UUIDv8 that keeps the parent's 48 bits of time, so that it lands beside it
    in an index. Raises ValueError if `parent` is not a UUID.
    """
    origin = uuid.UUID(parent)
    text = "\x1f".join((parent, *(str(word) for word in words)))
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=10).digest(), "big")
    return _uuid_text((origin.int >> 80) << 80 | digest, version=8)


def _uuid_text(value: int, version: int) -> str:
    value = value & ~(0xF << 76) | version << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def check_name(name: str) -> str:
    """Return `name` if an agent may bear it, else raise Refused with the reason."""
    if name in RESERVED:
        raise Refused(f"'{name}' is the name of a part of the house; choose another name for the agent")
    if len(name) > name_chars_max:
        raise Refused(f"an agent's name has at most {name_chars_max} characters, not {len(name)}; choose a shorter one")
    if not _NAME.fullmatch(name):
        raise Refused(
            f"'{name}' cannot name an agent: use lower-case letters, digits, '-', '_' and '.', first a letter or digit "
            "(the name is also a folder, a log file and a process title)",
        )
    return name
