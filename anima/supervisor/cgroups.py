"""A cgroup for each process, where systemd left a part of the tree to us (v2, Delegate=): counted, bounded and ended together.

    OURS/supervisor          the root: a group that has groups below it may hold no process itself
    OURS/infra/journal ...   OURS/agents/arya ...
    OURS/tools/              the sandbox makes one per call in there (anima/sandbox/jail/cgroups.py)

Elsewhere there are none: sessions, the root's own eye for orphans and rlimits must do, and `animactl doctor` says so. Nothing
here raises: a house without cgroups is as good, it only knows less.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from anima.supervisor.spec import ChildSpec
from anima.supervisor.upward import is_service

MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
SUPERVISOR, INFRA, AGENTS, TOOLS = "supervisor", "infra", "agents", "tools"
CONTROLLERS = ("cpu", "memory", "pids")

#: Shares of the processor when there is too little: who keeps others alive comes first, a tool's sums last.
_WEIGHTS = {SUPERVISOR: 1000, INFRA: 400, AGENTS: 100, TOOLS: 50}


class Groups:
    """The part of the tree that is ours, `base`; None where there is none, and `reason` says why."""

    def __init__(self, base: Path | None, reason: str) -> None:
        self.base = base
        self.reason = reason
        self.controllers: tuple[str, ...] = ()
        self._starved: dict[Path, int] = {}  #: how often the kernel had ended something in a group before its newest process

    def prepare(self) -> None:
        """Move this process into its own group and make those for the others; may be done again by the same root."""
        if self.base is None:
            return
        try:
            for name in _WEIGHTS:
                (self.base / name).mkdir(exist_ok=True)
            _write(self.base / SUPERVISOR / "cgroup.procs", "0")
        except OSError as error:
            self.base, self.reason = None, f"{self.base} cannot be divided: {error.strerror}"
            return
        self.controllers = _hand_down(self.base)
        for name, weight in _WEIGHTS.items():
            if "cpu" in self.controllers:
                _try(self.base / name / "cpu.weight", weight)
            if name in (INFRA, AGENTS):
                _hand_down(self.base / name)
                below = [each for each in (self.base / name).iterdir() if each.is_dir()]  # after a re-exec: who lives goes on
                self._starved |= {folder: _kills(folder) for folder in below}

    def describe(self) -> dict[str, object]:
        """What `status` tells of them."""
        return {"base": str(self.base or ""), "controllers": self.controllers, "reason": self.reason}

    def folder(self, spec: ChildSpec) -> Path | None:
        """Where the process of `spec` lives."""
        if self.base is None:
            return None
        name = spec.name.removeprefix("agent:")
        return self.base / (AGENTS if spec.parallel else INFRA) / (f"_{name}" if "." in name else name)  # not `memory.max`

    def open(self, spec: ChildSpec) -> str:
        """Make and bound the group of `spec`; the file whereby its process joins. "" where there is none."""
        folder = self.folder(spec)
        if folder is None:
            return ""
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            self.reason = f"{folder} cannot be made: {error.strerror}"
            return ""
        if "memory" in self.controllers:
            _try(folder / "memory.max", spec.memory_bytes_max or "max")
            _try(folder / "memory.oom.group", 1)
        if "pids" in self.controllers:
            _try(folder / "pids.max", spec.tasks_max or "max")
        self._starved[folder] = _kills(folder)
        return str(folder / "cgroup.procs")

    def starved(self, spec: ChildSpec) -> bool:
        """Whether the kernel ended something in the group for want of memory since `open`."""
        folder = self.folder(spec)
        return folder is not None and _kills(folder) > self._starved.get(folder, 0)

    def kill(self, spec: ChildSpec) -> None:
        """End everybody in the group of `spec`, whatever session they made for themselves."""
        if folder := self.folder(spec):
            _try(folder / "cgroup.kill", 1)

    def close(self, spec: ChildSpec) -> None:
        """The process of `spec` is gone: end who is left of it, and remove the group unless somebody still dies in it."""
        if folder := self.folder(spec):
            _try(folder / "cgroup.kill", 1)
            with suppress(OSError):  # the next process of this name finds it there, or systemd removes it with the rest
                folder.rmdir()


NO_GROUPS = Groups(None, "not looked for")


def find_groups(environ: Mapping[str, str], own: Path = Path("/proc/self/cgroup"), mounts: tuple[Path, ...] = MOUNTS) -> Groups:
    """Our part of the tree, if systemd started this very process and left it one; nothing is changed yet."""
    if not is_service(environ):
        return Groups(None, "not started by systemd")
    path = next((line[3:] for line in _read(own).splitlines() if line.startswith("0::")), "")
    for mount in mounts:
        folder = mount / path.lstrip("/")
        if not path or not (folder / "cgroup.procs").exists():
            continue
        base = (
            folder.parent if folder.name == SUPERVISOR else folder
        )  # born there (DelegateSubgroup=), or there before a re-exec
        if _delegated(base):
            return Groups(base, "")
        return Groups(None, f"{base} is not left to this service (Delegate=)")
    return Groups(None, "this system has no cgroups of version 2")


def _delegated(folder: Path) -> bool:
    for name in ("trusted.delegate", "user.delegate"):  # the first one only root may read
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    with suppress(OSError):
        return 0 != os.geteuid() == folder.stat().st_uid
    return False


def _hand_down(folder: Path) -> tuple[str, ...]:
    """Let groups below `folder` be bounded by whatever bounds it; the controllers they have then."""
    there = _read(folder / "cgroup.controllers").split()
    return tuple(name for name in CONTROLLERS if name in there and _try(folder / "cgroup.subtree_control", f"+{name}"))


def _kills(folder: Path) -> int:
    pairs = (line.split() for line in _read(folder / "memory.events").splitlines())
    return next((int(value) for key, value in pairs if key == "oom_kill"), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, value: object) -> None:
    with path.open("w") as file:  # "w" truncates, which these files ignore; it never makes one in a cgroup
        file.write(str(value))


def _try(path: Path, value: object) -> bool:
    """Whether the kernel took it: an older one lacks the file, or the group is gone."""
    try:
        _write(path, value)
    except OSError:
        return False
    return True
