"""copy_lines: a range of lines from one file into another, without the lines passing through a model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anima.tools.context import Context
from anima.tools.files.content import Content, bare, read_text, split_lines
from anima.tools.files.diff import unified
from anima.tools.files.disk import digest, file_digest
from anima.tools.files.disk import replace as replace_file
from anima.tools.files.places import place, shown
from anima.tools.tool import How, Result, ToolError, Verdict, tool

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d*))?")


def parse_range(text: str, count: int, name: str) -> tuple[int, int]:
    """First and last line, from 1, of "5", "5-9" or "5-" in a file of `count` lines. Raises ToolError if it has none such."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise ToolError(f"'{text}' is no range of lines; write 5, 5-9 or 5- (to the end)")
    first = int(match[1])
    last = first if match[2] is None else int(match[2] or count)
    if not 1 <= first <= last <= count:
        raise ToolError(f"{name} has {count} lines; the lines {text} are not there")
    return first, last


def _work_out(args: Mapping[str, Any], ctx: Context) -> tuple[Path, Content | None, Content, int]:
    """The destination, what it holds, what it will hold, and how many lines come in."""
    source, destination = place(ctx, args["source"]), place(ctx, args["destination"])
    after, over = args.get("after", -1), args.get("replace", "")
    given = split_lines(read_text(source).text)
    first, last = parse_range(args["lines"], len(given), shown(ctx, source))
    before = read_text(destination) if destination.is_symlink() or destination.exists() else None
    there = split_lines(before.text) if before else []
    newline = before.newline if before else "\n"
    name = shown(ctx, destination)
    if over and after >= 0:
        raise ToolError("give 'after' or 'replace', not both")
    if over:
        begin, end = parse_range(over, len(there), name)
        begin -= 1
    else:
        if after > len(there):
            raise ToolError(f"{name} has {len(there)} lines; there is no line {after} to insert after")
        begin = end = len(there) if after < 0 else after
    taken = [bare(line) + newline for line in given[first - 1 : last]]
    if begin and not there[begin - 1].endswith("\n"):
        there[begin - 1] += newline
    there[begin:end] = taken
    return destination, before, Content("".join(there), before.bom if before else False), len(taken)


def prepare_copy_lines(args: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The hash of the destination before and after; "" where there is none yet."""
    _, before, after, _ = _work_out(args, ctx)
    return {"before": digest(before.encode()) if before else "", "after": digest(after.encode())}


def probe_copy_lines(args: Mapping[str, Any], ctx: Context, prepared: Mapping[str, Any]) -> Verdict:
    """Done or undone by the hashes; unknown if someone changed the destination since."""
    now = file_digest(place(ctx, args["destination"]))
    return "done" if now == prepared["after"] else "undone" if now == prepared["before"] else "unknown"


@tool(
    risk="risky",
    effect="checkable",
    wall_s=60,
    keywords=("copy", "lines", "move", "extract", "insert"),
    how=How(prepare=prepare_copy_lines, probe=probe_copy_lines),
)
def copy_lines(ctx: Context, source: str, lines: str, destination: str, after: int = -1, replace: str = "") -> Result:
    """Copy lines of one text file into another (or the same), which is created if it is not there.

    Args:
        source: the file to copy from; it is not changed
        lines: which lines, as 5, 5-9 or 5- (to the end); counted from 1
        destination: the file to copy into
        after: insert after this line of the destination; 0 is its very beginning; left out, they go to its end
        replace: replace these lines of the destination instead, written as lines
    """
    args = {"source": source, "lines": lines, "destination": destination, "after": after, "replace": replace}
    path, before, made, count = _work_out(args, ctx)
    raw = made.encode()
    replace_file(path, raw, ctx.call)
    name = shown(ctx, path)
    told = unified((before.text if before else "").replace("\r\n", "\n"), made.text.replace("\r\n", "\n"), name)
    data = {"path": name, "lines": count, "sha256": digest(raw)}
    return Result(ok=True, text=f"copied {count} lines into {name}\n{told}", data=data)
