"""What every bench prints: one table, the machine it ran on, medians with their spread."""

import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

NOT_INSTALLED = "not installed"


def machine() -> str:
    """One line: date, processor, cores, memory, kernel, Python, SQLite."""
    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        names = [
            line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    today = datetime.now(tz=UTC).date().isoformat()
    return (
        f"{today} · {model} · {os.cpu_count()} cores · {memory:.0f} GiB · {platform.system()} {platform.release()} · "
        f"CPython {sys.version.split()[0]} · SQLite {sqlite3.sqlite_version}"
    )


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """`median [lowest-highest tenth]` of `values`, each times `scale`."""
    ordered = sorted(value * scale for value in values)
    if len(ordered) == 1:
        return number(ordered[0])
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    return f"{number(statistics.median(ordered))} [{number(low)}-{number(high)}]"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table under its title and the machine's line."""
    widths = [max(len(str(row[place])) for row in (columns, *rows)) for place in range(len(columns))]
    print(f"\n{title}\n{machine()}\n")
    for index, row in enumerate((columns, *rows)):
        print("| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if index == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(flush=True)
