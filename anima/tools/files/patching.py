"""apply_patch: a unified diff over any number of files; either all of it fits and is written, or nothing is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anima.tools.context import Context
from anima.tools.files.content import Content, read_text
from anima.tools.files.diff import NOWHERE, FilePatch, apply_hunks, parse_patch
from anima.tools.files.disk import Staged, commit, digest, discard, explain, file_digest, stage, sync_folder
from anima.tools.files.places import place, shown
from anima.tools.tool import How, Result, ToolError, Verdict, tool


@dataclass(frozen=True, slots=True)
class _Change:
    """One file's change, worked out and not yet made. None stands for a file that is not there."""

    path: Path
    before: bytes | None
    after: bytes | None
    remarks: tuple[str, ...]


def _work_out(ctx: Context, patch: str) -> list[_Change]:
    changes: dict[Path, _Change] = {}
    for each in parse_patch(patch):
        change = _change_of(ctx, each)
        if change.path in changes:
            raise ToolError(f"the patch changes {shown(ctx, change.path)} twice; put its hunks under one head")
        changes[change.path] = change
    return list(changes.values())


def _change_of(ctx: Context, patch: FilePatch) -> _Change:
    if patch.old not in (NOWHERE, patch.new) and patch.new != NOWHERE:
        raise ToolError(f"the patch turns {patch.old} into {patch.new}; move the file with move_file first")
    path = place(ctx, patch.old if patch.new == NOWHERE else patch.new)
    name = shown(ctx, path)
    if patch.old == NOWHERE:
        if path.is_symlink() or path.exists():
            raise ToolError(f"the patch creates {name}, which exists already")
        text, remarks = apply_hunks("", patch.hunks, "\n", name)
        return _Change(path, None, text.encode(), tuple(remarks))
    content = read_text(path)
    text, remarks = apply_hunks(content.text, patch.hunks, content.newline, name)
    if patch.new == NOWHERE:
        if text:
            raise ToolError(f"the patch deletes {name}, but {text.count(chr(10))} lines of it would be left")
        return _Change(path, content.encode(), None, tuple(remarks))
    return _Change(path, content.encode(), Content(text, content.bom).encode(), tuple(remarks))


def prepare_patch(args: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The hash of each file before and after; "" where there is none."""
    return {str(each.path): [_hash(each.before), _hash(each.after)] for each in _work_out(ctx, args["patch"])}


def _hash(content: bytes | None) -> str:
    return "" if content is None else digest(content)


def probe_patch(_args: Mapping[str, Any], _ctx: Context, prepared: Mapping[str, Any]) -> Verdict:
    """Done if every file is as it should be after, undone if every file is as before; a mixture is unknown."""
    now = {path: file_digest(Path(path)) for path in prepared}
    if all(now[path] == after for path, (_, after) in prepared.items()):
        return "done"
    return "undone" if all(now[path] == before for path, (before, _) in prepared.items()) else "unknown"


@tool(
    risk="risky",
    effect="checkable",
    wall_s=60,
    keywords=("patch", "diff", "apply", "change", "edit"),
    how=How(prepare=prepare_patch, probe=probe_patch),
)
def apply_patch(ctx: Context, patch: str) -> Result:
    """Apply a unified diff to one or more text files. If any part of it does not fit, nothing is changed.

    Args:
        patch: '--- a/FILE', '+++ b/FILE', then hunks '@@ -line,count +line,count @@'; /dev/null stands for a file that is
            created or deleted; paths begin in the workspace
    """
    changes = _work_out(ctx, patch)
    staged: list[Staged] = []
    try:
        for each in changes:
            if each.after is not None:
                staged.append(stage(each.path, each.after, ctx.call))  # noqa: PERF401 - what is staged must be known on failure
    except ToolError:
        discard(staged)
        raise
    commit(staged)
    for each in changes:
        if each.after is None:
            try:
                each.path.unlink()
            except OSError as error:
                raise ToolError(f"{explain(error, each.path)}; the other files of the patch are changed") from error
            sync_folder(each.path.parent)
    told = [_told(ctx, each) for each in changes]
    return Result(ok=True, text="\n".join(told), data={"files": [shown(ctx, each.path) for each in changes]})


def _told(ctx: Context, change: _Change) -> str:
    verb = "created" if change.before is None else "deleted" if change.after is None else "changed"
    remarks = f" ({'; '.join(change.remarks)})" if change.remarks else ""
    return f"{verb} {shown(ctx, change.path)}{remarks}"
