"""What a backup costs: time per 100 MB, and how long anybody who writes has to wait meanwhile; and an agent that moves.

A house is filled with messages of text that compresses as talk does, and backed up while one writer appends an event
every few milliseconds. Beside it: `cp` and `gzip -1` of the same databases.
"""

import argparse
import asyncio
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from house import REFLEX, House, environ
from tables import number, show, spread

from anima.bus.client import connect
from anima.wire.events import SystemMessage, event

WORDS = ("the", "a", "cat", "dog", "garden", "says", "walks to", "and then", "because", "never", "always", "Lisbon", "seven")
BATCH, CHARS = 50, 2_000


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=CHARS // 6)) + f" {chance.random()}"


async def fill(house: House, megabytes: float, agent: str) -> None:
    """Events of an agent that is not there: nobody answers them."""
    chance = random.Random(1)
    async with connect(house.home) as bus:
        for _ in range(int(megabytes * 1e6 / CHARS / BATCH)):
            said = [event(SystemMessage(text(chance)), agent=agent, session="main", source="cli") for _ in range(BATCH)]
            await bus.append(*said)


class Writer(threading.Thread):
    """Somebody who writes an event every few milliseconds, and how long each took."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house, self.done, self.waits = house, threading.Event(), list[float]()

    def run(self) -> None:
        asyncio.run(self._write())

    async def _write(self) -> None:
        async with connect(self._house.home) as bus:
            while not self.done.is_set():
                begun = time.monotonic()
                await bus.append(event(SystemMessage("tick"), agent="clock", session="main", source="cli"))
                self.waits.append(time.monotonic() - begun)
                await asyncio.sleep(0.005)


def ctl(house: House, *words: str) -> str:
    program = [sys.executable, "-c", "from anima.cli.main import main; main()", *words]
    seen = environ(REFLEX, ANIMA_HOME=str(house.root))
    return subprocess.run(program, env=seen, check=True, capture_output=True, text=True).stdout


def during(house: House, *words: str) -> tuple[float, str, list[float]]:
    """A command while somebody writes: its time, what it said, and how long the writer waited for each event."""
    writer = Writer(house)
    writer.start()
    time.sleep(0.5)
    before = len(writer.waits)
    begun = time.monotonic()
    said = ctl(house, *words)
    took_s = time.monotonic() - begun
    waits = writer.waits[before:]
    writer.done.set()
    writer.join()
    return took_s, said, waits


def backups(megabytes: float, rounds: int) -> None:
    with House(0, REFLEX) as house, tempfile.TemporaryDirectory() as folder:
        while not house.home.socket("events").exists():
            time.sleep(0.1)
        asyncio.run(fill(house, megabytes, "nobody"))
        size = sum(each.stat().st_size for each in house.home.state.glob("*.db*")) / 1e6
        alone = Writer(house)
        alone.start()
        time.sleep(3)
        alone.done.set()
        alone.join()
        told = [during(house, "backup", f"{folder}/{each}.tar.gz") for each in range(rounds)]
        archive = Path(f"{folder}/0.tar.gz").stat().st_size / 1e6
        late = [float(found[1]) for _, said, _ in told if (found := re.search(r"more than (\d+) ms", said))]
        waits = [wait for _, _, each in told for wait in each]
        begun = time.monotonic()
        for each in house.home.state.glob("*.db"):
            shutil.copy(each, folder)
        subprocess.run(["sync", folder], check=True)
        copied_s = time.monotonic() - begun
        begun = time.monotonic()
        subprocess.run(f"gzip -1 -c {folder}/*.db > {folder}/all.gz", shell=True, check=True)
        packed_s = time.monotonic() - begun
        per = 100 / size
        show(
            f"backup of {size:,.0f} MB of databases ({archive:,.0f} MB packed), load {os.getloadavg()[0]:.1f}",
            ("what", "figure"),
            (
                ("backup, s per 100 MB", spread([took_s for took_s, _, _ in told], per)),
                ("beside it: cp and sync / gzip -1, s per 100 MB", f"{number(copied_s * per)} / {number(packed_s * per)}"),
                ("longest standstill of an owner, as it says, ms", spread(late)),
                ("a writer's event meanwhile, ms", spread(waits, 1e3)),
                ("... the longest of all, ms", number(max(waits) * 1e3)),
                ("... alone, and the longest, ms", f"{spread(alone.waits, 1e3)}, {number(max(alone.waits) * 1e3)}"),
            ),
        )


def moves(events: int) -> None:
    """An agent with so many events, from one house to another."""
    with House(1, REFLEX) as house, House(0, REFLEX) as other, tempfile.TemporaryDirectory() as folder:
        while not other.home.socket("events").exists() or not house.home.socket("agent:a000").exists():
            time.sleep(0.1)
        asyncio.run(fill(house, events * CHARS / 1e6, "a000"))
        exported_s, _, _ = during(house, "export", "agent", "a000", f"{folder}/a.tar.gz")
        imported_s, said, waits = during(other, "import", "agent", f"{folder}/a.tar.gz")
        late = re.search(r"for (\d+) ms", said)
        show(
            f"an agent of {events:,} events of {CHARS:,} bytes moves, load {os.getloadavg()[0]:.1f}",
            ("what", "figure"),
            (
                ("export, s", number(exported_s)),
                ("import, s", number(imported_s)),
                ("the journal stores nothing else, ms", late[1] if late else "?"),
                ("a writer's event meanwhile, longest, ms", number(max(waits) * 1e3)),
            ),
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=20_000)
    given = parser.parse_args()
    backups(given.megabytes, given.rounds)
    moves(given.events)
