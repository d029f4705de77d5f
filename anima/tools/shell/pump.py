"""What a command prints, kept within bounds: head and tail in memory, the whole in a file where there is room for one."""

import contextlib
import os
from pathlib import Path

from anima.limits import tool_spill_bytes_max
from anima.tools.text import plain


class Keeper:
    """One stream of output. Never refuses a byte; what it cannot keep it counts."""

    def __init__(self, limit: int, spill: Path | None = None, live_fd: int | None = None) -> None:
        """Keep `limit` bytes in memory; put the whole in the file `spill` once it is more; repeat all on `live_fd`."""
        self.total = 0
        self._head_max = limit * 2 // 3
        self._tail_max = limit - self._head_max
        self._head = bytearray()
        self._tail = bytearray()
        self._spill = spill
        self._live_fd = live_fd
        self.spilled = ""  #: path of the whole, once there is one

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._live_fd is not None:
            with contextlib.suppress(OSError):  # whoever looks on may leave; the result still holds everything
                os.write(self._live_fd, piece)
        self._keep_whole(piece)
        self.total += len(piece)
        room = self._head_max - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        if len(self._tail) > 2 * self._tail_max:
            del self._tail[: len(self._tail) - self._tail_max]

    def _keep_whole(self, piece: bytes) -> None:
        if self._spill is None or (not self.spilled and self.total + len(piece) <= self._head_max + self._tail_max):
            return
        try:
            with self._spill.open("ab") as file:
                if not self.spilled:
                    file.truncate(0)
                    file.write(self._head + self._tail)
                file.write(piece[: max(0, tool_spill_bytes_max - self.total)])
            self.spilled = str(self._spill)
        except OSError:
            self._spill, self.spilled = None, ""  # no room: head and tail must do, and the notice says what is missing

    def text(self) -> str:
        """Head and tail, with a line between that says what is missing."""
        tail = self._tail[-self._tail_max :] if self.total > self._head_max + self._tail_max else self._tail
        missing = self.total - len(self._head) - len(tail)
        if missing <= 0:
            return plain(bytes(self._head + tail))
        where = f"; the whole is in {self.spilled}: page through it with read_file" if self.spilled else ""
        return (
            f"{plain(bytes(self._head))}\n[... {missing:,} of {self.total:,} bytes left out{where} ...]\n{plain(bytes(tail))}"
        )
