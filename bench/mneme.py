"""How fast memories are found, kept and read: `python bench/mneme.py [--sizes 10000,100000] [--turns 6000]`; 3 minutes.

The search itself, in this process, over texts of 26 words and questions of 8, drawn as words are in English (Zipf), with
random vectors: reading the question's meaning is part of it. Beside it, in the same run and over the same texts: FTS5's own
BM25, and all vectors multiplied with the question's by NumPy. Then a whole house: how long until what is stored is found, how
fast a life is imported, how fast its vectors follow, and what a search takes meanwhile.
"""

import argparse
import asyncio
import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from house import REFLEX, House, environ, memory_mb  # noqa: E402
from tables import number, show, spread  # noqa: E402

from anima.bus.client import connect  # noqa: E402
from anima.mneme.memory import Lens, Memory  # noqa: E402
from anima.mneme.minilm.model import MiniLM  # noqa: E402
from anima.mneme.store import Store  # noqa: E402
from anima.store.database import open_database  # noqa: E402
from anima.wire.events import UserMessage, event  # noqa: E402

QUESTIONS, WORDS, TEXT_WORDS = 60, 8, 26
NOW = 1.7e9
TOLD = 40


class Words:
    """Texts of real words, the r-th of them with a share of 1 / (r + 3)."""

    def __init__(self, seed: int = 1) -> None:
        known = (files("anima.mneme.minilm") / "vocab.txt").read_text("utf-8").splitlines()
        self._words = [word for word in known if len(word) > 2 and word.isascii() and word.isalpha()]
        self._shares = list(itertools.accumulate(1 / (place + 3) for place in range(len(self._words))))
        self._random = random.Random(seed)

    def text(self, words: int) -> str:
        return " ".join(self._random.choices(self._words, cum_weights=self._shares, k=words))


def filled(folder: Path, size: int, words: Words) -> tuple[Store, sqlite3.Connection, float]:
    """Both files with the same texts, and how many a second the store took with their vectors."""
    store = Store(open_database(folder / "mneme.db", files("anima.mneme") / "schema"))
    store.adopt(MiniLM.model, MiniLM.dimensions)
    plain = sqlite3.connect(folder / "plain.db")
    plain.execute("CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'porter unicode61')")
    numbers = np.random.default_rng(1)
    spent = 0.0
    for start in range(0, size, 5_000):
        texts = [words.text(TEXT_WORDS) for _ in range(min(5_000, size - start))]
        made = [said(start + at, text) for at, text in enumerate(texts)]
        vectors = numbers.standard_normal((len(texts), MiniLM.dimensions)).astype(np.float32)
        began = time.perf_counter()
        store.apply(put=made)
        store.embedded([(each.id, vector) for each, vector in zip(made, vectors, strict=True)])
        spent += time.perf_counter() - began
        plain.executemany("INSERT INTO words (text) VALUES (?)", [(text,) for text in texts])
    plain.commit()
    return store, plain, size / spent


def said(place: int, text: str) -> Memory:
    return Memory(f"a/{place}", "a", "episode", f"s{place // 40}", f"p{place % 7}", text, NOW - 1e8 + place * 60)


def timed(what: Callable[[str], Any], questions: list[str]) -> str:
    """Milliseconds of each question, asked once before."""
    for each in questions:
        what(each)
    spent = []
    for each in questions:
        began = time.perf_counter()
        what(each)
        spent.append(time.perf_counter() - began)
    return spread(spent, 1e3)


