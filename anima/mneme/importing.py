"""A life lived elsewhere, line by line: what a line says, when that was, and under which id it is kept. Pure.

    {"id": "D1:3", "ts": "1:56 pm on 8 May, 2023", "session": "D1", "speaker": "Ada", "text": "I adopted a dog"}

Only text must be there. What `memory export` writes has more: sort, importance, shared, mood, state, by, accessed, data.
"""

import email.utils
import hashlib
import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from anima.errors import BadMessage
from anima.wire.memories import MORE, check_said

TEXT_CHARS_MAX = 100_000  # of one memory; a book is a file, not a memory
_ID_CHARS_MAX = 200
_MS_FROM = 1e11  # an epoch beyond this (the year 5138) is told in milliseconds
_YEARS = range(1, 9999)

_MONTHS = re.findall(r"\w+", "january february march april may june july august september october november december")
_TIME = re.compile(r"(?i)\b(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*(?:([ap])\.?m\.?)|\b(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DAY_FIRST = re.compile(r"(?i)\b(\d{1,2})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?([a-z]{3,9})\.?,?\s+(\d{4})\b")
_MONTH_FIRST = re.compile(r"(?i)\b([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})\b")


def read_row(line: str, *, shared: bool = True) -> dict[str, Any]:
    """The row in one line of JSON: id, ts, session, speaker, text and what differs from the usual (MORE). Raises BadMessage."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON ({error})") from None
    if not isinstance(found, dict):
        raise BadMessage('not a JSON object like {"id", "ts", "session", "speaker", "text"}')
    text = found.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadMessage('it has no "text"')
    if len(text) > TEXT_CHARS_MAX:
        raise BadMessage(f"a text of {len(text):,} characters; a memory has at most {TEXT_CHARS_MAX:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadMessage("its text holds half a character (a lone surrogate)") from None
    session, speaker = (_text(found, name) for name in ("session", "speaker"))
    ts = moment(found.get("ts", found.get("timestamp")))
    id_ = found.get("id")
    named = str(id_) if isinstance(id_, (str, int)) and not isinstance(id_, bool) and str(id_).strip() else ""
    if len(named) > _ID_CHARS_MAX:
        raise BadMessage(f"an id of {len(named)} characters; it has at most {_ID_CHARS_MAX}")
    row = {"id": named or content_id(session, repr(ts), speaker, text), "ts": ts, "session": session, "speaker": speaker}
    return {**row, "text": text, **_more(found, shared=shared)}


def content_id(*words: str) -> str:
    """The id of something that came without one: the same words have the same."""
    packed = "\x1f".join(words).encode(errors="replace")
    return f"c-{hashlib.blake2b(packed, digest_size=12).hexdigest()}"


def batch_id(agent: str, ids: Iterable[str]) -> str:
    """The id of the event that carries a batch: a UUIDv8 that follows from what is in it, so sending it again is harmless."""
    digest = bytearray(hashlib.blake2b("\x1f".join((agent, *ids)).encode(), digest_size=16).digest())
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    digits = digest.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def moment(told: Any) -> float:
    """Seconds since 1970, of an epoch, an ISO 8601 date or a date written out; without a zone it is UTC. Raises BadMessage."""
    if isinstance(told, (int, float)) and not isinstance(told, bool):
        return _epoch(float(told))
    if not isinstance(told, str) or not told.strip():
        raise BadMessage('it has no "ts"; write an ISO 8601 date, seconds since 1970, or "1:56 pm on 8 May, 2023"')
    text = told.strip()
    if re.fullmatch(r"[-+]?\d{5,16}(?:\.\d{1,9})?", text):
        return _epoch(float(text))
    found = _iso(text) or _written(text) or _mail(text)
    if found is None:
        raise BadMessage(
            f'"{text[:60]}" is no time; write an ISO 8601 date, seconds since 1970, or like "1:56 pm on 8 May, 2023"'
        )
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadMessage(f'"{text[:60]}" is no time that can be told') from None


def _epoch(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise BadMessage('its "ts" is no number of seconds')
    seconds = seconds / 1_000 if abs(seconds) >= _MS_FROM else seconds
    if abs(seconds) >= _MS_FROM:
        raise BadMessage(f'its "ts" {seconds:g} is no time within reach')
    return seconds


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _mail(text: str) -> datetime | None:
    """RFC 2822, as mail and news have it."""
    try:
        return email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _written(text: str) -> datetime | None:
    """A day with its month's name, and perhaps a time of day, in either order."""
    if len(text) > 100 or re.search(r"[-+]\d{4}|\bGMT\b|\bUTC\b", text):  # noqa: PLR2004 - with a zone: a mail's date
        return None
    if day_first := _DAY_FIRST.search(text):
        day, month, year = day_first.groups()
    elif month_first := _MONTH_FIRST.search(text):
        month, day, year = month_first.groups()
    else:
        return None
    number = next((at for at, name in enumerate(_MONTHS, 1) if name.startswith(month.lower())), 0)
    if not number or int(year) not in _YEARS:
        return None
    hour, minute, second = _time_of_day(text)
    try:
        return datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _time_of_day(text: str) -> tuple[int, int, int]:
    found = _TIME.search(text)
    if not found:
        return 0, 0, 0
    if half := found[4]:
        hour, minute, second = int(found[1]) % 12, int(found[2] or 0), int(found[3] or 0)
        return hour + 12 * (half.lower() == "p"), minute, second
    return int(found[5]), int(found[6]), int(found[7] or 0)


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, (str, int)) or len(str(value)) > _ID_CHARS_MAX:
        raise BadMessage(f'its "{name}" is no text of at most {_ID_CHARS_MAX} characters')
    return str(value)


def _more(found: dict[str, Any], *, shared: bool) -> dict[str, Any]:
    """What it says besides, as far as it is not the usual."""
    said = {"shared": shared, **{name: found[name] for name in MORE if name in found}}
    check_said(said)
    if said.get("state", "live") not in ("live", "superseded"):
        raise BadMessage('its "state" is live or superseded')
    return {name: value for name, value in said.items() if value != MORE[name][1]}
