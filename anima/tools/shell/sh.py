"""One persistent shell: commands in turn, each with its own outputs and exit code, the directory and variables kept between.

How the end of a command is known: the shell writes `NONCE CODE DIRECTORY` and a NUL to a descriptor of its own, which the
command cannot see (9 is closed for it) and whose nonce it cannot know. All that the command wrote is in the pipes by then. The
line is handed over quoted, through `eval`, so that a quote left open or a comment at its end cannot swallow what follows.

Covered: commands that read input (they get none), that end the shell (it is begun anew, and that is said), that never end.
Not covered: a loop of the shell itself (`while :; do :; done`) that outlives its time limit costs the shell its state.
"""

import contextlib
import os
import secrets
import selectors
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from anima.tools.shell.process import DRAIN_S, Ended, kill_group
from anima.tools.shell.pump import Keeper

_INTERRUPT_GRACE_S = 1.0
_READ_BYTES = 65_536
_STATUS_FD = 9  #: one digit, because that is all a plain sh can redirect

#: Puts the status pipe where the shell expects it, hears signals that whoever started us may ignore, then becomes the shell.
_LAUNCH = f"""import os, signal, sys
for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(each, signal.SIG_DFL)
given = int(sys.argv[1])
if given != {_STATUS_FD}:
    os.dup2(given, {_STATUS_FD})
    os.close(given)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Shell:
    """A shell that lives until it is closed or ends itself. One command at a time; others wait for their turn."""

    def __init__(self, program: str, folder: Path) -> None:
        self._lock = threading.Lock()
        status, theirs = os.pipe()
        self._status = status
        self._wake, self._waker = os.pipe()  # a byte here interrupts the command that runs
        options = ["--noprofile", "--norc"] if program.endswith("bash") else []
        argv = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(theirs), program, *options]
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs,),
            start_new_session=True,
        )
        os.close(theirs)
        self.folder = str(folder)
        for fd in (status, self._wake, self._out, self._err):
            os.set_blocking(fd, False)

    @property
    def _out(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def _err(self) -> int:
        assert self._process.stderr is not None
        return self._process.stderr.fileno()

    @property
    def alive(self) -> bool:
        """Whether it can take another command."""
        return self._process.poll() is None

    def run(self, line: str, limit_s: float, out: Keeper, err: Keeper) -> Ended:
        """Run one line and wait for its end. `Ended.reason` is timeout, interrupted, or gone if the shell ended with it."""
        with self._lock:
            started = time.monotonic()
            _empty(self._wake)
            nonce = secrets.token_hex(16)
            told = (
                f"eval {shlex.quote(line)} </dev/null {_STATUS_FD}>&-\n"
                f'{{ printf \'{nonce} %s %s\\0\' "$?" "$PWD" >&{_STATUS_FD}; }} 2>/dev/null\n'
            )
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(told.encode())
                self._process.stdin.flush()
            except BrokenPipeError:
                return self._gone(started, out, err)
            reason, status = self._wait(nonce, started + limit_s, out, err)
            if status is None:
                return self._gone(started, out, err, reason)
            code, _, folder = status.partition(" ")
            self.folder = folder
            number = int(code)
            by_signal = number - 128 if number > 128 and reason else 0  # noqa: PLR2004 - a shell's way to say it
            return Ended(number, by_signal, time.monotonic() - started, out, err, reason)

    def interrupt(self) -> None:
        """End the command that runs, as Ctrl-C would; the shell goes on."""
        with contextlib.suppress(OSError):
            os.write(self._waker, b"!")

    def close(self) -> None:
        """End the shell and everything it started in its group."""
        kill_group(self._process.pid)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]  # all three are pipes
        for fd in (self._status, self._wake, self._waker):
            with contextlib.suppress(OSError):
                os.close(fd)

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _wait(self, nonce: str, deadline: float, out: Keeper, err: Keeper) -> tuple[str, str | None]:
        """Why it had to be ended ("" if it ended itself), and `CODE DIRECTORY`, None if the shell is gone."""
        reason, heard, step = "", bytearray(), 0
        sinks = {self._out: out.add, self._err: err.add, self._status: heard.extend}
        with selectors.DefaultSelector() as selector:
            for fd in (*sinks, self._wake):
                selector.register(fd, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                    piece = os.read(key.fd, _READ_BYTES)
                    if key.fd == self._wake:
                        reason, deadline = "interrupted", 0.0
                    else:
                        sinks[key.fd](piece)
                    if not piece:
                        selector.unregister(key.fd)
                status = _status_in(bytes(heard), nonce)
                if status is not None:
                    self._drain(out, err)
                if status is not None or self._ended(selector, deadline):
                    return reason, status
                if time.monotonic() >= deadline:
                    reason, step = reason or "timeout", step + 1
                    self._push(step)
                    deadline = time.monotonic() + _INTERRUPT_GRACE_S

    def _ended(self, selector: selectors.BaseSelector, deadline: float) -> bool:
        """Whether the shell is gone. One without its status pipe is `exec PROGRAM` now, or about to end: wait a little."""
        if self._status not in selector.get_map():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(min(0.05, max(0.0, deadline - time.monotonic())))
        return not self.alive

    def _push(self, step: int) -> None:
        """Harder each time: Ctrl-C to what the shell started, then kill it, then the shell itself."""
        if step > 2:  # noqa: PLR2004
            kill_group(self._process.pid)
            return
        for pid in _descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT if step == 1 else signal.SIGKILL)

    def _drain(self, out: Keeper, err: Keeper) -> None:
        """What the command wrote before it ended is in the pipes; take it without waiting for more."""
        for fd, keeper in ((self._out, out), (self._err, err)):
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(fd, _READ_BYTES):
                    keeper.add(piece)

    def _gone(self, started: float, out: Keeper, err: Keeper, reason: str = "") -> Ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DRAIN_S)
        kill_group(self._process.pid)
        code = self._process.wait()
        self._drain(out, err)
        return Ended(max(code, -1), max(-code, 0), time.monotonic() - started, out, err, reason or "gone")


def _status_in(heard: bytes, nonce: str) -> str | None:
    for piece in heard.split(b"\0")[:-1]:
        if piece.startswith(nonce.encode() + b" "):
            return os.fsdecode(piece[len(nonce) + 1 :])
    return None


def _empty(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 64):
            pass


def _descendants(pid: int) -> list[int]:
    """Every process below `pid`, from /proc; the deepest last. Empty where there is no /proc."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        parents.setdefault(int(fields[1]), []).append(int(each.parent.name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found