def searches(size: int) -> list[str]:
    words, model = Words(), MiniLM()
    questions = [words.text(WORDS) for _ in range(QUESTIONS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, plain, rate = filled(folder, size, words)
        kb = (folder / "mneme.db").stat().st_size / size / 1024
        began = time.perf_counter()
        for _ in store.load("a"):
            pass
        loaded = time.perf_counter() - began

        def hybrid(query: str) -> Any:
            return store.search("a", query, lens=Lens(now=NOW), vector=model.embed([query])[0])

        def bm25(query: str) -> Any:
            wanted = " OR ".join(f'"{word}"' for word in query.split())
            return plain.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT 10", (wanted,)).fetchall()

        times = [timed(hybrid, questions), timed(lambda query: store.search("a", query, lens=Lens(now=NOW)), questions)]
        weight = number(psutil.Process().memory_full_info().pss / 1e6)
        times.append(timed(bm25, questions[:20] if size > 200_000 else questions))
        vectors = np.random.default_rng(2).standard_normal((size, MiniLM.dimensions), dtype=np.float32)

        def scan(query: str) -> Any:
            scores = vectors @ model.embed([query])[0]
            return np.argpartition(-scores, 10)[:10]

        times.append(timed(scan, questions[:20]))
        plain.close()
    return [f"{size:,}", *times, number(loaded), number(rate), weight, number(kb)]


async def stored_to_found(house: House) -> list[float]:
    """Seconds from the journal's answer to the search that finds it."""
    spent = []
    async with connect(house.home) as bus:
        for place in range(TOLD):
            word = f"zebra{place}x"
            (stored,) = await bus.append(event(UserMessage(f"the {word} sleeps"), agent="a000", session="main", source="cli"))
            began = time.perf_counter()
            while not await hits(bus, word):  # noqa: ASYNC110 - whoever asks for it looks again
                await asyncio.sleep(0.001)
            spent.append(time.perf_counter() - began)
            assert stored.seq
    return spent


async def hits(bus: Any, query: str, **more: Any) -> bool:
    told = await bus.ask("mneme", "search", None, agent="a000", query=query, k=1, only=False, **more)
    return any(query in each["text"] for each in told["hits"])


async def asked(house: House, questions: list[str], until: Callable[[], bool]) -> list[float]:
    """Seconds each question takes, over the bus, until that is so."""
    spent = []
    async with connect(house.home) as bus:
        for each in itertools.cycle(questions):
            began = time.perf_counter()
            await bus.ask("mneme", "search", None, agent="a000", query=each, k=10)
            spent.append(time.perf_counter() - began)
            if until():
                return spent
            await asyncio.sleep(0.25)
    raise AssertionError


def life(path: Path, turns: int, words: Words) -> Path:
    """A file of turns of about 40 pieces."""
    lines = [
        {"id": f"{path.stem}{place}", "ts": NOW + place, "session": f"{path.stem}{place // 40}", "text": words.text(30)}
        for place in range(turns)
    ]
    path.write_text("".join(json.dumps({**line, "speaker": "Ada"}) + "\n" for line in lines))
    return path


async def lives(turns: int) -> None:
    words = Words(2)
    with House(1, REFLEX) as house, tempfile.TemporaryDirectory() as folder:
        one, two = (life(Path(folder) / f"{name}.jsonl", turns, words) for name in "AB")
        ctl = [str(Path(sys.executable).with_name("animactl")), "--home", str(house.root), "memory"]

        async def took(*command: str) -> float:
            began = time.perf_counter()
            await (await asyncio.create_subprocess_exec(*ctl, *command, env=environ(REFLEX), stdout=subprocess.DEVNULL)).wait()
            return time.perf_counter() - began

        await asyncio.sleep(2.0)  # until the model is loaded
        found = await stored_to_found(house)
        by_words = await took("import", "a000", str(one))
        by_meaning = await took("import", "a000", str(one), "--wait")
        fresh = [words.text(WORDS) for _ in range(2_000)]
        quiet_ends = time.perf_counter() + 15
        quiet = await asked(house, fresh[::-1], lambda: time.perf_counter() > quiet_ends)
        await took("import", "a000", str(two))
        waiting = asyncio.create_task(took("import", "a000", str(two), "--wait"))
        meanwhile = await asked(house, fresh, waiting.done)
        weight = memory_mb(house.pids()["mneme"])[0]
    rows = [
        ["stored in the journal to found by a search, ms", spread(found, 1e3)],
        [f"import of {turns:,} turns, searchable by words, turns/s (the command's start included)", number(turns / by_words)],
        ["vectors of turns of about 40 pieces, turns/s", number(turns / by_meaning)],
        ["the same with four searches a second", number(turns / waiting.result())],
        ["a new question over the bus, quiet, ms", spread(quiet, 1e3)],
        ["the same while vectors are made, ms", spread(meanwhile, 1e3)],
        ["PSS of the process, MB", number(weight)],
    ]
    show("Mneme in a house", ["what", "median [lowest-highest tenth]"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="how many memories, with commas")
    parser.add_argument("--turns", type=int, default=6_000, help="of the imported life; 0 leaves the house out")
    options = parser.parse_args()
    sizes = [int(each) for each in options.sizes.split(",") if each]
    columns = ["memories", "hybrid, ms", "by words alone, ms", "FTS5 BM25, ms", "NumPy scan, ms"]
    columns += ["columns read, s", "kept /s", "PSS, MB", "disk, KB each"]
    if sizes:
        show("Search, top 10, median [lowest-highest tenth]", columns, [searches(size) for size in sizes])
    if options.turns:
        asyncio.run(lives(options.turns))


if __name__ == "__main__":
    main()
