"""What processes use of the machine, and what they may: from a process's own cgroup where it has one, else from /proc.

A cgroup counts all that a process started, for good; without one, what a child used is forgotten when it ends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.cli.memory import pss_bytes
from anima.supervisor.cgroups import TOOLS

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process with all it started uses. A limit of 0 means that there is none, a weight of 0 no controller."""

    cpu_s: float  #: since it began
    memory_bytes: int
    tasks: int
    memory_bytes_max: int = 0
    tasks_max: int = 0
    cpu_weight: int = 0
    starved: int = 0  #: how often the kernel ended something here for want of memory


def look(told: Mapping[str, Any]) -> dict[str, Usage]:
    """The usage of every process in the root's `status`, the supervisor too, and of each call of a tool that has a cgroup."""
    import psutil

    alive = {process.pid: process for process in psutil.process_iter(["ppid", "cpu_times", "num_threads"])}
    children: dict[int, list[int]] = {}
    for pid, process in alive.items():
        children.setdefault(process.info["ppid"], []).append(pid)
    found = {}
    if root := alive.get(told["supervisor"]["pid"]):
        found["supervisor"] = _counted([root])  # alone: whom it started are rows of their own
    for process in told["processes"]:
        name, pid, group = process["name"], process["pid"], process.get("cgroup")
        if group and pid:
            found[name] = of_group(Path(group), pss_bytes(pid))
        elif pid in alive:
            found[name] = _counted([alive[each] for each in _with_descendants(children, pid)])
    base = told["supervisor"].get("cgroups", {}).get("base")
    for folder in sorted(Path(base, TOOLS).glob("*/*/")) if base else ():  # one per zygote, in it one per place for a jail
        if (usage := of_group(folder, 0)).tasks:  # the place stays when its call is over
            found[f"call {folder.parent.name.rpartition('-')[2]}/{folder.name}"] = usage
    return found


def of_group(folder: Path, pss: int) -> Usage:
    """What the cgroup at `folder` tells; `pss` stands in where it does not count memory."""
    cpu, events = _pairs(folder / "cpu.stat"), _pairs(folder / "memory.events")
    tasks = _number(folder / "pids.current") or len(_read(folder / "cgroup.threads").split())
    return Usage(
        cpu_s=cpu.get("usage_usec", 0) / 1e6,
        memory_bytes=_number(folder / "memory.current") or pss,
        tasks=tasks,
        memory_bytes_max=_number(folder / "memory.max"),
        tasks_max=_number(folder / "pids.max"),
        cpu_weight=_number(folder / "cpu.weight"),
        starved=events.get("oom_kill", 0),
    )


def shares(before: Mapping[str, Usage], after: Mapping[str, Usage], elapsed_s: float) -> dict[str, float]:
    """Per cent of one processor that each used between two looks; 0 for who began anew meanwhile."""
    return {
        name: max(0.0, 100 * (usage.cpu_s - before[name].cpu_s) / elapsed_s) if name in before and elapsed_s > 0 else 0.0
        for name, usage in after.items()
    }


def _counted(processes: "Iterable[psutil.Process]") -> Usage:
    cpu_s, tasks, memory = 0.0, 0, 0
    for process in processes:
        times, threads = process.info["cpu_times"], process.info["num_threads"]
        cpu_s += times.user + times.system if times else 0.0
        tasks += threads or 0
        memory += pss_bytes(process.pid)
    return Usage(cpu_s, memory, tasks)


def _with_descendants(children: Mapping[int, list[int]], pid: int) -> list[int]:
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return found


def _pairs(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in _read(path).splitlines())}


def _number(path: Path) -> int:
    """The number in a file of the kernel's; 0 for none, and for `max`."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
