"""One supervisor per home: the folders it needs, and the lock that keeps a second one out."""

import errno
import fcntl
import os

from anima.errors import AnimaError, ConfigError, Exit
from anima.paths import Home


class AlreadyRunning(AnimaError):
    """Another supervisor holds this home."""

    exit = Exit.ALREADY


def prepare(home: Home) -> None:
    """Make the folders of the house that the root writes to, 0700. Raises ConfigError if one cannot be written."""
    home.check_lengths()
    for folder in (home.root, home.state, home.log, home.run):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot create {folder}: {error.strerror}; choose another place with --home or ANIMA_HOME"
            ) from error


def take_lock(home: Home) -> int:
    """The descriptor that holds this home's lock; it is released when the last copy closes.

    Raises AlreadyRunning with the holder's PID, or ConfigError if the file cannot be written.
    """
    try:
        fd = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open {home.lock}: {error.strerror}; the home must be writable by this user") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise AlreadyRunning(f"the house at {home.root} is already running (pid {holder})") from None
        raise ConfigError(f"cannot write {home.lock}: {error.strerror}; free some space or choose another home") from error
    return fd
