"""supervisor: the root of the tree. Forks, restarts and outlives all others; knows nothing of what they do.

Owns:  the lock of the home, every child process, the control socket
Life:  take the lock, adopt orphans, start the tree in its order, keep it alive, stop it in the opposite order. When the
       house moves to other code it goes on in that with all it holds, and lets the others begin anew one by one.
Bus:   none; its children talk to each other without it
Dies:  100 when another one holds the home, 78 when the configuration is wrong. Its children do not survive it.
"""

import sys
from itertools import chain, repeat

from anima.errors import Exit
from anima.paths import Home
from anima.supervisor.boot import Boot
from anima.supervisor.program import Program
from anima.supervisor.root import Root
from anima.supervisor.spec import Plan


def main(home: Home, state_fd: int = -1) -> Exit:
    """Lead the life of the root for `home` until it is told to stop; what it leaves with is an exit code."""
    strictness = chain([False], repeat(True))  # one wrong agent must not keep the house from waking, but a reload is refused

    def load() -> Plan:
        import daemons.child  # noqa: F401 - so that no fork has to
        from daemons.plan import plan

        return plan(home, strict=next(strictness))

    def become(boot: Boot) -> int:
        from daemons.child import become as live

        return live(boot)

    python = (sys.executable, "-P") if sys.flags.safe_path else (sys.executable,)
    root_argv = (*python, "-m", "daemons", "--home", str(home.root))
    program = Program(load, become, [*python, "-m", "daemons.child"], root_argv, ("daemons.plan", "daemons.child"))
    return Root(home, program, state_fd).run()
