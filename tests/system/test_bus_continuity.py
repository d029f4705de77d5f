"""Following on when the journal itself was away, or too busy to be heard."""

import asyncio
import sys

import pytest

from anima.bus.client import connect
from tests.system.test_journal_faults import FLOOD, House, house, spawn

pytestmark = pytest.mark.system
__all__ = ["house"]


async def test_the_beat_is_heard_in_a_flood_too(house: House) -> None:  # noqa: F811
    await house.start()
    flood = spawn(sys.executable, "-c", FLOOD, house.home.root)
    try:
        await asyncio.to_thread(flood.stdout.readline)
        async with connect(house.home) as bus:
            beats: list[int] = []
            await bus.subscribed()
            bus._on_beat = lambda boot, head, *_: beats.append(head)  # type: ignore[method-assign]
            await asyncio.sleep(4)
            assert len(beats) >= 2, "nobody who lost a message in the flood would notice"
    finally:
        flood.kill()
        flood.wait()
    await house.stop()
