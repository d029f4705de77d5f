"""Following on when the journal itself was away: what nobody heard, what the disk took, a flood."""

import asyncio
import contextlib
import shutil
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from anima.bus.client import connect
from anima.journal.admission import admit
from anima.journal.ledger import Ledger
from anima.limits import beat_linger_s
from anima.wire.events import Event, UserMessage
from anima.wire.whispers import Whisper
from tests.system.test_journal_faults import FLOOD, House, house, message, spawn

pytestmark = pytest.mark.system
__all__ = ["house"]


async def next_text(seen: AsyncIterator[Event | Whisper], timeout_s: float = 10.0) -> str:
    async with asyncio.timeout(timeout_s):
        item = await anext(seen)
    assert isinstance(item, Event)
    assert isinstance(item.body, UserMessage)
    return item.body.text


def store_unheard(house: House, *texts: str) -> None:
    """What an incarnation of the journal stored that died before anyone could hear of it."""
    ledger = Ledger.open(house.home.journal)
    ledger.append([admit([message(text=text).encode() for text in texts])])
    ledger.close()


async def test_what_was_stored_by_a_journal_that_died_before_anyone_heard_it_is_followed(house: House) -> None:
    await house.start()
    async with connect(house.home) as bus, connect(house.home) as other:
        seen = bus.follow(agent="arya", since=0)
        await other.append(message(text="heard"))
        assert await next_text(seen) == "heard"
        await house.kill()
        store_unheard(house, "unheard")
        await house.start()
        assert await next_text(seen) == "unheard"
        await seen.aclose()  # type: ignore[attr-defined]
    await house.stop()


@pytest.mark.parametrize("agent", ["arya", None])
async def test_whoever_saw_what_the_disk_took_back_hears_what_came_in_its_place(house: House, agent: str | None) -> None:
    await house.start()
    await house.stop()
    kept = house.home.root / "kept"
    shutil.copytree(house.home.state, kept, ignore=shutil.ignore_patterns("*.lock"))
    await house.start()
    async with connect(house.home) as bus, connect(house.home) as other:
        seen = bus.follow(agent=agent, since=2)
        await other.append(*[message(text=f"taken {number}") for number in range(8)])
        for number in range(8):
            assert await next_text(seen) == f"taken {number}"
        await house.kill()
        for each in house.home.state.glob("journal.db*"):
            each.unlink()
        shutil.copy(kept / "journal.db", house.home.state)
        await house.start()
        await other.append(*[message(text=f"new {number}") for number in range(20)])
        heard: list[str] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while len(heard) < 20:
                    item = await anext(seen)
                    if isinstance(item, Event) and isinstance(item.body, UserMessage):
                        heard.append(item.body.text)
        assert heard == [f"new {number}" for number in range(20)]
        await seen.aclose()  # type: ignore[attr-defined]
    await house.stop()


LISTENER = """
import asyncio, sys
from pathlib import Path
from anima.bus.client import connect
from anima.paths import Home
async def follow(root):
    async with connect(Home(Path(root), Path(root) / "run")) as bus:
        async for event in bus.follow(agent="arya", since=0):
            print(event.data.get("text", "")[:20], flush=True)
asyncio.run(follow(sys.argv[1]))
"""


async def test_who_was_stopped_until_its_queue_overflowed_hears_the_last_one_all_the_same(house: House) -> None:
    await house.start()
    stopped = spawn(sys.executable, "-c", LISTENER, house.home.root)
    try:
        async with connect(house.home) as bus:
            await bus.append(message(text="first"))
            assert await asyncio.to_thread(stopped.stdout.readline) == b"first\n"
            stopped.send_signal(signal.SIGSTOP)
            for _ in range(40):
                await asyncio.gather(*[bus.append(*[message(text="x" * 1000) for _ in range(100)]) for _ in range(3)])
            await bus.append(message(text="last"))
        await asyncio.sleep(beat_linger_s + 3)
        stopped.send_signal(signal.SIGCONT)
        async with asyncio.timeout(15):
            while await asyncio.to_thread(stopped.stdout.readline) != b"last\n":
                pass
    finally:
        stopped.kill()
        stopped.wait()
    await house.stop()


async def test_the_beat_is_heard_in_a_flood_too(house: House) -> None:
    await house.start()
    flood = spawn(sys.executable, "-c", FLOOD, house.home.root)
    try:
        await asyncio.to_thread(flood.stdout.readline)
        async with connect(house.home) as bus:
            beats: list[int] = []
            await bus.subscribed()
            bus._on_beat = lambda boot, opened, head, heads: beats.append(head)  # type: ignore[method-assign]
            await asyncio.sleep(4)
            assert len(beats) >= 2, "nobody who lost a message in the flood would notice"
    finally:
        flood.kill()
        flood.wait()
    await house.stop()
