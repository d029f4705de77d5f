"""write_file: new content for a file, all or nothing, and the probe that tells by its hash whether that happened."""

from collections.abc import Mapping
from typing import Any

from anima.tools.context import Context
from anima.tools.files.disk import digest, file_digest, replace
from anima.tools.files.places import place, shown
from anima.tools.tool import How, Result, Verdict, tool


def probe_write(args: Mapping[str, Any], ctx: Context, _prepared: Mapping[str, Any]) -> Verdict:
    """Done if the file holds what was to be written."""
    return "done" if file_digest(place(ctx, args["path"])) == digest(args["content"].encode()) else "undone"


@tool(
    risk="risky",
    effect="checkable",
    wall_s=60,
    keywords=("write", "file", "create", "save", "store"),
    how=How(probe=probe_write),
)
def write_file(ctx: Context, path: str, content: str) -> Result:
    """Write a text file: a new one, or the whole new content of one that exists. Missing directories are made.

    Args:
        path: the file; relative paths begin in the workspace
        content: everything the file shall hold
    """
    where = place(ctx, path)
    before = where.stat().st_size if where.is_file() else -1
    raw = content.encode()
    replace(where, raw, ctx.call)
    lines = content.count("\n") + (not content.endswith("\n") and bool(content))
    was = "a new file" if before < 0 else f"it had {before:,} bytes"
    data = {"path": shown(ctx, where), "bytes": len(raw), "lines": lines, "sha256": digest(raw), "created": before < 0}
    size = f"{len(raw):,} byte{'s' * (len(raw) != 1)} ({lines:,} line{'s' * (lines != 1)})"
    return Result(ok=True, text=f"wrote {size} to {data['path']}; {was}", data=data)
