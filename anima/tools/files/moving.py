"""delete_file, move_file and copy_file: one path, or a whole directory if that is said."""

import contextlib
import errno
import os
import resource
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anima.tools.context import Context
from anima.tools.files.disk import Staged, commit, discard, explain, file_digest, open_regular, stage, sync_folder
from anima.tools.files.places import place, show, shown
from anima.tools.tool import How, Result, ToolError, Verdict, tool

_PIECE_BYTES = 1_048_576


def _identity(path: Path) -> str:
    """What tells one file from another under the same name; "" if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


# -- delete --------------------------------------------------------------------------------------------------------------


def prepare_delete(args: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Which file bears the name now."""
    return {"identity": _identity(place(ctx, args["path"]))}


def probe_delete(args: Mapping[str, Any], ctx: Context, prepared: Mapping[str, Any]) -> Verdict:
    """Done if that file does not bear the name any more, whatever does; a directory half removed is still there: undone."""
    return "undone" if _identity(place(ctx, args["path"])) == prepared["identity"] else "done"


@tool(
    risk="dangerous",
    effect="checkable",
    wall_s=120,
    keywords=("delete", "remove", "rm", "file", "erase"),
    how=How(prepare=prepare_delete, probe=probe_delete),
)
def delete_file(ctx: Context, path: str, recursive: bool = False) -> str:
    """Delete a file or symbolic link, or an empty directory. There is no way back.

    Args:
        path: what to delete; of a symbolic link the link itself
        recursive: also a directory with everything in it
    """
    where = place(ctx, path)
    _refuse_workspace(ctx, where)
    try:
        if not stat.S_ISDIR(os.lstat(where).st_mode):
            where.unlink()
        elif recursive:
            shutil.rmtree(where)
        else:
            where.rmdir()
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise ToolError(f"{show(path)} is a directory and not empty; recursive deletes it with everything in it") from error
        left = (
            "; a part of it may be gone already" if recursive and error.filename and str(error.filename) != str(where) else ""
        )
        raise ToolError(f"{explain(error, error.filename or where)}{left}") from error
    sync_folder(where.parent)
    return f"deleted {shown(ctx, where)}"


def _refuse_workspace(ctx: Context, where: Path) -> None:
    real = Path(os.path.realpath(where)) if not where.is_symlink() else where
    if real == Path(os.path.realpath(ctx.workdir)) or real in Path(os.path.realpath(ctx.workdir)).parents:
        raise ToolError("that is the workspace itself, or a directory above it; name what is in it")


# -- move ----------------------------------------------------------------------------------------------------------------


