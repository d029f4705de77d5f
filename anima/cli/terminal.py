"""Words for a person at a terminal, and plain lines for a pipe.

Whatever came from a model, a message or a log is cleaned before it reaches a terminal: text must not steer it.
"""

import os
import re
import shutil
import sys
import unicodedata
from typing import TextIO

NO_TERMINAL_COLUMNS = 100_000

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "grey": 90, "bold": 1}
_control = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sees what is written to `stream`."""
    return stream.isatty()


def width(stream: TextIO | None = None) -> int:
    """Columns of the terminal behind `stream` (stdout); for a pipe or a file nothing is cut."""
    return shutil.get_terminal_size((80 if is_terminal(stream or sys.stdout) else NO_TERMINAL_COLUMNS, 24)).columns


def colour(text: str, name: str, stream: TextIO | None = None) -> str:
    """`text` in a colour, if `stream` (stdout) is a terminal that has them and NO_COLOR does not forbid it."""
    stream = stream or sys.stdout
    if not text or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not is_terminal(stream):
        return text
    return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m"


def clean(text: str) -> str:
    """`text` without control characters (but newlines and tabs), so that it cannot steer a terminal."""
    return _control.sub("", text)


def visible(text: str) -> str:
    """`text` with everything a terminal would hide or obey spelled out, but newlines: for what a person decides about."""
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or each.isprintable() else _spelled(each) for each in text)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode()


def one_line(text: str, columns: int) -> str:
    """`text` cleaned, on one line of at most `columns`."""
    return clip(" ".join(clean(text).split()), columns)


def clip(text: str, columns: int) -> str:
    """`text`, cut to `columns` with an ellipsis if it takes more."""
    if columns_of(text) <= columns:
        return text
    taken, room = "", max(columns - 1, 0)
    for character in text:
        room -= columns_of(character)
        if room < 0:
            break
        taken += character
    return f"{taken}…" if columns > 0 else ""


def columns_of(text: str) -> int:
    """How many columns a terminal needs for `text` (one line): wide letters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def note(text: str) -> None:
    """A remark beside the result, on stderr."""
    print(colour(text, "grey", sys.stderr), file=sys.stderr, flush=True)


def complain(sentence: str) -> None:
    """The one line that says why a command did not do what was asked."""
    print(f"{colour('animactl:', 'red', sys.stderr)} {clean(' '.join(sentence.split()))}", file=sys.stderr, flush=True)
