"""How the journal's tasks end together."""

import asyncio
import logging

import pytest

from anima.errors import Unavailable
from daemons.journal import until


async def test_what_fails_in_the_last_moment_is_still_said(caplog: pytest.LogCaptureFixture) -> None:
    stop = asyncio.Event()

    async def fails_while_it_is_told_to_stop() -> None:
        await stop.wait()
        await asyncio.sleep(0.01)
        raise Unavailable("the disk failed at the very end; look at `dmesg`")

    stop.set()
    with caplog.at_level(logging.ERROR):
        stopping = asyncio.create_task(asyncio.sleep(0))
        await until(stopping, [asyncio.create_task(fails_while_it_is_told_to_stop())])  # type: ignore[arg-type]
    assert "the very end" in caplog.text
