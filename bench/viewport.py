"""What a model sees, assembled out of long sessions: `python bench/viewport.py [--events 100000]`.

First the time: a window of 120,000 tokens out of sessions of growing length. `cold` reads a real journal's file from its
end, `a step` looks again after one more step, with what is new read from the journal, `laid anew` is the leap of a full window.
Then the cache: which share of each request's bytes, as the Messages API gets them, begins the next one too, in a session of
50 turns with recall and feelings that change all the time.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from tables import number, show, spread  # noqa: E402

from anima.agent.history import History  # noqa: E402
from anima.agent.inbox import Open  # noqa: E402
from anima.agent.inserts import Insert, Place, around, last_words  # noqa: E402
from anima.agent.toolbox import specs  # noqa: E402
from anima.agent.viewport import Shape  # noqa: E402
from anima.bus.bus import Page  # noqa: E402
from anima.journal.admission import admit  # noqa: E402
from anima.journal.ledger import Ledger  # noqa: E402
from anima.nous.anthropic_request import render  # noqa: E402
from anima.nous.model import Request  # noqa: E402
from anima.tools.registry import built_in  # noqa: E402
from anima.wire.events import (  # noqa: E402
    AgentMessage,
    Body,
    ModelCalled,
    ToolCall,
    ToolResponse,
    TurnEnded,
    TurnStarted,
    UserMessage,
    decode_event,
    event,
)
from anima.wire.frames import Query  # noqa: E402

WINDOW_TOKENS = 120_000
GROWN = Shape(WINDOW_TOKENS, fill=0.89)  # laid full at once, so that every look is one at the whole window
LAID = Shape(WINDOW_TOKENS)
LENGTHS = (1_000, 10_000, 100_000)
LOOKS = 60
TURNS = 50
BATCH = 200
TEXT = "the quick brown fox jumps over the lazy dog and reads a line of the file " * 4


class Shelf:
    """A journal's file within this process, read like the real one but for the way over the socket."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger.open(folder / "journal.db")
        self._waiting: list[bytes] = []

    def add(self, body: Body) -> str:
        made = event(body, agent="arya", source="cli", session="main")
        self._waiting.append(made.encode())
        if len(self._waiting) == BATCH:
            self.store()
        return made.id

    def store(self) -> int:
        """Make everything durable; returns the newest seq."""
        if self._waiting:
            self._ledger.append([admit(self._waiting)])
            self._waiting = []
        return self._ledger.tip.seq

    async def read(self, query: Query, timeout_s: float | None = None) -> Page:  # noqa: ARG002 - never waits
        head, more, rows = self._ledger.read(query)
        return Page([decode_event(row[2], row[0], row[1]) for row in rows], head, more)


def turn(shelf: Shelf, numbered: int, steps: int = 2) -> Open:
    """One turn in the journal: its message, begin, steps, answer and end; 4 + 3 * steps events."""
    text = f"question {numbered}: {TEXT}"
    asked = shelf.add(UserMessage(text))
    message = Open(asked, shelf.store(), "main", text)
    shelf.add(TurnStarted(asked, message.seq, 1))
    for step in range(1, steps + 1):
        work(shelf, message, step, numbered)
    shelf.add(AgentMessage(f"answer {numbered}: {TEXT}", asked))
    shelf.add(TurnEnded(asked, message.seq, "answered"))
    return message


def work(shelf: Shelf, message: Open, step: int, numbered: int) -> None:
    shelf.add(ModelCalled(message.turn, step, "bench", 1, 1, 0.1))
    intent = shelf.add(ToolCall(message.turn, step, f"c{step}", "read_file", {"path": f"src/{numbered % 97}-{step}.py"}))
    shelf.add(ToolResponse(message.turn, f"c{step}", "read_file", True, TEXT * 3, intent))


async def measured(events: int) -> list[str]:
    """One row: milliseconds for a session of so many events."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder))
        for numbered in range(events // 10):
            turn(shelf, numbered)
        text = "and now?"
        asked = shelf.add(UserMessage(text))
        message = Open(asked, shelf.store(), "main", text)
        cold, step, laid = [], [], []
        for _ in range(5):
            begun = time.perf_counter()
            history = History()
            await history.unroll(shelf, "arya", message, GROWN.start)
            view = history.look(message, GROWN)
            cold.append(time.perf_counter() - begun)
        for at in range(1, LOOKS + 1):
            work(shelf, message, at, at)
            shelf.store()
            begun = time.perf_counter()
            await history.unroll(shelf, "arya", message, GROWN.start)
            view = history.look(message, GROWN)
            step.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            history.look(message, GROWN, anew=True)
            laid.append(time.perf_counter() - begun)
        return [f"{events:,}", f"{view.tokens:,}", *(spread(each, 1_000) for each in (step, laid, cold))]


async def shares() -> list[float]:
    """Of each request's bytes, the share that begins the next request too."""
    with tempfile.TemporaryDirectory() as folder:
        shelf, history = Shelf(Path(folder)), History()
        tools = list(built_in().tools.values())
        sent: list[bytes] = []
        for numbered in range(TURNS):
            text = f"question {numbered}: {TEXT}"
            asked = shelf.add(UserMessage(text))
            message = Open(asked, shelf.store(), "main", text)
            for step in range(1, 4):
                await history.unroll(shelf, "arya", message, LAID.start)
                inserts = [
                    Insert(Place.RECALLED, "recall", f"you remember {numbered}-{step}: {TEXT}"),
                    Insert(Place.FEELING, "feelings", f"calm {numbered / TURNS:.2f}, curious {step / 3:.2f}"),
                ]
                shown = around(history.look(message, LAID).messages, inserts)
                request = Request("You are Arya. " * 50, shown, specs(tools), reminder=last_words("Be brief.", inserts))
                sent.append(bytes_of(render(request, "claude-sonnet-4-6")))
                if step < 3:
                    work(shelf, message, step, numbered)
                    shelf.store()
            shelf.add(AgentMessage(f"answer {numbered}: {TEXT}", asked))
            shelf.store()
        return [same_bytes(before, after) / len(before) for before, after in pairwise(sent)]


def same_bytes(before: bytes, after: bytes) -> int:
    """With how many bytes both begin."""
    least, most = 0, min(len(before), len(after))
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if before[:middle] == after[:middle] else (least, middle - 1)
    return least


def bytes_of(body: dict[str, object]) -> bytes:
    """The request as a cache compares it: tools, system, messages; the marks of breakpoints are no content."""
    text = json.dumps([body["tools"], body["system"], body["messages"]], ensure_ascii=False)
    return text.replace(', "cache_control": {"type": "ephemeral"}', "").encode()


async def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=max(LENGTHS), help="the longest session")
    most = options.parse_args().events
    rows = [await measured(length) for length in LENGTHS if length <= most]
    columns = ("events", "tokens shown", "a step, ms (aim 15)", "laid anew, ms", "cold, ms")
    show("A window of 120,000 tokens, by the session's length", columns, rows)
    found = await shares()
    row = (f"{statistics.mean(found):.1%}", f"{statistics.median(found):.1%}", f"{min(found):.1%}", number(len(found)))
    show("Share of a request that begins the next one (aim 95 %)", ("mean", "median", "least", "pairs"), [row])


if __name__ == "__main__":
    asyncio.run(main())
