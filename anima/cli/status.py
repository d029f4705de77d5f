"""`status`: every process, how it is, and what it does."""

import json
import sys
from typing import Annotated, Any

import typer

from anima.cli import root
from anima.cli.memory import pss_bytes
from anima.cli.table import Column, duration, render, size
from anima.cli.terminal import NO_TERMINAL_COLUMNS, colour, one_line, width
from anima.cli.wrap import Wrap
from anima.paths import Home

COLUMNS = (
    Column("PROCESS"),
    Column("STATE"),
    Column("PID", right=True, leaves=2),
    Column("UP", right=True, leaves=4),
    Column("RESTARTS", right=True, leaves=1),
    Column("MEMORY", right=True, leaves=3),
    Column("DOING", flexible=True),
)
_COLOURS = {"up": "green", "failed": "red", "down": "grey", "paused": "blue"}
_BY_DEFAULT = ", by default)"  #: how an agent ends its word about itself when nobody chose its model
_HOW_TO_CHOOSE = "by default: nobody chose the model; `animactl models` lists them, `model` in agent.toml chooses one"
_FIELDS = ("name", "kind", "state", "pid", "restarts", "uptime_s", "pss_bytes", "status", "reason")


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every second until Ctrl-C.")] = False,
) -> None:
    """Show every process: state, memory, restarts, what it is doing.

    Memory is the proportional share (PSS): a page that n processes share counts 1/n to each. For a process that is
    down it says why.

    Example: animactl status --watch
    """
    import time

    home: Home = context.obj
    while True:
        told = gather(home)
        if as_json:
            print(json.dumps(told), flush=True)
        else:
            if watch and sys.stdout.isatty():
                print("\x1b[H\x1b[J", end="")
            print("\n".join(lines(told, width())), flush=True)
        if not watch:
            return
        time.sleep(1)


def gather(home: Home) -> dict[str, Any]:
    """What `status --json` prints: the supervisor and all processes. Raises Unavailable if the house is not running."""
    told = root.request(home, "status")
    supervisor = told["supervisor"]
    for process in told["processes"]:
        process["pss_bytes"] = pss_bytes(process["pid"]) if process.get("pid") else 0
    generation = supervisor.get("generation", 1)  # a supervisor that is older than this command does not tell it
    return {
        "supervisor": {
            **{key: supervisor[key] for key in ("pid", "version", "uptime_s")},
            "generation": generation,
            "upgrade": supervisor.get("upgrade", ""),
        },
        "processes": [
            {**{key: process[key] for key in _FIELDS}, "generation": process.get("generation", generation)}
            for process in told["processes"]
        ],
    }


def lines(told: dict[str, Any], columns: int) -> list[str]:
    """The table for a terminal of that width, the supervisor first."""
    supervisor = told["supervisor"]
    itself = {
        **supervisor,
        "name": "supervisor",
        "state": "up",
        "restarts": 0,
        "pss_bytes": pss_bytes(supervisor["pid"]),
        "status": "; ".join(word for word in (f"version {supervisor['version']}", supervisor["upgrade"]) if word),
        "reason": "",
    }
    rows = [itself, *told["processes"]]

    def paint(row: int, title: str, text: str) -> str:
        return colour(text, _COLOURS.get(rows[row]["state"], "yellow")) if title == "STATE" else text

    table = render(COLUMNS, [_cells(row, supervisor["generation"]) for row in rows], columns, paint)
    by_default = any(str(row["status"]).endswith(_BY_DEFAULT) for row in told["processes"])
    return [*table, *(_wrapped(_HOW_TO_CHOOSE, columns) if by_default else [])]


def _wrapped(text: str, columns: int) -> list[str]:
    wrap = Wrap(columns)
    return (wrap.feed(text) + wrap.end()).split("\n")


def _cells(process: dict[str, Any], generation: int) -> list[str]:
    alive = bool(process["pid"])
    old = "in the old code; " if alive and process["generation"] != generation else ""
    doing = (
        process["status"]
        if process["state"] in {"up", "starting"} and process["status"]
        else process["reason"] or process["status"]
    )
    return [
        process["name"],
        process["state"],
        str(process["pid"]) if alive else "-",
        duration(process["uptime_s"]) if alive else "-",
        str(process["restarts"]),
        size(process["pss_bytes"]) if process["pss_bytes"] else "-",
        one_line(old + (doing or ""), NO_TERMINAL_COLUMNS),
    ]
