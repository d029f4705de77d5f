"""What a forked child becomes, and where one that had to be executed anew begins.

`become` is handed to the supervisor's library, which may not know the daemons itself.
"""

import importlib

from anima.supervisor.boot import Boot

from anima.process.run import run


def become(boot: Boot) -> int:
    """Run the daemon of this kind to its end and return its exit code."""
    daemon = importlib.import_module(f"daemons.{boot.kind}")
    return run(daemon.main, boot)
