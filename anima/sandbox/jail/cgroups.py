"""Memory of a whole jail, bounded by a cgroup where this process may make some: v2 where delegated, else v1 where writable.

Covers: all processes of the jail together, with its files in memory and page cache; the kernel ends the jail, not the machine.
Does not cover: machines that delegate none (most, for a plain user): there watch.py adds up instead. CPU weights.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from anima.supervisor.cgroups import TOOLS

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "anima-jails-"
_REMAINS = 64  #: PIDs beside the jailed ones: its first process, and what is about to end


@dataclass(slots=True)
class Group:
    """One cgroup, used by one jail at a time."""

    folder: Path
    version: int
    enter_fd: int  #: a process that writes "0" to it is in
    killed_before: int = 0

    def bound(self, memory_bytes: int, processes: int) -> None:
        """Set the limits for the next jail. Raises OSError."""
        self.killed_before = self.kills()
        if self.version == 1:
            _write(self.folder / "memory.limit_in_bytes", memory_bytes)  # more than there is means none
            return
        _write(self.folder / "memory.max", memory_bytes)
        for name, value in (("memory.swap.max", 0), ("memory.oom.group", 1), ("pids.max", processes + _REMAINS)):
            with contextlib.suppress(FileNotFoundError):  # without swap accounting, or without the pids controller
                _write(self.folder / name, value)

    def kills(self) -> int:
        """How often the kernel has ended a process here for want of memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        with contextlib.suppress(OSError, ValueError):
            pairs = (line.split() for line in (self.folder / name).read_text().splitlines())
            return next((int(value) for key, value in pairs if key == "oom_kill"), 0)
        return 0

    def hit(self) -> bool:
        """Whether the memory limit ended something since `bound`."""
        return self.kills() > self.killed_before


class Groups:
    """The cgroups of one zygote, made once and used again: making one and moving into it costs more than a jail."""

    def __init__(self) -> None:
        self.reason = ""
        self._base, self.version = None, 0
        for find in (_find_v2, _find_v1):
            if found := find():
                self._base, self.version = found
                break
        if self._base:
            _sweep(self._base.parent)
            self.reason = f"a cgroup (v{self.version}) in {self._base}"
        self._groups: dict[int, Group] = {}

    def take(self, slot: int) -> Group | None:
        """The group of a slot; None where there are no cgroups to be had."""
        if self._base is None:
            return None
        if slot not in self._groups:
            folder = self._base / str(slot)
            try:
                folder.mkdir(exist_ok=True)
                fd = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            except OSError:
                return None
            self._groups[slot] = Group(folder, self.version, fd)
        return self._groups[slot]

    def close(self) -> None:
        """Remove them; those that still hold a dying process are swept by the next zygote."""
        for group in self._groups.values():
            os.close(group.enter_fd)
            with contextlib.suppress(OSError):
                group.folder.rmdir()
        if self._base:
            with contextlib.suppress(OSError):
                self._base.rmdir()


def _write(path: Path, value: object) -> None:
    path.write_text(str(value))


def _own(controller: str) -> str | None:
    """The cgroup of this process in the hierarchy of `controller`; "" means the one of v2."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if names == controller or (controller and controller in names.split(",")):
                return path.lstrip("/")
    return None


def _find_v2() -> tuple[Path, int] | None:
    own = _own("")
    if own is None:
        return None
    for root in (_ROOT, _ROOT / "unified"):
        mine = root / own
        theirs = mine.parent.parent / TOOLS  # what the supervisor set aside for this, where it has a part of the tree
        for above in (theirs, mine, mine.parent):  # else ours, or the one delegated to us that ours lies in
            if (above in (theirs, mine) or _delegated(above)) and (made := _make_v2(above)):
                return made, 2
    return None


def _delegated(folder: Path) -> bool:
    """Whether whoever owns the hierarchy (systemd) left this folder to us."""
    with contextlib.suppress(OSError):
        if os.geteuid() and folder.stat().st_uid == os.geteuid():
            return True
        for name in ("trusted.delegate", "user.delegate"):
            with contextlib.suppress(OSError):
                if os.getxattr(folder, name) == b"1":
                    return True
    return False


def _make_v2(above: Path) -> Path | None:
    try:
        if "memory" not in (above / "cgroup.controllers").read_text().split():
            return None
        base = above / f"{_PREFIX}{os.getpid()}"
        wanted = [each for each in ("memory", "pids") if each in (above / "cgroup.controllers").read_text().split()]
        switch = " ".join(f"+{each}" for each in wanted)
        _write(above / "cgroup.subtree_control", switch)
        base.mkdir()
        _write(base / "cgroup.subtree_control", switch)
    except OSError:
        return None  # not delegated, or it holds processes of its own
    return base


def _find_v1() -> tuple[Path, int] | None:
    own = _own("memory")
    if own is None:
        return None
    base = _ROOT / "memory" / own / f"{_PREFIX}{os.getpid()}"
    try:
        base.mkdir()
    except OSError:
        return None
    return base, 1


def _sweep(above: Path) -> None:
    """Remove what zygotes left that were killed."""
    for folder in above.glob(f"{_PREFIX}*"):
        if Path(f"/proc/{folder.name.removeprefix(_PREFIX)}").exists():
            continue
        for each in (*folder.glob("*/"), folder):
            with contextlib.suppress(OSError):
                each.rmdir()
