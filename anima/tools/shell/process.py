"""One command from start to end: both outputs read as they come, a deadline, and nothing left running afterwards."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from anima.tools.files.disk import explain
from anima.tools.shell.pump import Keeper
from anima.tools.tool import Interrupted, Result, ToolError

TERM_GRACE_S = 2.0  #: between asking a command to end and ending it
DRAIN_S = 0.3  #: how long output of what a command left behind is waited for
_READ_BYTES = 65_536
_TICK_S = 0.05  #: how often the end of a process is looked for where the kernel cannot tell it


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and within which bounds."""

    argv: Sequence[str]
    folder: Path
    limit_s: float
    stdin: bytes = b""
    environ: Mapping[str, str] | None = None  #: None: the child's own, which the jail made


@dataclass(slots=True)
class Ended:
    """How it ended."""

    exit: int  #: exit code; -1 when a signal ended it
    signal: int
    duration_s: float
    out: Keeper
    err: Keeper
    reason: str = ""  #: "timeout" or "interrupted", if that ended it
    left: bool = False  #: whether it left processes behind, which were ended


def run_process(plan: Plan, out: Keeper, err: Keeper) -> Ended:
    """Run a command to its end, or to its deadline. Raises ToolError if it cannot be started.

    Its processes form a group of their own; whatever of it is left when the command has ended is killed.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            plan.argv,
            cwd=plan.folder,
            env=dict(plan.environ) if plan.environ is not None else None,
            stdin=subprocess.PIPE if plan.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(_cannot_start(plan, error)) from error
    except ValueError as error:
        raise ToolError(f"the command cannot be run: {error}") from error
    reason = ""
    try:
        with _Wait(process, plan.stdin, out, err) as wait:
            if not wait.until(started + plan.limit_s):
                reason = "timeout"
                _end(process, wait)
            wait.drain(time.monotonic() + DRAIN_S)
    except Interrupted:
        reason = "interrupted"
    left = kill_group(process.pid)
    code = process.wait()
    return Ended(max(code, -1), max(-code, 0), time.monotonic() - started, out, err, reason, left and not reason)


def _cannot_start(plan: Plan, error: OSError) -> str:
    if error.filename is not None and str(error.filename) == str(plan.folder):
        return explain(error, plan.folder)
    if isinstance(error, FileNotFoundError):
        return f"the program '{plan.argv[0]}' is not installed here"
    return explain(error, plan.argv[0])


def kill_group(leader: int) -> bool:
    """End a process group at once; whether there was anything of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
        return True
    return False


def _end(process: "subprocess.Popen[bytes]", wait: "_Wait") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    if not wait.until(time.monotonic() + TERM_GRACE_S):
        kill_group(process.pid)
        wait.until(time.monotonic() + TERM_GRACE_S)


def _end_of(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where the kernel, or a jail, gives none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


class _Wait:
    """Reads both outputs, feeds the input and sees the end, all at once: no pipe can fill up while another is watched."""

    def __init__(self, process: "subprocess.Popen[bytes]", stdin: bytes, out: Keeper, err: Keeper) -> None:
        self._process = process
        self._todo = memoryview(stdin)
        self._selector = selectors.DefaultSelector()
        self._open = 0
        self._pid_fd = _end_of(process.pid)
        for stream, keeper in ((process.stdout, out), (process.stderr, err)):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, keeper)
            self._open += 1
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE, None)
        if self._pid_fd >= 0:
            self._selector.register(self._pid_fd, selectors.EVENT_READ, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._pid_fd >= 0:
            os.close(self._pid_fd)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def until(self, deadline: float) -> bool:
        """Pump until the process has ended; False if it has not at the deadline (monotonic)."""
        while self._process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._pump(left if self._pid_fd >= 0 else min(left, _TICK_S))
        return True

    def drain(self, deadline: float) -> None:
        """Take what is still in the pipes, until they are closed or the deadline passes."""
        if self._pid_fd >= 0 and self._pid_fd in self._selector.get_map():
            self._selector.unregister(self._pid_fd)
        while self._open and (left := deadline - time.monotonic()) > 0:
            self._pump(left)

    def _pump(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.fileobj, int):
                continue
            if key.data is None:
                self._feed(key.fileobj)  # type: ignore[arg-type]
            elif piece := os.read(key.fd, _READ_BYTES):
                key.data.add(piece)
            else:
                self._selector.unregister(key.fileobj)
                self._open -= 1

    def _feed(self, stream: IO[Any]) -> None:
        try:
            self._todo = self._todo[os.write(stream.fileno(), self._todo[:_READ_BYTES]) :]
        except BrokenPipeError:
            self._todo = self._todo[:0]  # it does not want the rest
        if not self._todo:
            self._selector.unregister(stream)
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def report(ended: Ended, limit_s: float) -> Result:
    """What a model reads about a command: how it ended, then its outputs apart."""
    how = f"exit code {ended.exit}"
    if ended.signal:
        how = f"ended by {_signal_name(ended.signal)}"
    if ended.reason == "timeout":
        how = f"stopped after {limit_s:.0f} s, its time limit ({how}); this is its output so far"
    elif ended.reason == "interrupted":
        how = "interrupted; this is its output so far"
    pieces = [f"[{how}, {ended.duration_s:.1f} s]"]
    out, err = ended.out.text(), ended.err.text()
    if out:
        pieces.append(out.rstrip("\n") if not err else f"[stdout]\n{out.rstrip(chr(10))}")
    if err:
        pieces.append(f"[stderr]\n{err.rstrip(chr(10))}")
    if not out and not err:
        pieces.append("[no output]")
    if ended.left:
        pieces.append("[it left processes behind, which were ended; background_start keeps a command running]")
    data = {
        "exit": ended.exit,
        "signal": ended.signal,
        "reason": ended.reason,
        "duration_s": round(ended.duration_s, 3),
        "stdout": out,
        "stderr": err,
        "stdout_bytes": ended.out.total,
        "stderr_bytes": ended.err.total,
    }
    return Result(ok=ended.exit == 0 and not ended.reason, text="\n".join(pieces), data=data)


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
