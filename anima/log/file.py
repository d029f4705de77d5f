"""A log file that never harms the program that writes it: rotated by size, quiet about its own failures but not silent.

A full or read-only disk costs lines, never an exception: what could not be written is counted, the next line tries
again, and the first one that succeeds says how many are missing.
"""

import os
from collections.abc import Callable
from pathlib import Path


class LogFile:
    """NAME.log, and NAME.log.1 (newest) to NAME.log.N put aside. Not for use from several threads at once."""

    def __init__(self, path: Path, bytes_max: int, files_max: int) -> None:
        self.path = path
        self.lost = 0  #: lines that could not be written since the last that could
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._fd = -1
        self._torn = False  #: the last write ended within a line

    def write(self, lines: list[str], excuse: Callable[[int], list[str]]) -> bool:
        """Append `lines`, after `excuse(n)` if n lines were lost before. False if the disk did not take them."""
        missing = excuse(self.lost) if self.lost else []
        content = "".join(f"{line}\n" for line in missing + lines).encode(errors="backslashreplace")
        try:
            self._ensure_open(len(content))
            written = os.write(self._fd, b"\n" + content if self._torn else content)
        except OSError:
            written = -1
            self.close()
        if written < len(content):
            self._torn = written > 0 or self._torn
            self.lost += len(lines)
            return False
        self._torn = False
        self.lost = 0
        return True

    def close(self) -> None:
        """Let go of the file; the next write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _ensure_open(self, coming_bytes: int) -> None:
        """Have the file of that name open, whoever moved or removed it, and put it aside first if it is full."""
        if self._fd >= 0 and not self._is_current():
            self.close()
        if self._fd < 0:
            self._open()
        size = os.fstat(self._fd).st_size
        if size and size + coming_bytes > self._bytes_max:
            self.close()
            self._rotate()
            self._open()

    def _is_current(self) -> bool:
        try:
            named, opened = self.path.stat(), os.fstat(self._fd)
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _rotate(self) -> None:
        aside = [self.path, *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._files_max))]
        if len(aside) == 1:
            self.path.unlink()
        for older, newer in zip(reversed(aside), reversed(aside[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
