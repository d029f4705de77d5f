"""Log lines of the root, and the last words of its children. Small on purpose: the root shares no code with what it watches.

2026-11-21T02:24:31.123Z INFO supervisor agent:arya is up (pid 812)
2026-11-21T02:24:31.123Z ERROR agent:arya | Fatal Python error: Aborted
"""

import os
import time
from pathlib import Path

from anima.limits import MIB, output_line_bytes_max

_bytes_max = 10 * MIB  # then it is set aside as .1; two files at most


def stamp(ts: float) -> str:
    """`ts` (seconds since 1970) as 2026-11-21T02:24:31.123Z."""
    ms = int(ts * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"


def output_lines(output: bytes, name: str, ts: float) -> bytes:
    """What a child left in its output pipe as log lines, each cut at `output_line_bytes_max`."""
    head = f"{stamp(ts)} ERROR {name} | ".encode()
    return b"".join(head + _cut(line) + b"\n" for line in output.rstrip(b"\n").split(b"\n"))


def _cut(line: bytes) -> bytes:
    return line if len(line) <= output_line_bytes_max else line[:output_line_bytes_max] + b" [cut]"


def append(path: Path, lines: bytes) -> bool:
    """Add `lines` to the log at `path`. False if the disk would not take them: a full disk must not stop the root."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        return os.write(fd, lines) == len(lines)
    except OSError:
        return False
    finally:
        os.close(fd)


class LogFile:
    """The root's own log: to its file, and to stderr unless that is the same file."""

    def __init__(self, path: Path, name: str = "supervisor") -> None:
        self._path = path
        self._name = name
        self._lost = 0

    def info(self, text: str) -> None:
        """Something happened as it should."""
        self._write("INFO", text)

    def warning(self, text: str) -> None:
        """Something went wrong and is being dealt with."""
        self._write("WARNING", text)

    def error(self, text: str) -> None:
        """Something went wrong and needs a person."""
        self._write("ERROR", text)

    def _write(self, level: str, text: str) -> None:
        head = f"{stamp(time.time())} {level} {self._name} "
        if self._lost:
            text = f"{text}\n({self._lost} earlier lines could not be written)"
        lines = "".join(f"{head}{line}\n" for line in text.splitlines()).encode("utf-8", "replace")
        self._rotate()
        written = append(self._path, lines)
        self._lost = 0 if written else self._lost + 1
        if not self._is_stderr():
            try:
                os.write(2, lines)
            except OSError:
                return  # the terminal is gone; the file has it

    def _rotate(self) -> None:
        try:
            if self._path.stat().st_size < _bytes_max:
                return
            was_stderr = self._is_stderr()
            self._path.replace(f"{self._path}.1")
            if was_stderr:
                self._move_stderr()
        except OSError:
            return  # no file yet, or no right to rename: then it grows, which loses nothing

    def _move_stderr(self) -> None:
        """A detached root's output is its log; it must not go on into the file that was set aside."""
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)

    def _is_stderr(self) -> bool:
        try:
            mine, other = self._path.stat(), os.fstat(2)
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (other.st_dev, other.st_ino)
