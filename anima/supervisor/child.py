"""One child as the root knows it: what it should be, what it is, and the ends of what is shared with it."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from anima.errors import Exit
from anima.limits import MIB
from anima.supervisor.lifecycle import ALIVE, State
from anima.supervisor.policy import History
from anima.supervisor.spawn import Spawned
from anima.supervisor.spec import ChildSpec


@dataclass(slots=True)
class Child:
    """A name in the plan and, most of the time, a process. All moments are monotonic seconds."""

    spec: ChildSpec
    state: State = State.DOWN
    due: bool = True  #: to be born when its turn comes
    leaving: bool = False  #: no longer in the plan; forgotten once it is down
    pid: int = 0
    pidfd: int = -1
    notify_fd: int = -1
    output_fd: int = -1
    incarnation: int = 0
    generation: int = 0  #: of the code it runs, see reexec.py
    restarts: int = 0  #: without anybody's order
    forked_at: float = 0.0
    ready_at: float = 0.0  #: 0 until it says READY=1
    beat_at: float = 0.0  #: when the root last found a beat
    deadline: float | None = None  #: the one timer of its state
    killed_at: float = 0.0  #: when it was first sent KILL
    cause: str = ""  #: why the root ends it: stop, watchdog, start-timeout; "" while it does not
    status: str = ""  #: its own words
    last_words: str = ""  #: its own reason for leaving
    reason: str = ""  #: why it is not up, a sentence
    code: int = 0  #: exit code of the last process, or minus the signal
    healthy_s: float = 0.0  #: how long the last process was READY
    unborn: int = 0  #: failed forks in a row
    history: History = field(default_factory=History)

    @property
    def name(self) -> str:
        """`journal`, `agent:arya`."""
        return self.spec.name

    @property
    def watched(self) -> bool:
        """Whether silence is a hang."""
        return self.state is State.UP and self.spec.beat_s > 0

    def begin(self, born: Spawned, now: float, generation: int) -> None:
        """`born` is its process from now on."""
        self.pid, self.pidfd, self.notify_fd, self.output_fd = born.pid, born.pidfd, born.notify_fd, born.output_fd
        self.incarnation, self.generation = self.incarnation + 1, generation
        self.forked_at, self.ready_at, self.killed_at = now, 0.0, 0.0
        self.cause = self.status = self.last_words = ""
        self.unborn = 0
        self.deadline = now + self.spec.start_timeout_s

    def let_go(self) -> None:
        """Close what was shared with a process that is dead."""
        for fd in (self.notify_fd, self.output_fd, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.notify_fd = self.output_fd = self.pidfd = -1
        self.deadline = None

    def send(self, number: signal.Signals) -> None:
        """Signal this very process. Fine if it is gone: its PID stays taken until it is reaped, so nobody else is hit."""
        with suppress(ProcessLookupError):
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, number)
            else:
                os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Signal all of its process group, which it leads from its first lines on."""
        with suppress(ProcessLookupError, PermissionError):  # not yet leading; then it has no one beside it either
            os.killpg(self.pid, number)

    def describe(self, now: float) -> dict[str, Any]:
        """Its line of `status`."""
        alive = self.state in ALIVE
        return {
            "name": self.name,
            "kind": self.spec.kind,
            "state": self.state.value,
            "pid": self.pid or None,
            "restarts": self.restarts,
            "uptime_s": round(now - self.forked_at, 3) if alive else 0.0,
            "status": self.status if alive else "",
            "reason": self.reason,
            "incarnation": self.incarnation,
            "generation": self.generation,
        }


_SAYS_WHY = frozenset({Exit.BUG, Exit.TRY_LATER, Exit.CONFIG})  #: who leaves with these has said why in its status
_MEANINGS: dict[int, str] = {
    Exit.OK: "done",
    Exit.BUG: "a bug",
    Exit.TRY_LATER: "something it needs is away",
    Exit.CONFIG: "its configuration is wrong",
}


def end_cause(child: Child) -> str:
    """One word for why the process ended: stop, watchdog, start-timeout, signal or exit."""
    return child.cause or ("signal" if child.code < 0 else "exit")


def end_reason(child: Child, *, starved: bool = False) -> str:
    """Why the process ended, one sentence for a person; `starved`: the kernel ended something of it for want of memory."""
    spec = child.spec
    if child.cause == "stop":
        return "stopped" if not child.killed_at else f"stopped; killed, because it did not end within {spec.stop_timeout_s:g} s"
    if child.cause == "watchdog":
        return f"it hung: {spec.beats_missed_max} beats of {spec.beat_s:g} s missed; its stack is in its log"
    if child.cause == "start-timeout":
        return f"it did not say READY=1 within {spec.start_timeout_s:g} s; its stack is in its log"
    if starved and child.code == -signal.SIGKILL:
        return f"it took more memory than the {spec.memory_bytes_max // MIB} MiB it may have; the kernel ended it"
    if child.code < 0:
        return f"killed by {_signal_name(-child.code)}"
    meaning = _MEANINGS.get(child.code)
    said = child.last_words or (child.status if child.code in _SAYS_WHY else "")
    return f"left with exit code {child.code}" + (f" ({meaning})" if meaning else "") + (f": {said}" if said else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
