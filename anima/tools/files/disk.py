"""Files on disk, opened without surprises and replaced without a moment in which they are half written.

Covered: directories, pipes, devices and sockets where a file is meant; a full disk; a death at any instant (the old content
or the new, never a mixture; the new only after fsync). Not covered: two writers of one file, who overwrite each other whole.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anima.tools.files.places import show
from anima.tools.tool import ToolError

_SORTS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "directory"),
    (stat.S_ISREG, "file"),
    (stat.S_ISLNK, "symbolic link"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)

_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "it is read-only here",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than a file may be here",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.EBUSY: "it is in use",
    errno.EIO: "the disk has an error",
    errno.EMFILE: "too many files are open",
    errno.ENXIO: "it is a pipe or device without anyone behind it",
}


def sort_of(mode: int) -> str:
    """`file`, `directory`, ... by a mode of stat."""
    return next((name for test, name in _SORTS if test(mode)), "special file")


def explain(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """One sentence about an error of the system, for a model."""
    about = path if path is not None else error.filename
    name = show(os.fspath(about)) if about is not None else "the file"
    if error.errno == errno.ENOENT:
        return f"{name} does not exist{_near(about)}"
    if error.errno == errno.EISDIR:
        return f"{name} is a directory, not a file; list_directory shows what is in it"
    if error.errno == errno.ENOTDIR:
        return f"{name} is not to be had: a part of its path is a file, not a directory"
    if error.errno == errno.EEXIST:
        return f"{name} exists already"
    if error.errno == errno.ENOTEMPTY:
        return f"{name} is not empty"
    return f"{name}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}"


def _near(path: str | bytes | int | os.PathLike[str] | None) -> str:
    """What exists of a path that does not: "; its directory holds ..." or the last directory that is there."""
    if path is None or isinstance(path, int):
        return ""
    wanted = Path(os.fsdecode(path))
    folder = next((each for each in wanted.parents if each.is_dir()), None)
    if folder is None:
        return ""
    if folder != wanted.parent:
        return f"; nor does its directory (the nearest that does is {show(folder)})"
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, also those that are no UTF-8
    except OSError:
        return ""
    close = [each for each in names if each.lower() == wanted.name.lower()]
    close = close or [each for each in names if Path(each).stem.lower() == wanted.stem.lower()][:3]
    return f"; did you mean {' or '.join(show(each) for each in close)}?" if close else ""


def open_regular(path: Path) -> int:
    """A descriptor for reading; never blocks on a pipe. Raises ToolError if it is no regular file or cannot be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise ToolError(explain(error, path)) from error
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise ToolError(explain(IsADirectoryError(errno.EISDIR, ""), path))
    raise ToolError(f"{show(path)} is a {sort_of(mode)}, not a file")


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a regular file of at most `limit`. Raises ToolError for a larger one, without having read it."""
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        if size > limit:
            raise ToolError(
                f"{show(path)} has {size:,} bytes; at most {limit:,} can be changed in memory. Use exec with sed or a script"
            )
        with os.fdopen(fd, "rb", closefd=False) as file:
            found = file.read(limit + 1)
    except OSError as error:
        raise ToolError(explain(error, path)) from error
    finally:
        os.close(fd)
    if len(found) > limit:
        raise ToolError(f"{show(path)} grows while it is read and is larger than {limit:,} bytes; nothing was changed")
    return found


def digest(content: bytes) -> str:
    """What names a content: its SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: Path) -> str:
    """The digest of a file of any size, "" if there is no regular file. Raises ToolError if it cannot be read."""
    if not path.is_file():
        return ""
    fd = open_regular(path)
    with os.fdopen(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- writing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staged:
    """New content, safe on disk under another name, one rename away from its place."""

    target: Path
    temporary: Path


def stage(path: Path, content: bytes, call: str) -> Staged:
    """Write new content beside `path` (through its symbolic links) and fsync it. Missing directories are made.

    The temporary name follows from the call and the path: what a killed attempt left is overwritten by the next one.
    Raises ToolError, and leaves nothing, if the place is no place for a file or the disk does not take it.
    """
    target = path.resolve() if path.is_symlink() else path
    try:
        mode = _mode_wanted(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        token = hashlib.blake2b(os.fsencode(target) + call.encode("utf-8", "replace"), digest_size=6).hexdigest()
        temporary = target.parent / f".anima-{token}.tmp"
        temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ToolError(f"{explain(error, error.filename or path)}; nothing was written") from error
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(fd, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ToolError(f"{explain(error, path)}; nothing was written") from error
    return Staged(target, temporary)


def commit(staged: list[Staged]) -> None:
    """Put staged content in its place, one after the other, and make that durable.

    Raises ToolError if a rename fails, and says which files have changed already: disk space cannot be the reason any more.
    """
    done: list[Staged] = []
    for index, each in enumerate(staged):
        try:
            each.temporary.replace(each.target)
        except OSError as error:
            discard(staged[index:])
            before = f"; changed already: {', '.join(show(one.target) for one in done)}" if done else "; nothing was written"
            raise ToolError(f"{explain(error, each.target)}{before}") from error
        done.append(each)
    for folder in {each.target.parent for each in staged}:
        sync_folder(folder)


def discard(staged: list[Staged]) -> None:
    """Remove what was staged and will not be used."""
    for each in staged:
        each.temporary.unlink(missing_ok=True)


def replace(path: Path, content: bytes, call: str) -> None:
    """New content for one file, all or nothing, durable on return. Raises ToolError; then the old content stands."""
    commit([stage(path, content, call)])


def sync_folder(folder: Path) -> None:
    """Make the names in a directory durable. Raises ToolError if the disk refuses."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # writable but not readable: its names cannot be synced by us; the file itself was
    try:
        os.fsync(fd)
    except OSError as error:
        raise ToolError(f"{explain(error, folder)}; the change is made, but may not survive a power cut") from error
    finally:
        os.close(fd)


def _mode_wanted(target: Path) -> int | None:
    """The permissions of the file that is replaced, None for a new one. Raises OSError if it is no regular file."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory", str(target))
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{show(target)} is a {sort_of(found.st_mode)}, not a file; nothing was written")
    return stat.S_IMODE(found.st_mode)
