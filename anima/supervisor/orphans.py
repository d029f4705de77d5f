"""Who hangs on to the root without having been forked by it. As subreaper it inherits whatever its children leave behind."""

from pathlib import Path


def direct_children() -> set[int]:
    """PIDs of all children of this process, zombies included; empty where /proc does not tell."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in listing.read_bytes().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended meanwhile; its children hang on another one
    return found


def command_of(pid: int) -> str | None:
    """What `pid` runs, for a record; None if it has ended and only waits to be reaped."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = told.partition("(")[2].rpartition(")")
    return None if rest.split()[0] in ("Z", "X") else name
