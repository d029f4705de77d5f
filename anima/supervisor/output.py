"""What a dead child left in the pipe that was its stdout and stderr: a crash's last words."""

import array
import fcntl
import os
import termios

_PIPE_BYTES = 65_536  # what a pipe holds; more can only come from a grandchild that still writes


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
