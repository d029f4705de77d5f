"""What feelings cost: `python bench/thymos/figures.py [--events 1000000]`.

One event folded, a thousand agents in memory, "how does she feel" over the bus, a whole journal folded anew by the process
(compared to the bit with a fold beside it), and a turn with and without thymos.
"""

import argparse
import asyncio
import gc
import os
import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent.parent), str(Path(__file__).parent.parent)]

import msgpack  # noqa: E402
import psutil  # noqa: E402
from house import REFLEX, House  # noqa: E402
from tables import number, show, spread  # noqa: E402
from turn import talk  # noqa: E402

from anima.bus.client import connect  # noqa: E402
from anima.bus.loopback import Loopback  # noqa: E402
from anima.journal.admission import admit  # noqa: E402
from anima.journal.ledger import Ledger  # noqa: E402
from anima.psyche.archetypes import named  # noqa: E402
from anima.psyche.soul import GrowingSoul  # noqa: E402
from anima.store.database import open_database  # noqa: E402
from anima.thymos.decay import halved  # noqa: E402
from anima.thymos.diary import Diary  # noqa: E402
from anima.thymos.hearts import Hearts  # noqa: E402
from anima.wire.events import (  # noqa: E402
    Body,
    SoulChanged,
    ToolCall,
    ToolResponse,
    TurnEnded,
    UserMessage,
    decode_event,
    event,
)
from anima.wire.feelings import write_gains  # noqa: E402

SOULS = partial(GrowingSoul, halved)
AGENTS = 20
BATCH = 250
PAGE = 50_000


def fact(chance: random.Random) -> Body:
    """Something of a working day: calls and their results, now and then a word, an end."""
    kind = chance.randrange(10)
    if kind < 4:
        return ToolCall("t", 1, "c", "exec", {"command": f"make {chance.randrange(50)}"})
    if kind < 8:
        ok = chance.random() < 0.7
        return ToolResponse("t", "c", "exec", ok, "some output", outcome="done" if ok else "failed")
    if kind < 9:
        return UserMessage(chance.choice(["please go on with the report", "well done, thank you!", "no, that is wrong"]))
    return TurnEnded("t", 1, "answered", steps=3)


def story(count: int, seed: int = 7) -> list[bytes]:
    chance = random.Random(seed)
    return [event(fact(chance), agent=f"a{chance.randrange(AGENTS):03}", source="cli").encode() for _ in range(count)]


def hearts(folder: Path) -> tuple[Hearts, Diary]:
    diary = Diary(open_database(folder / "thymos.db", files("anima.thymos") / "schema"))
    return Hearts(Loopback(), diary, {}, SOULS), diary


def folding() -> list[list[str]]:
    """One event at a time, and the commit of each hundred shared by them."""
    with tempfile.TemporaryDirectory() as folder:
        felt, diary = hearts(Path(folder))
        events = [decode_event(each, seq, 1e9 + seq) for seq, each in enumerate(story(20_000), 1)]
        single, commits = [], []
        for place, each in enumerate(events):
            begun = time.perf_counter()
            felt.take(each)
            single.append(time.perf_counter() - begun)
            if place % 100 == 99:
                begun = time.perf_counter()
                felt.commit()
                commits.append((time.perf_counter() - begun) / 100)
        diary._db.close()
    return [
        ["one event folded", "<= 50 us + its share of a commit", f"{spread(single, 1e6)} us"],
        ["its share of a commit, of 100 events", "", f"{spread(commits, 1e6)} us"],
    ]


def thousand() -> list[list[str]]:
    """A thousand agents with souls of their own, that have lived and grown: resident memory they add."""
    with tempfile.TemporaryDirectory() as folder:
        felt, diary = hearts(Path(folder))
        process, chance = psutil.Process(), random.Random(3)
        felt.take(decode_event(event(UserMessage("x"), agent="warm", source="cli").encode(), 1, 1e9))
        felt.commit()
        gc.collect()
        before = process.memory_full_info().uss
        seq = 1
        for agent in range(1_000):
            body = SoulChanged(write_gains(named("anxious")), "made so", "anxious")
            for made in (body, *(fact(chance) for _ in range(30))):
                seq += 1
                felt.take(decode_event(event(made, agent=f"a{agent:04}", source="cli").encode(), seq, 1e9 + seq))
            if agent % 50 == 49:
                felt.commit()
        gc.collect()
        grown = process.memory_full_info().uss - before
        diary._db.close()
    return [["1,000 agents x 7 hormones, grown souls", "<= 20 MB", f"{grown / 1e6:.1f} MB"]]


