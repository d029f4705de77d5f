"""Our own search: matching lines of every text file below a directory, with their neighbours."""

import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from anima.limits import MIB
from anima.tools.files.content import SAMPLE_BYTES, binary_sort
from anima.tools.files.disk import open_regular
from anima.tools.files.places import show
from anima.tools.search.patterns import matcher
from anima.tools.search.walk import Walk
from anima.tools.tool import ToolError

_LINE_BYTES_MAX = 1 * MIB  #: a longer line is looked at in pieces
_MULTILINE_BYTES_MAX = 16 * MIB  #: read whole when a match may span lines; larger files are told as unread


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an answer; `matches` is false for a neighbour."""

    path: str
    number: int
    text: str
    matches: bool


@dataclass(slots=True)
class Search:
    """What is looked for, and where."""

    compiled: re.Pattern[bytes]
    pattern: str
    where: Path
    files: str
    context: int
    options: frozenset[str]
    unread: list[str] = field(default_factory=list)


def own_search(search: Search) -> Iterator[Line]:
    """Every line of the answer, file by file in order of path."""
    if not search.where.is_dir():
        yield from _in_file(search, search.where, search.where.name)
        return
    meant = matcher(search.files) if search.files else None
    walk = Walk(search.where, hidden="hidden" in search.options, ignore="ignored" not in search.options, unread=search.unread)
    for found in walk:
        if found.entry.is_file(follow_symlinks=False) and (meant is None or meant(found.path)):
            yield from _in_file(search, Path(found.entry.path), found.path)


def _in_file(search: Search, path: Path, name: str) -> Iterator[Line]:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            if binary_sort(file.read(SAMPLE_BYTES)):
                return
            file.seek(0)
            if "multiline" not in search.options:
                lines = iter(lambda: file.readline(_LINE_BYTES_MAX), b"")
                yield from _matching(lines, search, name)
            elif os.fstat(file.fileno()).st_size > _MULTILINE_BYTES_MAX:
                search.unread.append(f"{show(name)} (too large for multiline)")
            else:
                yield from _spanning(file.read(), search, name)
    except (OSError, ToolError) as error:
        search.unread.append(f"{show(name)} ({getattr(error, 'strerror', None) or error})")


def _matching(lines: Iterator[bytes], search: Search, name: str) -> Iterator[Line]:
    before: deque[tuple[int, bytes]] = deque(maxlen=search.context)
    after = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip(b"\r\n")
        if search.compiled.search(line):
            yield from (Line(name, at, _text(each), matches=False) for at, each in before)
            before.clear()
            yield Line(name, number, _text(line), matches=True)
            after = search.context
        elif after:
            after -= 1
            yield Line(name, number, _text(line), matches=False)
        elif search.context:
            before.append((number, line))


def _spanning(content: bytes, search: Search, name: str) -> Iterator[Line]:
    """Every line that a match touches counts as matching."""
    lines = content.split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    touched: set[int] = set()
    first = 0
    for match in search.compiled.finditer(content):
        while starts[first + 1] <= match.start() and first + 1 < len(lines):
            first += 1
        end = first
        while starts[end + 1] < match.end() and end + 1 < len(lines):
            end += 1
        touched.update(range(first, end + 1))
    shown = {near for at in touched for near in range(at - search.context, at + search.context + 1) if 0 <= near < len(lines)}
    for index in sorted(shown):
        yield Line(name, index + 1, _text(lines[index].rstrip(b"\r")), matches=index in touched)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
