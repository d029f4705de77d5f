"""What a forked child becomes, and where one that had to be executed anew begins.

`become` is handed to the supervisor's library, which may not know the daemons itself.
"""

import importlib
import sys

from anima.process.run import run
from anima.supervisor.boot import Boot
from anima.supervisor.prologue import live_by_exec


def become(boot: Boot) -> int:
    """Run the daemon of this kind to its end and return its exit code."""
    daemon = importlib.import_module(f"daemons.{boot.kind}")
    return run(daemon.main, boot)


if __name__ == "__main__":
    live_by_exec(sys.argv, become)
