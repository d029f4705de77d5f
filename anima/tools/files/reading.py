"""read_file and file_info. A file is read in pages, however large it is: never more of it is in memory than one page needs."""

import contextlib
import grp
import mimetypes
import os
import pwd
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO

from anima.limits import tool_output_bytes, tool_page_lines
from anima.tools.context import Context
from anima.tools.files.content import BOM, SAMPLE_BYTES, binary_sort
from anima.tools.files.disk import explain, open_regular, sort_of
from anima.tools.files.places import place, show, shown
from anima.tools.schema import Within
from anima.tools.tool import Result, ToolError, tool

PAGE_BYTES = tool_output_bytes - 2_048  # the rest is for numbers and notices
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class _Page:
    lines: list[bytes]
    first: int  #: number of the first line; 0 if it is not known
    more: bool  #: whether anything follows
    cut_at: int = -1  #: offset in bytes where the last line goes on, -1 if it is whole


@tool(risk="safe", effect="pure", wall_s=60, keywords=("read", "file", "open", "show", "content", "cat", "look"))
def read_file(
    ctx: Context,
    path: str,
    offset: int = 1,
    limit: Annotated[int, Within(min=1, max=tool_page_lines)] = tool_page_lines,
    numbered: bool = False,
    at_byte: Annotated[int, Within(min=-1)] = -1,
) -> Result:
    """Read a text file, one page at a time (2,000 lines or 48 KB, whichever comes first).

    Args:
        path: the file; relative paths begin in the workspace
        offset: number of the first line, from 1; a negative one counts from the end, so -20 reads the last 20 lines
        limit: how many lines
        numbered: put the line's number before each line
        at_byte: begin at this byte instead of a line; for files with lines longer than a page
    """
    if offset == 0:
        raise ToolError("lines are counted from 1; offset 0 is none (negative offsets count from the end)")
    where = place(ctx, path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(os.fdopen(open_regular(where), "rb"))
        try:
            size = os.fstat(file.fileno()).st_size
            sample = file.read(SAMPLE_BYTES)
            if sort := binary_sort(sample):
                raise ToolError(f"{show(path)} is {sort} of {size:,} bytes, not text; python or exec can look into it")
            page = _from_byte(file, at_byte, limit) if at_byte >= 0 else _from_line(file, offset, limit)
        except OSError as error:
            raise ToolError(explain(error, where)) from error
    return _shown(shown(ctx, where), page, size, numbered=numbered)


def _from_byte(file: BinaryIO, at_byte: int, limit: int) -> _Page:
    file.seek(at_byte)
    begin = file.read(4)
    skip = next((index for index, byte in enumerate(begin) if byte & 0xC0 != 0x80), 0)  # noqa: PLR2004 - inside a character
    file.seek(at_byte + skip)
    return _take(file, limit, first=0)


def _from_line(file: BinaryIO, offset: int, limit: int) -> _Page:
    if offset < 0:
        file.seek(_start_of_last(file, -offset))
        return _take(file, min(limit, -offset), first=0)
    file.seek(0)
    if file.read(len(BOM)) != BOM:
        file.seek(0)
    passed, start = 0, file.tell()
    for block, at in _blocks(file):
        inside = block.count(b"\n")
        if passed + inside < offset - 1:
            passed += inside
            continue
        position = -1
        for _ in range(offset - 1 - passed):
            position = block.index(b"\n", position + 1)
        start = at + position + 1
        break
    else:
        if offset > 1:
            raise ToolError(f"the file has {passed + _unended(file)} lines; there is no line {offset}")
    file.seek(start)
    page = _take(file, limit, first=offset)
    if offset > 1 and not page.lines:
        raise ToolError(f"the file has {offset - 1} lines; there is no line {offset}")
    return page


def _unended(file: BinaryIO) -> int:
    """1 if the last line of a file has no newline at its end."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 1))
    return int(file.read(1) not in (b"", b"\n"))


def _blocks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while block := file.read(_BLOCK):
        yield block, file.tell() - len(block)


def _start_of_last(file: BinaryIO, count: int) -> int:
    """Where the last `count` lines begin; reads backwards, so a large file costs no more than what is shown."""
    end = file.seek(0, os.SEEK_END)
    left = count + 1 - _unended(file)
    at = end
    while at > 0:
        at = max(0, at - _BLOCK)
        file.seek(at)
        block = file.read(min(_BLOCK, end - at))
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            left -= 1
            if left == 0:
                return at + position + 1
        end = at
    return 0


def _take(file: BinaryIO, limit: int, first: int) -> _Page:
    lines: list[bytes] = []
    size = 0
    while len(lines) < limit:
        room = PAGE_BYTES - size
        start = file.tell()
        line = file.readline(room + 1)
        if not line:
            return _Page(lines, first, more=False)
        if len(line) > room:
            if lines:
                return _Page(lines, first, more=True)
            whole = line[:room].decode("utf-8", "ignore").encode() or line[:room]
            return _Page([whole], first, more=True, cut_at=start + len(whole))
        lines.append(line)
        size += len(line) + 8
    return _Page(lines, first, more=bool(file.read(1)))


def _shown(name: str, page: _Page, size: int, *, numbered: bool) -> Result:
    if not page.lines:
        return Result(ok=True, text=f"[{name} is empty]" if size == 0 else f"[{name} ends here]", data={"lines": 0})
    raw = b"".join(page.lines)
    text = raw.decode("utf-8", "replace")
    if numbered and page.first:
        pieces = [line.decode("utf-8", "replace") for line in page.lines]
        text = "".join(f"{number:>6}\t{line}" for number, line in enumerate(pieces, page.first))
    notes = []
    last = page.first + len(page.lines) - 1
    if page.cut_at >= 0:
        line = f"line {page.first}" if page.first else "this line"
        notes.append(f"{line} is longer than a page; it goes on at_byte={page.cut_at} of {size:,}")
    elif page.more and page.first:
        notes.append(f"lines {page.first}-{last} of a file of {size:,} bytes; go on with offset={last + 1}")
    elif page.more:
        notes.append(f"more follows in this file of {size:,} bytes")
    try:
        raw.decode()
    except UnicodeDecodeError:
        notes.append("some bytes are no UTF-8 and are shown as \N{REPLACEMENT CHARACTER}")
    if notes:
        text += ("" if text.endswith("\n") else "\n") + f"[{'; '.join(notes)}]"
    data = {"lines": len(page.lines), "bytes": size, "more": page.more}
    return Result(ok=True, text=text, data=data | ({"first": page.first, "last": last} if page.first else {}))


@tool(risk="safe", effect="pure", wall_s=30, keywords=("file", "size", "info", "exists", "modified", "permissions", "stat"))
def file_info(ctx: Context, path: str) -> Result:
    """Tell what a path is: kind, size, time of change, permissions, owner, and where a symbolic link leads.

    Args:
        path: a file or directory; a symbolic link is described itself
    """
    where = place(ctx, path)
    try:
        found = os.lstat(where)
        target = show(where.readlink()) if stat.S_ISLNK(found.st_mode) else ""
    except OSError as error:
        raise ToolError(explain(error, where)) from error
    data: dict[str, str | int] = {
        "path": shown(ctx, where),
        "kind": sort_of(found.st_mode),
        "bytes": found.st_size,
        "modified": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.st_mtime)),
        "permissions": f"{stat.filemode(found.st_mode)} ({stat.S_IMODE(found.st_mode):04o})",
        "owner": f"{_name_of_user(found.st_uid)}:{_name_of_group(found.st_gid)}",
        "links": found.st_nlink,
    }
    if target:
        data["leads_to"] = target
        data["leads_to_something"] = str(where.exists()).lower()
    if stat.S_ISREG(found.st_mode):
        data["content"] = _content_of(where)
    return Result(ok=True, text="\n".join(f"{name}: {value}" for name, value in data.items()), data=data)


def _content_of(where: os.PathLike[str]) -> str:
    try:
        with open(where, "rb") as file:  # noqa: PTH123 - a path-like
            sample = file.read(SAMPLE_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    guess = mimetypes.guess_type(os.fspath(where))[0]
    return binary_sort(sample) or (f"text ({guess})" if guess else "text" if sample else "empty")


def _name_of_user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _name_of_group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
