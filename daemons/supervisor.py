"""supervisor: the root of the tree. Forks, restarts and outlives all others; knows nothing of what they do.

Owns:  the lock of the home, every child process, the control socket
Life:  take the lock, adopt orphans, start the tree in its order, keep it alive, stop it in the opposite order.
Bus:   none; its children talk to each other without it
Dies:  100 when another one holds the home, 78 when the configuration is wrong. Its children do not survive it.
"""

import sys
from itertools import chain, repeat

from anima.errors import Exit
from anima.paths import Home
from anima.supervisor.root import Root
from anima.supervisor.spec import Plan
from daemons import plan
from daemons.child import become


def main(home: Home) -> Exit:
    """Lead the life of the root for `home` until it is told to stop; what it leaves with is an exit code."""
    strictness = chain([False], repeat(True))  # one wrong agent must not keep the house from waking, but a reload is refused

    def load() -> Plan:
        return plan(home, strict=next(strictness))

    return Root(home, load, become, [sys.executable, "-m", "daemons.child"]).run()