def prepare_move(args: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Which file is to be moved."""
    return {"identity": _identity(place(ctx, args["source"]))}


def probe_move(args: Mapping[str, Any], ctx: Context, prepared: Mapping[str, Any]) -> Verdict:
    """By where that very file is; unknown if it is in neither place (another disk, or moved on)."""
    if _identity(place(ctx, args["source"])) == prepared["identity"]:
        return "undone"
    at = _destination(place(ctx, args["source"]), place(ctx, args["destination"]))
    return "done" if prepared["identity"] in (_identity(at), _identity(place(ctx, args["destination"]))) else "unknown"


@tool(
    risk="risky",
    effect="checkable",
    wall_s=120,
    keywords=("move", "rename", "mv", "file"),
    how=How(prepare=prepare_move, probe=probe_move),
)
def move_file(ctx: Context, source: str, destination: str, overwrite: bool = False) -> str:
    """Move or rename a file or directory. Into an existing directory, it keeps its name.

    Args:
        source: what to move
        destination: its new path, or a directory to put it in; missing directories are made
        overwrite: replace a file that is there already
    """
    begin = place(ctx, source)
    _refuse_workspace(ctx, begin)
    end = _destination(begin, place(ctx, destination))
    try:
        os.lstat(begin)
        _refuse_existing(begin, end, overwrite=overwrite)
        end.parent.mkdir(parents=True, exist_ok=True)
        begin.rename(end)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return _move_across(ctx, begin, end)
        if error.errno == errno.EINVAL:
            raise ToolError(f"{show(source)} cannot be moved into itself") from error
        raise ToolError(explain(error, error.filename or begin)) from error
    sync_folder(end.parent)
    sync_folder(begin.parent)
    return f"moved {shown(ctx, begin)} to {shown(ctx, end)}"


def _destination(source: Path, destination: Path) -> Path:
    return destination / source.name if destination.is_dir() and source != destination else destination


def _refuse_existing(source: Path, end: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(end):
        return
    if os.path.realpath(source) == os.path.realpath(end):
        raise ToolError(f"{show(source)} and {show(end)} are the same file")
    if end.is_dir() and not end.is_symlink():
        raise ToolError(f"{show(end)} is a directory that exists already; delete it first or choose another name")
    if not overwrite:
        raise ToolError(f"{show(end)} exists already; overwrite replaces it")
    if source.is_dir() and not source.is_symlink():
        raise ToolError(f"{show(end)} is a file; a directory cannot take its place")


def _move_across(ctx: Context, begin: Path, end: Path) -> str:
    """To another disk: a durable copy first, then the source goes."""
    if begin.is_dir() and not begin.is_symlink():
        raise ToolError(
            f"{shown(ctx, begin)} is a directory on another disk than {shown(ctx, end.parent)}; copy it with exec cp -a"
        )
    _copy_one(begin, end, ctx.call)
    begin.unlink()
    sync_folder(begin.parent)
    return f"moved {shown(ctx, begin)} to {shown(ctx, end)} (on another disk)"


# -- copy ----------------------------------------------------------------------------------------------------------------


def prepare_copy(args: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The hash of what is to be copied, and of what is in its place. What cannot be written is not read for minutes first."""
    source = place(ctx, args["source"])
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    with contextlib.suppress(OSError):  # the tool itself says what is wrong with it
        if (size := source.stat().st_size) > most != resource.RLIM_INFINITY and source.is_file():
            raise ToolError(f"{show(source)} has {size:,} bytes, and a file may have {most:,} here; nothing was copied")
    return {"content": file_digest(source), "before": file_digest(_destination(source, place(ctx, args["destination"])))}


def probe_copy(args: Mapping[str, Any], ctx: Context, prepared: Mapping[str, Any]) -> Verdict:
    """By the hash of the copy."""
    found = file_digest(_destination(place(ctx, args["source"]), place(ctx, args["destination"])))
    return "done" if found == prepared["content"] else "undone" if found == prepared["before"] else "unknown"


@tool(
    risk="risky",
    effect="checkable",
    wall_s=120,
    keywords=("copy", "cp", "file", "duplicate", "backup"),
    how=How(prepare=prepare_copy, probe=probe_copy),
)
def copy_file(ctx: Context, source: str, destination: str, overwrite: bool = False) -> Result:
    """Copy one file of any size, with its permissions. For directories use exec with cp -a.

    Args:
        source: the file to copy
        destination: the path of the copy, or a directory to put it in; missing directories are made
        overwrite: replace a file that is there already
    """
    begin = place(ctx, source)
    end = _destination(begin, place(ctx, destination))
    try:
        _refuse_existing(begin, end, overwrite=overwrite)
    except OSError as error:
        raise ToolError(explain(error, begin)) from error
    size = _copy_one(begin, end, ctx.call)
    return Result(ok=True, text=f"copied {shown(ctx, begin)} to {shown(ctx, end)} ({size:,} bytes)", data={"bytes": size})


def _copy_one(begin: Path, end: Path, call: str) -> int:
    """Copy a regular file piece by piece into a staged one, then put that in place."""
    fd = open_regular(begin)
    with os.fdopen(fd, "rb") as given:
        staged: list[Staged] = [stage(end, b"", call)]
        size = 0
        try:
            with staged[0].temporary.open("wb") as taken:
                while piece := given.read(_PIECE_BYTES):
                    taken.write(piece)
                    size += len(piece)
                os.fchmod(taken.fileno(), stat.S_IMODE(os.fstat(fd).st_mode))
                taken.flush()
                os.fsync(taken.fileno())
        except OSError as error:
            discard(staged)
            raise ToolError(f"{explain(error, end)}; nothing was copied") from error
    commit(staged)
    return size
