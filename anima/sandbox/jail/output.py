"""What a jail prints: its start and its end are kept, the rest is counted. Pure.

Covers: a flood of any size costs the owner `bytes_max` of memory.
Does not cover: what the bytes say; they are a prisoner's.
"""

from collections import deque


class Kept:
    """Bytes in, head and tail out."""

    def __init__(self, bytes_max: int) -> None:
        self.total = 0
        self._head = bytearray()
        self._head_max = bytes_max - bytes_max // 2
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._tail_max = bytes_max // 2

    def add(self, piece: bytes) -> None:
        """Take what was printed."""
        self.total += len(piece)
        room = self._head_max - len(self._head)
        self._head += piece[:room]
        if rest := piece[room:]:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            while self._tail and self._tail_bytes - len(self._tail[0]) >= self._tail_max:
                self._tail_bytes -= len(self._tail.popleft())

    def text(self) -> bytes:
        """All of it, or its start and end with a line between them."""
        tail = b"".join(self._tail)
        tail = tail[-self._tail_max :] if self._tail_max else b""
        left_out = self.total - len(self._head) - len(tail)
        if not left_out:
            return bytes(self._head) + tail
        return bytes(self._head) + b"\n[... %d bytes left out ...]\n" % left_out + tail
