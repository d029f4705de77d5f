"""What all processes of a jail use together, read from outside it.

Covers: CPU time of the living and of the reaped, memory (shared pages counted once where it matters), threads: what limits of
one process cannot bound, because a jail may start many.
Does not cover: what happens between two looks (LOOK_S in zygote.py), files in memory (the size of their mounts bounds those),
CPU time of children that nobody waited for.
"""

import contextlib
import os
from dataclasses import dataclass

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What one or several processes use."""

    threads: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.threads + other.threads, self.memory_bytes + other.memory_bytes, self.cpu_s + other.cpu_s)


def parse_stat(line: bytes) -> Usage:
    """What a line of /proc/PID/stat says. The name in it may hold anything, so the fields count from its last parenthesis."""
    fields = line.rpartition(b")")[2].split()
    ticks = sum(int(each) for each in fields[11:15])  # utime, stime, and those of the children it has waited for
    return Usage(int(fields[17]), int(fields[21]) * _PAGE_BYTES, ticks / _TICKS_PER_S)


def usage(pid: int, memory_max: int) -> Usage:
    """Of `pid` and everything below it. Shared memory is counted once if the sum would be above `memory_max`."""
    found = Usage()
    pids = [pid, *descendants(pid)]
    for each in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
            found += parse_stat(_read(f"/proc/{each}/stat"))
    if found.memory_bytes <= memory_max:
        return found
    return Usage(found.threads, sum(_share(each) for each in pids), found.cpu_s)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, as far as they can be seen now."""
    found: list[int] = []
    todo = [pid]
    while todo:
        each = todo.pop()
        below: list[int] = []
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for task in os.listdir(f"/proc/{each}/task"):
                below += [int(number) for number in _read(f"/proc/{each}/task/{task}/children").split()]
        found += below
        todo += below
    return found


def _share(pid: int) -> int:
    """Memory of one process, each page divided by how many hold it; where we may not know, all of it."""
    with contextlib.suppress(OSError):
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * _KIB
    with contextlib.suppress(OSError, IndexError, ValueError):
        return parse_stat(_read(f"/proc/{pid}/stat")).memory_bytes
    return 0


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
