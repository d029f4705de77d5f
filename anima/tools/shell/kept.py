"""What lives on between calls: the shells and background commands of one session, in its long-lived jailed child."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from anima.tools.shell.job import Job
from anima.tools.shell.sh import Shell


@dataclass(slots=True)
class Kept:
    """Shells and jobs by name. The lock guards the tables, not what is in them."""

    shells: dict[str, Shell] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    interrupts: dict[str, Callable[[], None]] = field(default_factory=dict)  #: by call, how to end what it runs
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def interrupt(self, call: str) -> bool:
        """End what a call runs; False if it runs nothing."""
        with self.lock:
            found = self.interrupts.get(call)
        if found is not None:
            found()
        return found is not None

    def close(self) -> None:
        """End everything."""
        with self.lock:
            shells, jobs = list(self.shells.values()), list(self.jobs.values())
            self.shells.clear()
            self.jobs.clear()
        for shell in shells:
            shell.close()
        for job in jobs:
            job.stop()
