"""A daemon's lives: they run until the root wants the process to stop, and no error of theirs is lost."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from anima.config.schema import House
from anima.paths import Home
from anima.process.notify import Notify
from anima.process.process import Process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify = Notify(mine.detach())
    yield Process(cast("Any", SimpleNamespace(name="x", beat_s=1.0)), Home(tmp_path, tmp_path), House(), notify)
    notify._socket.close()
    theirs.close()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise RuntimeError("oh")


async def fails_at_its_end() -> None:
    try:
        await for_ever()
    finally:
        raise RuntimeError("its last words could not be written")


async def test_a_stop_ends_all_of_them(process: Process) -> None:
    asyncio.get_running_loop().call_later(0.01, process.stop.set)
    async with asyncio.timeout(10):
        await process.while_living(for_ever(), for_ever())


async def test_the_error_of_one_ends_the_others_and_is_raised(process: Process) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="oh"):
            await process.while_living(for_ever(), fails())


async def test_an_error_on_the_way_out_is_raised_too(process: Process) -> None:
    asyncio.get_running_loop().call_later(0.01, process.stop.set)
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="last words"):
            await process.while_living(fails_at_its_end())
