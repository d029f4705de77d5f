"""One background command: its output read as it comes and kept within bounds, its input open, its end known."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from anima.limits import tool_job_bytes_max
from anima.tools.shell.process import TERM_GRACE_S, kill_group

_READ_BYTES = 65_536
_LAST_WORDS_S = 0.5  # what an ended command left in the pipe is read by then, unless somebody it started still holds the pipe


class Job:
    """A command that goes on after the call that started it. Stdout and stderr come as one stream."""

    def __init__(self, name: str, line: str, argv: list[str], folder: Path) -> None:
        self.name = name
        self.line = line
        self.started_at = time.time()
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._kept = bytearray()
        self.total = 0  #: bytes it has written
        self._changed = threading.Condition()
        self._closed = False
        self._settled = False
        self._reader = threading.Thread(target=self._read, name=f"job {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the command, in the jail's own numbering."""
        return self._process.pid

    @property
    def state(self) -> str:
        """running, exit code N, or ended by a signal; after the end all that the command wrote is here to be read."""
        code = self._process.poll()
        if code is None:
            return "running"
        if not self._settled:
            self._reader.join(_LAST_WORDS_S)
            self._settled = True
        return f"exit code {code}" if code >= 0 else f"ended by signal {-code}"

    def read(self, since: int, most: int, wait_s: float) -> tuple[bytes, int, int]:
        """Output from byte `since` on, where it begins (later than asked if that is gone), and where to go on.

        Waits up to `wait_s` for something new, less if the command ends.
        """
        with self._changed:
            deadline = time.monotonic() + wait_s
            while self.total <= since and not self._closed and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            begin = max(since, self.total - len(self._kept))
            piece = bytes(self._kept[begin - (self.total - len(self._kept)) :][:most])
            return piece, begin, begin + len(piece)

    def write(self, content: bytes, *, end: bool) -> None:
        """Give the command input; `end` closes it.

        Raises BrokenPipeError if it takes none any more, TimeoutError if it does not read what is there.
        """
        stream = self._process.stdin
        assert stream is not None
        if stream.closed:
            raise BrokenPipeError
        fd, deadline = stream.fileno(), time.monotonic() + TERM_GRACE_S
        os.set_blocking(fd, False)
        while content:
            try:
                content = content[os.write(fd, content) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                time.sleep(0.02)  # the pipe is full; there is nothing to wait on that a reader would close too
        if end:
            stream.close()

    def stop(self) -> str:
        """Ask the command and what it started to end, then end it; its last state."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(TERM_GRACE_S)
        kill_group(self._process.pid)
        self._process.wait()
        self._reader.join(TERM_GRACE_S)
        return self.state

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while piece := os.read(stream.fileno(), _READ_BYTES):
            with self._changed:
                self._kept += piece
                self.total += len(piece)
                if len(self._kept) > tool_job_bytes_max:
                    del self._kept[: len(self._kept) - tool_job_bytes_max]
                self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
