"""What a dead child left behind: in the pipe that was its stdout and stderr, and the stack a fatal signal had written."""

import array
import fcntl
import os
import termios
from contextlib import suppress
from pathlib import Path

_PIPE_BYTES = 65_536  # what a pipe holds; more can only come from a grandchild that still writes, or from very many threads


def left_in(fd: int) -> bytes:
    """What is in the pipe `fd` now, at most 64 KiB. Never waits, even if a grandchild holds the other end."""
    found = bytearray()
    while len(found) < _PIPE_BYTES:
        waiting = array.array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, waiting)
        if waiting[0] == 0:
            break
        found += os.read(fd, min(waiting[0], _PIPE_BYTES - len(found)))
    return bytes(found)


def stack_in(path: Path) -> bytes:
    """The stack a fatal signal left at `path`, at most 64 KiB of it; the file is gone afterwards."""
    try:
        with path.open("rb") as file:
            found = file.read(_PIPE_BYTES)
    except OSError:
        return b""  # it died before its log was open
    with suppress(OSError):
        path.unlink()
    return found


def untold(_printed: str) -> str:
    """What stands for a text as long as nobody knows which secrets to take out of it."""
    return "(it printed something, which is not shown: the new code had not read the settings yet)"
