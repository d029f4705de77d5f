"""The arguments of a call as a person reads them: on one line, or in full before they decide. Pure.

What would hide or move on a terminal is spelled out: a person must see what they allow. What is cut is counted.
"""

import json
from collections.abc import Mapping
from typing import Any

from anima.cli.terminal import clip, columns_of, visible

LINES_MAX = 12  #: of one argument
_COLUMNS_MAX = 120  # lines are folded there at the latest: also a pipe's reader has to see where one ends
_COLUMNS_MIN = 16
_INDENT = "    "


def brief(args: Mapping[str, Any], columns: int) -> str:
    """`key="text" other=3` on one line of at most `columns`."""
    told = " ".join(f"{visible(str(key))}={_json(value)}" for key, value in args.items())
    return clip(told.replace("\n", "\\n"), columns)


def in_full(args: Mapping[str, Any], columns: int, lines_max: int = LINES_MAX) -> list[str]:
    """One line per argument, or several below its name; each argument cut after `lines_max` lines, with a notice."""
    room = max(min(columns, _COLUMNS_MAX), _COLUMNS_MIN)
    lines: list[str] = []
    for key, value in args.items():
        name = f"  {visible(str(key))}: ".replace("\n", "\\n")
        text = value if isinstance(value, str) else _json(value)
        parts = _spelled(text).split("\n")
        if len(parts) == 1 and columns_of(name + parts[0]) <= room:
            lines.append((name + parts[0]).rstrip())
            continue
        folded = [piece for part in parts for piece in fold(part, room - len(_INDENT))]
        lines.append(name.rstrip())
        lines += [_INDENT + piece for piece in folded[:lines_max]]
        if len(folded) > lines_max:
            lines.append(f"{_INDENT}… and {len(folded) - lines_max} more lines, {len(text):,} characters in all (--json)")
    return [line if columns_of(line) <= room else piece for line in lines for piece in fold(line, room)]


def fold(line: str, columns: int) -> list[str]:
    """The line in pieces that fit, broken anywhere: of a command no space may be lost."""
    if columns_of(line) <= columns:
        return [line]
    pieces, piece, room = [], "", columns
    for character in line:
        wide = columns_of(character)
        if wide > room:
            pieces.append(piece)
            piece, room = "", columns
        piece += character
        room -= wide
    return [*pieces, piece]


def _spelled(text: str) -> str:
    """Tabs become spaces, as a terminal would show them; a final newline is no line of its own."""
    return visible(text.removesuffix("\n").expandtabs(4))


def _json(value: object) -> str:
    return visible(json.dumps(value, ensure_ascii=False, default=repr))
