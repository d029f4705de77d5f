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


def command_of(pid: int) -> str:
    """What `pid` runs, for a record; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
