"""`top`: what each process of the house uses of the machine, as it goes."""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from anima.cli import root
from anima.cli.table import Column, duration, render, size
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clip, colour, is_terminal, one_line, width
from anima.cli.usage import Usage, look, shares
from anima.paths import Home

COLUMNS = (
    Column("PROCESS"),
    Column("STATE", leaves=5),
    Column("CPU%", right=True),
    Column("MEMORY", right=True),
    Column("LIMIT", right=True, leaves=7),
    Column("TASKS", right=True, leaves=6),
    Column("WEIGHT", right=True, leaves=2),
    Column("STARVED", right=True, leaves=1),
    Column("RESTARTS", right=True, leaves=3),
    Column("DOING", flexible=True, leaves=4),
)
FIRST_LOOK_S = 0.5  #: between the two looks that the first table needs


def top(
    context: typer.Context,
    every: Annotated[float, typer.Option("--every", help="Seconds between two looks.", min=0.1, max=3600)] = 2.0,
    number: Annotated[
        int | None, typer.Option("-n", help="So many looks, then end; without a terminal 1.", min=1, show_default=False)
    ] = None,
    sort: Annotated[str, typer.Option("--sort", help="cpu, memory or name.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per look.")] = False,
) -> None:
    """Show what each process takes of the machine.

    Processor, memory and tasks, of a process with all it started, and its limits where cgroups set them. 100 % is one
    processor. STARVED says how often the kernel ended something for want of memory. q or Ctrl-C ends it.

    Example: animactl top --sort memory
    """
    from anima.errors import Refused

    if sort not in ("cpu", "memory", "name"):
        raise Refused(f"--sort {sort} is not known; allowed is cpu, memory or name")
    home: Home = context.obj
    live = is_terminal(sys.stdout) and not as_json and number != 1
    looks = number or (0 if is_terminal(sys.stdout) else 1)
    with _keys(wanted=live) as pressed:
        before, at = _look(home)[1], time.monotonic()
        pause, done = FIRST_LOOK_S, 0
        while True:
            if pressed(pause):
                return
            told, after = _look(home)
            now = time.monotonic()
            rows = ranked(told, after, shares(before, after, now - at), sort)
            before, at, pause, done = after, now, every, done + 1
            if as_json:
                print(json.dumps({"ts": time.time(), "processes": rows}), flush=True)
            else:
                _show(told["supervisor"], rows, live=live)
            if looks and done >= looks:
                return


def ranked(told: dict[str, Any], used: dict[str, Usage], cpu: dict[str, float], sort: str) -> list[dict[str, Any]]:
    """One row per process and running call: what `--json` prints. Pure."""
    supervisor = told["supervisor"]
    processes = [{"name": "supervisor", "state": "up", "pid": supervisor["pid"], "restarts": 0}, *told["processes"]]
    processes += [{"name": name, "state": "up"} for name in used if name.startswith("call ")]
    rows = []
    for each in processes:
        usage = used.get(each["name"], Usage(0.0, 0, 0))
        rows.append(
            {
                "name": each["name"],
                "state": each["state"],
                "pid": each.get("pid"),
                "cpu_percent": round(cpu.get(each["name"], 0.0), 1),
                "memory_bytes": usage.memory_bytes,
                "memory_bytes_max": usage.memory_bytes_max or None,
                "tasks": usage.tasks,
                "tasks_max": usage.tasks_max or None,
                "cpu_weight": usage.cpu_weight or None,
                "starved": usage.starved,
                "restarts": each.get("restarts", 0),
                "status": each.get("status") or each.get("reason") or "",
            }
        )
    if sort == "name":
        return rows  # as in the tree
    return sorted(rows, key=lambda row: -row["cpu_percent" if sort == "cpu" else "memory_bytes"])


def lines(supervisor: dict[str, Any], rows: list[dict[str, Any]], columns: int) -> list[str]:
    """A summary and the table, for a terminal of that width."""
    cpu, memory = sum(row["cpu_percent"] for row in rows), sum(row["memory_bytes"] for row in rows)
    parts = (
        f"up {duration(supervisor['uptime_s'])}",
        f"cpu {cpu:.1f} %",
        f"memory {size(memory)}",
        f"{sum(row['state'] == 'up' for row in rows)} up",
        f"{sum(row['state'] == 'failed' for row in rows)} parked",
    )

    def paint(row: int, title: str, text: str) -> str:
        return colour(text, "red" if rows[row]["state"] == "failed" else "grey") if title == "STATE" else text

    return [clip(" · ".join(parts), columns), *render(COLUMNS, [_cells(row) for row in rows], columns, paint)]


def _cells(row: dict[str, Any]) -> list[str]:
    limit = size(row["memory_bytes_max"]) if row["memory_bytes_max"] else "-"
    tasks = f"{row['tasks']}/{row['tasks_max']}" if row["tasks_max"] else str(row["tasks"])
    return [
        row["name"],
        row["state"],
        f"{row['cpu_percent']:.1f}",
        size(row["memory_bytes"]) if row["memory_bytes"] else "-",
        limit,
        tasks if row["tasks"] else "-",
        str(row["cpu_weight"] or "-"),
        str(row["starved"] or "-"),
        str(row["restarts"]),
        one_line(row["status"], NO_TERMINAL_COLUMNS),
    ]


def _look(home: Home) -> tuple[dict[str, Any], dict[str, Usage]]:
    told = root.request(home, "status")
    return told, look(told)


def _show(supervisor: dict[str, Any], rows: list[dict[str, Any]], *, live: bool) -> None:
    shown = lines(supervisor, rows, width())
    if live:
        room = shutil.get_terminal_size().lines - 1
        print("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in shown[:room]) + "\x1b[J", end="", flush=True)
    else:
        print("\n".join(shown), flush=True)


@contextlib.contextmanager
def _keys(*, wanted: bool) -> Iterator[Callable[[float], bool]]:
    """A function that waits so many seconds, and answers whether q was pressed meanwhile; it only waits without a keyboard."""
    if not wanted or not is_terminal(sys.stdin):

        def only_wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        yield only_wait
        return
    import select
    import termios
    import tty

    def wait(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([sys.stdin], [], [], left)[0] and sys.stdin.read(1) in ("q", "Q", ""):
                return True
        return False

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        print("\x1b[?1049h\x1b[?25l", end="")  # a screen of its own, without the cursor
        yield wait
    finally:
        print("\x1b[?1049l\x1b[?25h", end="", flush=True)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
