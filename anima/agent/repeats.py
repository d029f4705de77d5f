"""Which results of tools a newer one made superfluous. Pure.

    the same page of a file, read again     only the last reading tells what stands there
    a file read or edited, then read whole  the last reading holds it all
    a file read, then written anew          what was read stands there no longer
    the same command, run again             only the last output is true; the whole one tells what a trimmed one told

Only what succeeded counts on either side: an error tells something that a later success does not.
"""

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anima.limits import tool_page_lines

_PAGE = ("offset", "limit", "at_byte")
_SHELLS = {"exec", "safe_shell"}
_TRIMMED = re.compile(r"\s*\|\s*(?:tail|head|wc|sort|tee|cat)\b[^|;&<>`$()]*$")
_TO_STDOUT = re.compile(r"\s+2>&1(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Result:
    """What one call came to, as far as it matters here."""

    tool: str
    args: Mapping[str, Any]
    ok: bool
    name: str  #: how a note calls it


def superseded(results: Sequence[Result]) -> dict[int, int]:
    """For each result that a newer one makes superfluous, by index, the index of that newer one. Oldest first."""
    newest: dict[str, int] = {}
    found: dict[int, int] = {}
    for at in range(len(results) - 1, -1, -1):
        result = results[at]
        if not result.ok:
            continue
        by = [newest[key] for key in _superseded_by(result) if key in newest]
        if by:
            found[at] = max(by)
        for key in _supersedes(result):
            newest.setdefault(key, at)
    return found


def _superseded_by(result: Result) -> list[str]:
    """The keys under which a newer result makes this one superfluous."""
    path = _path(result)
    if result.tool == "read_file":
        return [_page(result), f"written {path}", *([f"whole {path}"] if _first_page(result) else [])]
    if result.tool in {"write_file", "edit_file"}:
        return [f"whole {path}", f"written {path}"]
    return [_command(result), _command(result, trimmed=True)] if result.tool in _SHELLS else []


def _supersedes(result: Result) -> list[str]:
    match result.tool:
        case "read_file":
            paged = any(key in result.args for key in _PAGE)
            return [_page(result), *([] if paged else [f"whole {_path(result)}"])]
        case "write_file":
            return [f"written {_path(result)}"]
        case tool if tool in _SHELLS:
            return [_command(result)]
        case _:
            return []


def _path(result: Result) -> str:
    return posixpath.normpath(str(result.args.get("path", "")))


def _page(result: Result) -> str:
    return f"page {_path(result)} {[result.args.get(key) for key in _PAGE]}"


def _first_page(result: Result) -> bool:
    """Whether the lines lie among those that a reading without page would show."""
    offset, limit, at_byte = (result.args.get(key, usual) for key, usual in zip(_PAGE, (1, 0, -1), strict=True))
    numbers = all(isinstance(each, int) for each in (offset, limit, at_byte))
    return numbers and at_byte < 0 < offset and offset + limit <= tool_page_lines


def _command(result: Result, *, trimmed: bool = False) -> str:
    """The key of a command; with `trimmed` the one of its whole output. Where else it runs makes it another one."""
    command = _TO_STDOUT.sub("", str(result.args.get("command", "")).strip())
    rest = {key: value for key, value in result.args.items() if key not in {"command", "timeout_s"}}
    return f"ran {_TRIMMED.sub('', command) if trimmed else command} {json.dumps(rest, sort_keys=True, default=repr)}"
