"""Deaths on demand, for tests: a process that reaches a named point kills another (or itself) by kill -9, once.

    ANIMA_CRASH_AT=POINT:VICTIM     POINT   intent, approved, started, effect or response: see docs/tools-path.md
                                    VICTIM  sandbox, agent, journal or root

A marker in the runtime directory remembers that it happened, so that the next life of the house goes on undisturbed. Not
set, as ever, `reach` is a function that does nothing.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping

from anima.errors import ConfigError, Exit
from anima.paths import Home
from anima.supervisor.pidfile import read_pid_file

VARIABLE = "ANIMA_CRASH_AT"
POINTS = ("intent", "approved", "started", "effect", "response")
VICTIMS = ("sandbox", "agent", "journal", "root")

Reach = Callable[[str, str], None]  #: told the point that was reached, and the agent whose call reached it

_LOOK_S = 0.005
_PATIENCE_S = 10.0  # nobody survives KILL; one that hangs in the kernel must not hang the test as well


def crash_points(home: Home, environ: Mapping[str, str] = os.environ) -> Reach:
    """What to call at each point. Raises ConfigError if the variable is set and makes no sense."""
    wanted = environ.get(VARIABLE)
    if not wanted:
        return _go_on
    point, _, victim = wanted.partition(":")
    if point not in POINTS or victim not in VICTIMS:
        raise ConfigError(
            f"{VARIABLE} is '{wanted}'; write POINT:VICTIM with one of {', '.join(POINTS)} and one of {', '.join(VICTIMS)}"
        )
    marker = home.run / f"crashed-{point}-{victim}"

    def reach(reached: str, agent: str) -> None:
        if reached == point and not marker.exists():
            marker.touch()
            _kill(home, victim, agent)

    return reach


def _go_on(_reached: str, _agent: str) -> None:
    """Not armed."""


def _kill(home: Home, victim: str, agent: str) -> None:
    """Kill and stand still until the victim is gone: what happens here next, happens after its death."""
    if victim == "sandbox":
        os.kill(os.getpid(), signal.SIGKILL)
    name = {"agent": f"agent:{agent}", "root": "supervisor"}.get(victim, victim)
    path = home.pid_file(name)
    if (pid := read_pid_file(path)) is None:
        return  # it is down already
    os.kill(pid, signal.SIGKILL)
    if victim == "root":
        os._exit(Exit.TRY_LATER)  # its death is the death of all; the kernel's signal to us may take a moment longer
    give_up_at = time.monotonic() + _PATIENCE_S
    while read_pid_file(path) == pid and time.monotonic() < give_up_at:
        time.sleep(_LOOK_S)
