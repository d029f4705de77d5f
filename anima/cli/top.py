"""`top`: what every process takes of the machine just now, by its cgroup where it has one."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from anima.cli import root
from anima.cli.memory import pss_bytes
from anima.cli.table import Column, render, size
from anima.cli.terminal import width
from anima.paths import Home

COLUMNS = (
    Column("PROCESS", flexible=True),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("OF", right=True, leaves=3),
    Column("TASKS", right=True, leaves=2),
    Column("KILLED", right=True, leaves=1),
)
_TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Use:
    """What one process, and whoever lives in its cgroup, takes. -1: nobody counts it here."""

    name: str
    cpu_s: float  #: so far
    memory_bytes: int
    memory_max: int = -1
    tasks: int = -1
    killed: int = -1  #: how often the kernel ended something here for want of memory


def top(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="One look, a second long, and end.")] = False,
    pause: Annotated[float, typer.Option("--pause", help="Seconds between two looks.", min=0.2, max=3600)] = 2.0,
) -> None:
    """Show what every process takes of the machine.

    Busiest first, until Ctrl-C. As a service with cgroups of its own (`animactl install`), the house is counted by the
    kernel: memory with everything a process caused, its limit, its tasks, and how often something was ended for want
    of memory. Elsewhere CPU is the process's own and MEMORY its proportional share (PSS).

    Example: animactl top --once
    """
    home: Home = context.obj
    before, then = look(home), time.monotonic()
    while True:
        time.sleep(1.0 if once else pause)
        after, now = look(home), time.monotonic()
        if not once and sys.stdout.isatty():
            print("\x1b[H\x1b[J", end="")
        print("\n".join(lines(before, after, now - then, width())), flush=True)
        if once:
            return
        before, then = after, now


def look(home: Home) -> dict[str, Use]:
    """Everybody who lives, by name. Raises Unavailable if the house is not running."""
    told = root.request(home, "status")
    base = told["supervisor"].get("cgroups", {}).get("base", "")
    itself = {"name": "supervisor", "pid": told["supervisor"]["pid"], "cgroup": f"{base}/supervisor" if base else ""}
    counted = "memory" in told["supervisor"].get("cgroups", {}).get("controllers", ())
    tools = [{"name": "tools", "pid": 0, "cgroup": f"{base}/tools"}] if counted else []
    return {each["name"]: use(each) for each in (itself, *told["processes"], *tools) if each["pid"] or each in tools}


def use(process: dict[str, Any]) -> Use:
    """What one takes: its cgroup's numbers where the kernel counts there, else its own."""
    name, pid, folder = process["name"], process["pid"], Path(process.get("cgroup") or "/nowhere")
    counted = _number(folder / "memory.current")
    return Use(
        name=name,
        cpu_s=_keyed(folder / "cpu.stat", "usage_usec") / 1e6 if (folder / "cpu.stat").exists() else _cpu_s(pid),
        memory_bytes=counted if counted >= 0 else pss_bytes(pid) if pid else 0,
        memory_max=_number(folder / "memory.max"),
        tasks=_number(folder / "pids.current"),
        killed=_keyed(folder / "memory.events", "oom_kill"),
    )


def lines(before: dict[str, Use], after: dict[str, Use], seconds: float, columns: int) -> list[str]:
    """The table, busiest first; a process that is new since `before` is counted from its birth."""

    def share(each: Use) -> float:
        earlier = before.get(each.name)
        spent = each.cpu_s - (earlier.cpu_s if earlier and earlier.cpu_s <= each.cpu_s else 0.0)
        return 100 * spent / seconds

    rows = [
        [
            each.name,
            f"{share(each):.1f} %",
            size(each.memory_bytes),
            size(each.memory_max) if each.memory_max > 0 else "-",
            str(each.tasks) if each.tasks >= 0 else "-",
            str(each.killed) if each.killed >= 0 else "-",
        ]
        for each in sorted(after.values(), key=lambda each: (-share(each), -each.memory_bytes))
    ]
    shown = [place for place in range(len(COLUMNS)) if place < 3 or any(row[place] != "-" for row in rows)]  # noqa: PLR2004 - what is always known
    return render([COLUMNS[place] for place in shown], [[row[place] for place in shown] for row in rows], columns)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return -1


def _keyed(path: Path, key: str) -> int:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
    except OSError:
        return -1
    return next((int(value) for name, value in pairs if name == key), -1)


def _cpu_s(pid: int) -> float:
    """Processor time so far; 0 where /proc does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_S
