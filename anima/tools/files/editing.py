"""edit_file: one exact text replaced by another; all around it stays untouched, line ends and byte-order mark included."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from anima.limits import tool_edit_bytes_max
from anima.tools.context import Context
from anima.tools.files.content import Content, read_text
from anima.tools.files.diff import unified
from anima.tools.files.disk import digest, file_digest, replace
from anima.tools.files.nearmiss import near_miss
from anima.tools.files.places import place, shown
from anima.tools.tool import How, Result, ToolError, Verdict, tool


def substitute(text: str, old: str, new: str, newline: str) -> tuple[str, int]:
    r"""The text with every `old` replaced, and how many there were.

    Where the file's lines end in \r\n, `old` matches them with \n too, and `new` takes the file's line ends on; what is not
    replaced keeps its own. A file without \r\n is taken to the letter.
    """
    if "\r\n" not in text:
        return text.replace(old, new), text.count(old)
    flat = text.replace("\r\n", "\n")
    returns = _returns(text)
    want = old.replace("\r\n", "\n")
    put = new.replace("\r\n", "\n").replace("\n", newline)
    pieces: list[str] = []
    count = after = 0
    at = flat.find(want)
    while at >= 0:
        pieces += [text[_back(after, returns) : _back(at, returns)], put]
        after, count = at + len(want), count + 1
        at = flat.find(want, after)
    return "".join(pieces) + text[_back(after, returns) :], count


def _returns(text: str) -> list[int]:
    """Where, in the flattened text, newlines stand that had a carriage return before them; ascending."""
    found: list[int] = []
    at = text.find("\r\n")
    while at >= 0:
        found.append(at - len(found))
        at = text.find("\r\n", at + 2)
    return found


def _back(flat_at: int, returns: list[int]) -> int:
    """The place in the text that a place in its flattened form stands for."""
    return flat_at + bisect_left(returns, flat_at)


def edited(content: Content, old: str, new: str, *, replace_all: bool, name: str) -> tuple[Content, int]:
    """The content after the edit. Raises ToolError if `old` is not there, or is there more than once and not all are meant."""
    if not old:
        raise ToolError("old_text is empty; to write a whole file use write_file")
    if old == new:
        raise ToolError("old_text and new_text are the same; nothing would change")
    text, count = substitute(content.text, old, new, content.newline)
    if count == 0:
        raise ToolError(f"old_text is not in {name}: {near_miss(content.text, old)}")
    if count > 1 and not replace_all:
        flat, want = content.text.replace("\r\n", "\n"), old.replace("\r\n", "\n")
        lines: list[str] = []
        at = -1
        while (at := flat.find(want, at + 1)) >= 0 and len(lines) < 5:  # noqa: PLR2004
            lines.append(str(flat.count("\n", 0, at) + 1))
        raise ToolError(
            f"old_text stands {count} times in {name} (at lines {', '.join(lines)}{', ...' if count > len(lines) else ''}); "
            "give more of its surroundings, or replace_all"
        )
    return Content(text, content.bom), count


def prepare_edit(args: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The hash of the file before and after."""
    content = read_text(place(ctx, args["path"]))
    after, _ = edited(
        content, args["old_text"], args["new_text"], replace_all=args.get("replace_all", False), name=args["path"]
    )
    return {"before": digest(content.encode()), "after": digest(after.encode())}


def probe_edit(args: Mapping[str, Any], ctx: Context, prepared: Mapping[str, Any]) -> Verdict:
    """Done or undone by the hashes; unknown if someone changed the file since."""
    now = file_digest(place(ctx, args["path"]))
    return "done" if now == prepared["after"] else "undone" if now == prepared["before"] else "unknown"


@tool(
    risk="risky",
    effect="checkable",
    wall_s=60,
    keywords=("edit", "change", "replace", "file", "fix", "modify", "update"),
    how=How(prepare=prepare_edit, probe=probe_edit),
)
def edit_file(ctx: Context, path: str, old_text: str, new_text: str, replace_all: bool = False) -> Result:
    """Replace an exact piece of a text file. The piece must stand there once; give enough of its surroundings.

    Args:
        path: the file; relative paths begin in the workspace
        old_text: what stands there now, to the letter, indentation included
        new_text: what shall stand there instead; empty to delete
        replace_all: replace every occurrence, however many
    """
    where = place(ctx, path)
    content = read_text(where)
    name = shown(ctx, where)
    after, count = edited(content, old_text, new_text, replace_all=replace_all, name=name)
    raw = after.encode()
    if len(raw) > tool_edit_bytes_max:
        raise ToolError(f"{name} would have {len(raw):,} bytes; edit_file changes files of up to {tool_edit_bytes_max:,}")
    replace(where, raw, ctx.call)
    told = unified(content.text.replace("\r\n", "\n"), after.text.replace("\r\n", "\n"), name)
    times = "" if count == 1 else f" in {count} places"
    data = {"path": name, "count": count, "sha256": digest(raw)}
    return Result(ok=True, text=f"changed {name}{times}\n{told}", data=data)