def replayed(count: int) -> list[list[str]]:
    """A house whose thymos has everything still to feel; and the same fold in this process, compared to the bit."""
    with House(1, REFLEX) as house:
        home = house.home
        house.process.terminate()
        house.process.wait(30)
        ledger = Ledger.open(home.journal)
        packed = story(count)
        for place in range(0, count, BATCH):
            ledger.append([admit(packed[place : place + BATCH])])
        ledger.close()
        house.__enter__()  # everybody reads it once; then only thymos has lost what it knew
        house.until(
            lambda found: {each.get("name") for each in found if each["what"] == "ready"} >= {"sandbox", "thymos"}, 0, 900
        )
        house.process.terminate()
        house.process.wait(30)
        home.thymos.unlink(missing_ok=True)
        house.__enter__()
        begun = time.time()
        records = house.until(
            lambda found: any(each.get("name") == "thymos" and each["what"] == "ready" for each in found), 0, 900
        )
        ready = next(each for each in records if each.get("name") == "thymos" and each["what"] == "ready")
        took = ready.get("boot_s") or time.time() - begun
        house.process.terminate()
        house.process.wait(30)
        same, alone = compared(home.journal, home.thymos)
    return [
        [f"{count:,} events replayed by the process, READY after", "<= 30 s", f"{took:.1f} s ({number(count / took)}/s)"],
        ["the same fold without a bus, decoding included", "", f"{alone:.1f} s"],
        ["levels and souls of both, to the bit", "identical", "identical" if same else "DIFFERENT"],
    ]


def ready(records: list[dict[str, Any]]) -> set[str]:
    """Who has said that it is ready."""
    return {each["name"] for each in records if each["what"] == "ready"}


def compared(journal: Path, diary: Path) -> tuple[bool, float]:
    """Whether a fold here comes to what the process wrote down; and how long it took."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(diary)) as there:
        seen = there.execute("SELECT seq FROM cursor").fetchone()[0]
        felt, own = hearts(Path(folder))
        ledger = Ledger.open(journal)
        begun, since = time.perf_counter(), 0
        from anima.wire.frames import Query

        while since < seen:
            _, more, rows = ledger.read(Query(since=since, limit=1_000))
            for row in rows:
                since = row[0]
                if since <= seen:
                    felt.take(decode_event(row[2], row[0], row[1]))
            felt._moves.clear()
            if not more:
                break
        took = time.perf_counter() - begun
        ledger.close()
        mine = {name: msgpack.packb(being.pack()) for name, being in felt._beings.items()}
        theirs = dict(there.execute("SELECT agent, packed FROM beings"))
        own._db.close()
        return mine == theirs, took


async def asked(count: int = 400) -> list[list[str]]:
    """How an agent asks: over the bus, one after the other; and turns with thymos and without."""
    with House(1, REFLEX) as house:
        name = house.agents[0].removeprefix("agent:")
        async with connect(house.home) as bus:
            await asyncio.sleep(0.5)
            times = []
            for _ in range(count):
                begun = time.perf_counter()
                await bus.ask("thymos", "feel", 5.0, agent=name)
                times.append(time.perf_counter() - begun)
        alive = [stored - said for said, _, stored in await talk(house, 40)]
        house.do("stop", "thymos", wait=True)
        dead = [stored - said for said, _, stored in await talk(house, 40)]
    return [
        ['"how does she feel", asked over the bus', "<= 1 ms", f"{spread(times, 1e3)} ms"],
        ["a turn with reflex, thymos alive", "", f"{spread(alive, 1e3)} ms"],
        ["the same, thymos dead; the slowest of 40", "<= 50 ms more", f"{spread(dead, 1e3)} ms; {max(dead) * 1e3:.0f} ms"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    rows = [*folding(), *thousand(), *asyncio.run(asked()), *replayed(given.events)]
    show(f"What feelings cost (load {os.getloadavg()[0]:.1f})", ("what", "reach", "measured"), rows)


if __name__ == "__main__":
    main()
