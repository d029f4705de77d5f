"""Log lines of the root, and the last words of its children. Small on purpose: the root shares no code with what it watches.

2026-11-21T02:24:31.123Z INFO supervisor agent:arya is up (pid 812)
2026-11-21T02:24:31.123Z ERROR agent:arya | Fatal Python error: Aborted
"""

import os
import time
from pathlib import Path

from anima import journald
from anima.journald import Fields, Journal
from anima.limits import MIB, output_line_bytes_max
from anima.paths import Home

_bytes_max = 10 * MIB  # then it is set aside as .1; two files at most


def stamp(ts: float) -> str:
    """`ts` (seconds since 1970) as 2026-11-21T02:24:31.123Z."""
    ms = int(ts * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"


def output_lines(output: bytes, name: str, ts: float) -> bytes:
    """What a child left in its output pipe as log lines, each cut at `output_line_bytes_max`."""
    head = f"{stamp(ts)} ERROR {name} | ".encode()
    return b"".join(head + _cut(line) + b"\n" for line in output.rstrip(b"\n").split(b"\n"))


def _readable(output: bytes) -> str:
    """The same as one text; the journal bears several lines in one entry."""
    return b"\n".join(map(_cut, output.rstrip(b"\n").split(b"\n"))).decode(errors="replace")


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


def find_journal() -> Journal | None:
    """Systemd's journal, if that reads our stderr. Else its variable is taken away: our children trust it."""
    if journald.is_ours(os.environ):
        return Journal()
    os.environ.pop(journald.STREAM, None)
    return None


class LogFile:
    """What the root says: to systemd's journal where there is one, else to its file, and to stderr unless that is the same.

    A journal that takes nothing is not waited for: the file has those lines, and the journal is told where they are.
    """

    def __init__(self, home: Home, name: str = "supervisor", journal: Journal | None = None) -> None:
        self._home = home
        self._path = home.log_file(name)
        self._name = name
        self._journal = journal
        self._allowed = True
        self._lost = 0

    @property
    def to_journal(self) -> bool:
        """Whether the journal is told first."""
        return self._journal is not None and self._allowed

    def may_use_journal(self, allowed: bool) -> None:
        """Log to the file from now on unless `allowed`."""
        self._allowed = allowed

    def info(self, text: str, known: str = "", about: str = "", pid: int = 0) -> None:
        """Something happened as it should. `known` is a key of journald.KNOWN, `about` the child it happened to."""
        self._write("INFO", text, known, about, pid)

    def warning(self, text: str, known: str = "", about: str = "", pid: int = 0) -> None:
        """Something went wrong and is being dealt with."""
        self._write("WARNING", text, known, about, pid)

    def error(self, text: str, known: str = "", about: str = "", pid: int = 0) -> None:
        """Something went wrong and needs a person."""
        self._write("ERROR", text, known, about, pid)

    def last_words(self, name: str, text: str, ts: float) -> None:
        """What a dead child left behind, in its own name and at `ts` (seconds since 1970). It need not have been UTF-8."""
        output = os.fsencode(text)
        said: Fields = {"MESSAGE": _readable(output), "PRIORITY": journald.PRIORITIES["ERROR"], "ANIMA_PRINTED": 1}
        if not self._send(name, said):
            append(self._home.log_file(name), output_lines(output, name, ts))

    def _write(self, level: str, text: str, known: str, about: str, pid: int) -> None:
        said: Fields = {"MESSAGE": text, "PRIORITY": journald.PRIORITIES[level], "MESSAGE_ID": journald.KNOWN.get(known, "")}
        if about:
            said |= {"ANIMA_CHILD": about, "OBJECT_PID": pid or ""}
        if self._send(self._name, said):
            return
        head = f"{stamp(time.time())} {level} {self._name} "
        if self._lost:
            text = f"{text}\n({self._lost} earlier lines could not be written)"
        lines = "".join(f"{head}{line}\n" for line in text.splitlines()).encode("utf-8", "replace")
        self._rotate()
        written = append(self._path, lines)
        self._lost = 0 if written else self._lost + 1
        if not self.to_journal and not self._is_stderr():
            try:
                os.write(2, lines)
            except OSError:
                return  # the terminal is gone; the file has it

    def _send(self, name: str, said: Fields) -> bool:
        """Have `name` say something to the journal; False if there is none, or it does not take it now."""
        if self._journal is None or not self._allowed:
            return False
        return self._journal.tell(self._entry(name, said), time.monotonic(), self._excuse)

    def _excuse(self, lines: int) -> bytes:
        return self._entry(self._name, journald.handed_back(lines, self._home.log))

    def _entry(self, name: str, said: Fields) -> bytes:
        return journald.encode({**journald.identity(name, str(self._home.root)), **said})

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
