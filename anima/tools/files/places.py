r"""Paths as a model writes and reads them.

A name may hold anything but NUL and '/', also newlines and bytes that are no UTF-8; JSON and a model's eye cannot. Such a
name is shown in double quotes with C's escapes, as git shows it ("a\nb\377"), and understood again when it comes back so.
What may be reached is not decided here: the jail's own mounts do that, and no check of strings could.
"""

import os
from pathlib import Path

from anima.tools.context import Context
from anima.tools.tool import ToolError

_ESCAPES = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, '"': 34, "\\": 92}
_NAMES = {value: name for name, value in _ESCAPES.items()}


def place(ctx: Context, path: str) -> Path:
    """The path meant: relative ones begin in the workspace, and so does `~`. Raises ToolError for what is no path."""
    if not path:
        raise ToolError("an empty path names nothing; '.' is the workspace")
    plain = unquote(path) if len(path) > 1 and path[0] == path[-1] == '"' else path
    if "\0" in plain:
        raise ToolError(f"{show(path)} contains a NUL character, which no path can")
    if plain == "~" or plain.startswith("~/"):
        plain = "." + plain[1:]
    return Path(os.path.normpath(ctx.workdir / plain)) if plain.strip("./") == "" else ctx.workdir / plain


def show(path: str | bytes | os.PathLike[str]) -> str:
    """A path for a model's eye: as it is if that is safe, else quoted."""
    raw = os.fsencode(path)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return quote(raw)
    odd = any(ord(each) < 32 or ord(each) == 127 for each in text) or not text.isprintable()  # noqa: PLR2004 - controls
    return quote(raw) if odd or (len(text) > 1 and text[0] == text[-1] == '"') else text


def shown(ctx: Context, path: str | os.PathLike[str]) -> str:
    """A path as `show`, relative to the workspace if it lies in it."""
    try:
        inside = Path(path).relative_to(ctx.workdir)
    except ValueError:
        return show(path)
    return show(inside)


def quote(raw: bytes) -> str:
    """Any bytes between double quotes, in ASCII."""
    pieces = []
    for byte in raw:
        if byte in _NAMES:
            pieces.append(f"\\{_NAMES[byte]}")
        else:
            pieces.append(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")  # noqa: PLR2004 - printable ASCII
    return f'"{"".join(pieces)}"'


def unquote(text: str) -> str:
    """What `quote` made of it, as the system's own path text. Raises ToolError if it is not well formed."""
    inner, found, index = text[1:-1], bytearray(), 0
    while index < len(inner):
        if inner[index] == '"':
            raise ToolError(f'{text} has a quote in its middle; write \\" for one that belongs to the name')
        if inner[index] != "\\":
            found += os.fsencode(inner[index])
            index += 1
            continue
        rest = inner[index + 1 :]
        if rest[:1] in _ESCAPES:
            found.append(_ESCAPES[rest[0]])
            index += 2
        elif len(rest) >= 3 and all(digit in "01234567" for digit in rest[:3]) and int(rest[:3], 8) <= 255:  # noqa: PLR2004
            found.append(int(rest[:3], 8))
            index += 4
        else:
            raise ToolError(f"{text} has a backslash that escapes nothing; \\\\ is a backslash, \\012 a byte in octal")
    return os.fsdecode(bytes(found))
