"""PID files: `pid start_time`, for people and other programs. The root itself never signals by them.

The start time (clock ticks since boot, field 22 of /proc/PID/stat) tells a process from a later one with the same PID.
"""

import os
from pathlib import Path


def start_time(pid: int) -> int:
    """When `pid` started, in clock ticks since boot; 0 if it does not run or the system does not say."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(content.rpartition(b")")[2].split()[19])  # the name before ")" may contain spaces and brackets


def write_pid_file(path: Path) -> None:
    """Put this process's PID and start time into `path`, replacing what stood there. Raises OSError."""
    pid = os.getpid()
    fresh = path.with_name(f".{path.name}.{pid}")
    fresh.write_text(f"{pid} {start_time(pid)}\n")
    fresh.replace(path)


def read_pid_file(path: Path) -> int | None:
    """The PID in `path` if that very process still runs, else None (stale, absent or not a PID file)."""
    try:
        pid, started = (int(word) for word in path.read_text().split())
    except (OSError, ValueError):
        return None
    return pid if start_time(pid) == started else None


def remove_pid_file(path: Path, pid: int) -> None:
    """Remove `path` if it speaks of `pid`; a successor's file stays."""
    try:
        if path.read_text().split()[:1] == [str(pid)]:
            path.unlink()
    except OSError:
        return  # absent, or the runtime directory is gone: nothing left that could mislead anyone
