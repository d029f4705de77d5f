"""Folders that stand where something protected may come, so that it can be hidden before it exists.

Covers: a name that is missing cannot be taken by a tool, because a mount lies on it, and a mount needs something to lie on.
Whoever uses a stand-in holds a lock on it, so the last one removes it, whichever house he is of: one that is removed while a
jail hides it would drop that jail's mount with it. Every step is taken below an opened folder, and follows no symlink.
Does not cover: the moments for which they are visible in the folder of a person. A house that is killed leaves them to the next
jail that needs the same.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from anima.errors import Refused
from anima.sandbox.jail import syscalls

_MODE = 0o1400  #: nobody else makes a folder that is sticky and can only be read
_held: list[int] = []  #: open for the life of the process that made them: the lock goes with it, also if it is killed


def there(path: str) -> bool:
    """Whether something is at `path` that does not merely stand in."""
    return os.path.lexists(path) and not _stands_in(path)


def make(paths: Iterable[str]) -> list[str]:
    """Make and hold a stand-in at each of `paths` where nothing is; those that are held, also the ones that others made.

    Raises Refused if one cannot be made.
    """
    found: list[str] = []
    for path in paths:
        try:
            while (fd := _take(path)) is None:
                pass  # somebody removed it between our two steps: once more
        except OSError as error:
            _let_go()
            remove(found)
            raise Refused(f"{path} is protected and cannot be hidden before it exists: {error.strerror}") from error
        if fd >= 0:
            _held.append(fd)
            found.append(path)
    return found


def remove(paths: Sequence[str]) -> None:
    """Take away those that nobody holds any more."""
    for path in reversed(paths):
        with contextlib.suppress(OSError), _parent(path) as (folder, name):  # held, gone, or somebody's by now
            fd = _open(folder, name)
            try:
                if _is_one(os.fstat(fd)):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.rmdir(name, dir_fd=folder)
            finally:
                os.close(fd)


def _take(path: str) -> int | None:
    """A held descriptor of the stand-in at `path`; -1 if something real is there; None if it was removed meanwhile."""
    with _parent(path) as (folder, name):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, _MODE, dir_fd=folder)
        try:
            if not _is_one(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                return -1
            fd = _open(folder, name)
        except FileNotFoundError:
            return None
        fcntl.flock(fd, fcntl.LOCK_SH)  # waits only for one who removes it
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False)):
                return fd
        os.close(fd)
        return None


def _let_go() -> None:
    while _held:
        os.close(_held.pop())


def _stands_in(path: str) -> bool:
    try:
        return _is_one(os.lstat(path))
    except OSError:
        return False


def _is_one(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == _MODE


def _open(folder: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


@contextlib.contextmanager
def _parent(path: str) -> Iterator[tuple[int, str]]:
    """The folder of `path`, opened without following a symlink: this may be root, in a folder that is a tool's."""
    above, _, name = path.rpartition("/")
    folder = syscalls.open_beneath(os.fsencode(above or "/"))
    try:
        yield folder, name
    finally:
        os.close(folder)
