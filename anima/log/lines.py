r"""The one shape of a log line, written and read. Pure, and free of `logging`, so that commands start fast.

    2026-11-21T02:24:31.123Z INFO agent:arya session=main turn=0192f0c1-... asked the model
    2026-11-21T02:24:31.123Z ERROR agent:arya | Traceback (most recent call last):

A text of several lines becomes several lines of this shape, so that `grep arya` finds a whole traceback. After `| `
stands what the process printed, not what it logged.
"""

import re
import time
from dataclasses import dataclass

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_line = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<level>[A-Z]+) (?P<process>\S+)"
    r"(?: session=(?P<session>\S+))?(?: turn=(?P<turn>\S+))? (?P<printed>\| )?(?P<text>.*)",
)
_unprintable = re.compile(r"[^\S \t]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_blank = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log, taken apart."""

    time: str  #: 2026-11-21T02:24:31.123Z
    level: str
    process: str
    session: str
    turn: str
    printed: bool  #: the process printed it; the level says on which stream
    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Who says something, and in the middle of what."""

    process: str
    session: str = ""
    turn: str = ""


def stamp(ts: float) -> str:
    """The moment `ts` (seconds since 1970) in UTC with milliseconds, cut, not rounded."""
    milliseconds = int(ts * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}Z"


def format_lines(ts: float, level: str, origin: Origin, text: str) -> list[str]:
    """What `text` looks like in a log: one line per line of it, without newlines at their ends."""
    prefix = f"{stamp(ts)} {level} {origin.process}"
    if origin.session:
        prefix += f" session={_word(origin.session)}"
    if origin.turn:
        prefix += f" turn={_word(origin.turn)}"
    return [f"{prefix} {_printable(each)}" for each in _split(text)]


def format_printed(ts: float, level: str, process: str, text: str) -> list[str]:
    """What a process printed on stdout or stderr, as lines of a log."""
    prefix = f"{stamp(ts)} {level} {process} | "
    return [prefix + _printable(each) for each in _split(text)]


def parse_line(line: str) -> Line | None:
    """The line taken apart, or None if it is not of the one shape."""
    match = _line.fullmatch(line.rstrip("\n"))
    if match is None or match["level"] not in LEVELS:
        return None
    return Line(
        match["time"],
        match["level"],
        match["process"],
        match["session"] or "",
        match["turn"] or "",
        match["printed"] is not None,
        match["text"],
    )


def printable(text: str) -> str:
    """`text` as it stands in a log, line by line and without a newline at its end."""
    return text if text.isprintable() else "\n".join(map(_printable, _split(text)))


def _split(text: str) -> list[str]:
    return text.rstrip("\r\n").replace("\r\n", "\n").split("\n")


def _printable(text: str) -> str:
    """Control characters spelled out: a log that is looked at must not steer the terminal."""
    return _unprintable.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _word(text: str) -> str:
    return _blank.sub("_", _printable(text))
