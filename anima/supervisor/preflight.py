"""Asking new code in a fresh process whether it could go on in the root's place; nothing else is touched by that."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass

from anima.supervisor.prologue import ROOTS_OWN
from anima.supervisor.reexec import PREFLIGHT_OPTION, STATE_OPTION, Launch, State, put_down
from anima.supervisor.watch import READ, Watch

_TIMEOUT_S = 60.0  # it imports everything, on a machine that may be busy
_OUTPUT_BYTES_MAX = 65_536


@dataclass(frozen=True)
class Report:
    """What a preflight found: `error` is a sentence, "" if nothing is in the way."""

    error: str = ""
    version: str = ""
    where: str = ""  #: the folder its code lies in
    notes: tuple[str, ...] = ()  #: what a person should know before it is done, a sentence each


def understood(output: bytes, code: int) -> Report:
    """The report in what a preflight printed: its last line, a JSON object; for any other end, a sentence about it."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        told = json.loads(last)
        if told.get("error") or code == 0:
            return Report(str(told["error"]), str(told["version"]), str(told["where"]), tuple(map(str, told["notes"])))
    place = next((line.removeprefix("File ") for line in reversed(lines) if line.startswith("File ")), "")
    how = f"was killed by signal {-code}" if code < 0 else f"left with exit code {code}"
    return Report(f"the new code {how} when it was tried: {last}{f' ({place})' if place else ''}")


class Preflight:
    """One attempt: a process that is given a copy of the state. Raises OSError if the system gives none."""

    def __init__(self, watch: Watch, launch: Launch, state: State) -> None:
        self._watch = watch
        self._output = bytearray()
        self._code: int | None = None
        self._late = False
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        try:
            self.pid = _spawn(launch, state, writer)
        except OSError:
            os.close(self._reader)
            raise
        finally:
            os.close(writer)
        self.deadline = time.monotonic() + _TIMEOUT_S
        watch.listen(self._reader, READ, self._read)

    def bury(self, pid: int, code: int) -> None:
        """Some process was reaped; take note if it was this one."""
        if pid == self.pid:
            self._code = code

    def report(self) -> Report | None:
        """What it found, once it has ended; ends it when it takes too long."""
        if self._code is None and not self._late and time.monotonic() > self.deadline:
            self._late = True
            self.end()
        if self._code is None:
            return None
        self._read()
        if self._late:
            return Report(f"the new code was tried for {_TIMEOUT_S:g} s and did not come to an end")
        return understood(bytes(self._output), self._code)

    def end(self) -> None:
        """Kill it, if it lives."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # our child, not yet reaped: the PID cannot mean anyone else

    def close(self) -> None:
        """Give its descriptor back; one that still runs is killed."""
        self.end()
        if self._reader >= 0:
            self._watch.forget(self._reader)
            os.close(self._reader)
            self._reader = -1

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reader, _OUTPUT_BYTES_MAX):
                self._output += data
                del self._output[:-_OUTPUT_BYTES_MAX]
            self._watch.forget(self._reader)


def _spawn(launch: Launch, state: State, output: int) -> int:
    fd = put_down(state)
    os.set_inheritable(fd, True)
    try:
        argv = [*launch.argv, STATE_OPTION, str(fd), PREFLIGHT_OPTION]
        environ = {name: value for name, value in launch.environ().items() if name not in ROOTS_OWN}
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        defaults = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        return os.posix_spawn(argv[0], argv, environ, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=defaults)
    finally:
        os.close(fd)
