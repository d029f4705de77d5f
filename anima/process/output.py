"""What a child prints: cut into lines, limited, and put into its log, so that a flood harms nobody else.

The root made a pipe of the child's stdout and stderr. A thread of the child itself drains it: whoever floods pays.
What is still in the pipe when the child dies is read by the root. A thread, not the event loop, because a print that
fills the pipe would otherwise wait for the very loop it blocks.
"""

import os
import select
import threading
import time
from collections.abc import Callable

from anima.limits import output_bytes_per_s_max, output_line_bytes_max

_CHUNK_BYTES = 64 * 1024


class Cutter:
    """Bytes in, lines out. A line longer than `line_bytes_max` is given once, cut, and its remainder swallowed and counted."""

    def __init__(self, line_bytes_max: int = output_line_bytes_max) -> None:
        self._max = line_bytes_max
        self._held = b""
        self._cutting = False
        self.swallowed = 0  #: bytes, since last set to 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes, without their newline."""
        lines = []
        *whole, rest = (self._held + data).split(b"\n")
        for line in whole:
            if self._cutting:
                self.swallowed += len(line)
                self._cutting = False
            else:
                lines.append(self._text(line))
        if self._cutting:
            self.swallowed += len(rest)
            rest = b""
        elif len(rest) > self._max:
            lines.append(self._text(rest))
            self._cutting = True
            rest = b""
        self._held = rest
        return lines

    def _text(self, line: bytes) -> str:
        if len(line) <= self._max:
            return line.decode(errors="replace")
        self.swallowed += len(line) - self._max
        return line[: self._max].decode(errors="replace") + " … (cut)"


class Allowance:
    """How many bytes may still be written: a bucket that holds one second's worth and refills steadily."""

    def __init__(self, bytes_per_s: int = output_bytes_per_s_max) -> None:
        self._rate = bytes_per_s
        self._left = float(bytes_per_s)
        self._since = 0.0

    def take(self, size: int, now: float) -> bool:
        """Whether `size` bytes may pass at `now` (monotonic seconds)."""
        self._left = min(float(self._rate), self._left + (now - self._since) * self._rate)
        self._since = now
        if size > self._left:
            return False
        self._left -= size
        return True


def start_drain(fd: int, write: Callable[[str], None]) -> None:
    """Drain `fd` in a thread for the rest of this process's life; `write` gets each line and what was dropped."""
    threading.Thread(target=_drain, args=(fd, write), name="output", daemon=True).start()


def _drain(fd: int, write: Callable[[str], None]) -> None:
    cutter, allowance, dropped = Cutter(), Allowance(), 0
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        quiet = not poll.poll(1000 if dropped or cutter.swallowed else None)
        if quiet:
            lost, limit = dropped + cutter.swallowed, output_bytes_per_s_max
            write(f"dropped {lost} bytes of output: more than {limit} a second, or a line too long")
            dropped = cutter.swallowed = 0
            continue
        data = os.read(fd, _CHUNK_BYTES)
        if not data:
            return
        for line in cutter.feed(data):
            if allowance.take(len(line), time.monotonic()):
                write(line)
            else:
                dropped += len(line)
