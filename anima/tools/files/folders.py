"""list_directory and create_directory."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from anima.limits import tool_entries_max
from anima.tools.context import Context
from anima.tools.files.disk import explain, sync_folder
from anima.tools.files.places import place, show, shown
from anima.tools.schema import Within
from anima.tools.tool import Result, ToolError, tool


@dataclass(frozen=True, slots=True)
class _Entry:
    depth: int
    text: str


@tool(risk="safe", effect="pure", wall_s=60, keywords=("list", "directory", "folder", "files", "ls", "tree", "contents"))
def list_directory(ctx: Context, path: str = ".", depth: Annotated[int, Within(min=1, max=10)] = 1) -> Result:
    """List what is in a directory: directories end with /, files with their size, links with where they lead.

    Args:
        path: the directory; left out, the workspace
        depth: how many levels to show; 1 is the directory alone
    """
    where = place(ctx, path)
    try:
        if not stat.S_ISDIR(where.stat().st_mode):
            raise ToolError(f"{show(path)} is a file, not a directory; read_file or file_info show it")
        os.scandir(where).close()
    except OSError as error:
        raise ToolError(explain(error, where)) from error
    shown_lines: list[str] = []
    more = False
    for entry in _walk(where, 0, depth):
        if len(shown_lines) == tool_entries_max:
            more = True
            break
        shown_lines.append("  " * entry.depth + entry.text)
    text = "\n".join(shown_lines) or f"[{shown(ctx, where)} is empty]"
    if more:
        text += f"\n[more than {tool_entries_max} entries; list a directory below, or use glob]"
    return Result(ok=True, text=text, data={"entries": len(shown_lines), "more": more})


def _walk(folder: Path, level: int, depth: int) -> Iterator[_Entry]:
    """Depth first, sorted by name; a directory that cannot be read says so in its own place."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda each: os.fsencode(each.name))
    except OSError as error:
        yield _Entry(level, f"[{explain(error, folder)}]")
        return
    for entry in entries:
        yield _Entry(level, _line(entry))
        if level + 1 < depth and entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), level + 1, depth)


def _line(entry: os.DirEntry[str]) -> str:
    name = show(entry.name)
    try:
        if entry.is_symlink():
            return f"{name} -> {show(Path(entry.path).readlink())}"
        if entry.is_dir(follow_symlinks=False):
            return f"{name}/"
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return f"{name} (went away)"
    return f"{name} {found.st_size:,}" if stat.S_ISREG(found.st_mode) else f"{name} (special)"


@tool(risk="risky", effect="idempotent", wall_s=30, keywords=("create", "directory", "folder", "mkdir"))
def create_directory(ctx: Context, path: str) -> str:
    """Create a directory, with those above it that are missing. One that exists already is left as it is.

    Args:
        path: the directory; relative paths begin in the workspace
    """
    where = place(ctx, path)
    existed = where.is_dir()
    try:
        where.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ToolError(f"{show(path)} exists already and is a file, not a directory") from error
    except OSError as error:
        raise ToolError(explain(error, error.filename or where)) from error
    sync_folder(where.parent)
    return f"{shown(ctx, where)} existed already" if existed else f"created {shown(ctx, where)}"
