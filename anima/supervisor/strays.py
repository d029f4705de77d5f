"""Ending those who hang on to the root without being of the family: an orphan belongs to nobody."""

import os
import signal
import time
from contextlib import suppress
from itertools import islice

from anima.supervisor import orphans
from anima.supervisor.logfile import LogFile
from anima.supervisor.records import Records

_GAP_S = 0.1  # looking for orphans reads /proc; when thousands die, once for many of them
_TOLD_MAX = 16  # by name, at a time


class Strays:
    """`due_at` is when to look (monotonic), None if nobody ended since the last time."""

    def __init__(
        self, records: Records, say: LogFile, strangers: set[int] | None = None, killed: set[int] | None = None
    ) -> None:
        self.due_at: float | None = None
        self.strangers = strangers or set()  #: children this process had before it became the root
        self.killed = killed or set()  #: orphans sent KILL and not yet reaped
        self._records = records
        self._say = say
        self._looked_at = 0.0

    def reaped(self, pid: int) -> None:
        """Somebody ended, and may have left others behind."""
        self.strangers.discard(pid)
        self.killed.discard(pid)
        self.due_at = max(time.monotonic(), self._looked_at + _GAP_S)

    def left(self) -> set[int]:
        """Children of this process that it did not bring along."""
        return orphans.direct_children() - self.strangers

    def kill(self, family: set[int]) -> None:
        """End all but `family`, and tell of them."""
        self.due_at = None
        self._looked_at = time.monotonic()
        found = {}
        for pid in self.left() - family - self.killed:
            if command := orphans.command_of(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # our own child, not yet reaped: the PID cannot mean anyone else
                    found[pid] = command
        self.killed |= found.keys()
        for pid, command in islice(found.items(), _TOLD_MAX):
            reason = f"'{command}' was left behind by a process of the house; killed"
            self._records.add("stray", name="", pid=pid, reason=reason)
            self._say.warning(f"pid {pid}: {reason}")
        if len(found) > _TOLD_MAX:
            self._say.warning(f"and {len(found) - _TOLD_MAX} more")
