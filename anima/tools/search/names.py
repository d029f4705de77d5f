"""glob: files by their names."""

from typing import Literal

from anima.limits import tool_entries_max
from anima.tools.context import Context
from anima.tools.files.disk import explain
from anima.tools.files.places import place, show
from anima.tools.search.patterns import matcher
from anima.tools.search.walk import Walk
from anima.tools.tool import Result, ToolError, tool


@tool(risk="safe", effect="pure", wall_s=60, keywords=("find", "files", "glob", "name", "search", "where", "locate"))
def glob(
    ctx: Context,
    pattern: str,
    path: str = ".",
    options: list[Literal["hidden", "ignored", "directories"]] = [],  # noqa: B006
) -> Result:
    """Find files by a pattern of their names; files that .gitignore leaves out are left out.

    Args:
        pattern: like *.py (in any directory), src/**/*.ts, **/test_*.py, *.{md,txt}
        path: the directory to look below; left out, the workspace
        options: hidden, also names with a leading dot; ignored, also what .gitignore leaves out; directories, also those
    """
    where = place(ctx, path)
    try:
        if not where.stat() or not where.is_dir():
            raise ToolError(f"{show(path)} is a file; name the directory to look below")
    except OSError as error:
        raise ToolError(explain(error, where)) from error
    meant = matcher(pattern)
    unread: list[str] = []
    found: list[str] = []
    more = False
    for each in Walk(where, hidden="hidden" in options, ignore="ignored" not in options, unread=unread):
        is_folder = each.entry.is_dir(follow_symlinks=False)
        if (is_folder and "directories" not in options) or not meant(each.path):
            continue
        if len(found) == tool_entries_max:
            more = True
            break
        found.append(show(each.path) + "/" * is_folder)
    notes = [f"[more than {tool_entries_max} match; narrow the pattern]"] if more else []
    if unread:
        notes.append(f"[could not look into {', '.join(unread[:5])}{' and others' if len(unread) > 5 else ''}]")  # noqa: PLR2004
    text = "\n".join([*found, *notes]) if found else "\n".join([f"[no file matches {pattern}]", *notes])
    return Result(ok=True, text=text, data={"count": len(found), "more": more})
