"""One owner per file: a lock the kernel lets go when the owner dies, with the owner's PID in it for people.

Covered: a second process of this program that opens the same file. Not covered: programs that do not ask for the lock
(a database opened by hand with another tool), and file systems without flock.
"""

import fcntl
import os
from pathlib import Path

from anima.errors import ConfigError, Unavailable


def take_lock(path: Path, owned: Path) -> int:
    """Lock `path` on behalf of `owned`; the file descriptor holds the lock until it is closed.

    Raises Unavailable naming the holder's PID if someone has it, ConfigError if the lock file cannot be written.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{owned} cannot be opened for writing: {error.strerror} ({path}); "
            "the directory must exist and belong to the user who runs anima",
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise Unavailable(
            f"{owned} is in use by the process with PID {holder}; one file has one owner, so stop that process first",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
