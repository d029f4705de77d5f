"""What a daemon's `main` gets: where it lives, and its words to the root."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from anima.config.schema import House
from anima.paths import Home
from anima.process.notify import Notify
from anima.supervisor.boot import Boot

PATIENCE_S = 1.0  # asked for again before it is over
MORE_TIME_S = 30.0
T = TypeVar("T")


class Process:
    """This process, as the one it runs in sees it. `stop` is a fact that stays true, however it was learned."""

    def __init__(self, boot: Boot, home: Home, settings: House, notify: Notify) -> None:
        self.boot = boot
        self.home = home
        self.settings = settings
        self.notify = notify
        self.stop = asyncio.Event()
        self.is_ready = False
        self._told = ""

    @property
    def name(self) -> str:
        """As the root knows it: `journal`, `agent:arya`."""
        return self.boot.name

    def ready(self, status: str = "") -> None:
        """Subscribed and caught up; the root may start whoever comes next."""
        self.is_ready = True
        self._told = status
        self.notify.say("READY=1", *([f"STATUS={status}"] if status else []))

    def status(self, text: str) -> None:
        """What this process is doing, in a few words, for `animactl status`; said only when it changes."""
        if text != self._told:
            self._told = text
            self.notify.say(f"STATUS={text}")

    def more_time(self) -> None:
        """What is being done on the way up takes long, and goes on."""
        self.notify.say(f"EXTEND_TIMEOUT_USEC={int(MORE_TIME_S * 1e6)}")

    async def patiently(self, coming: Coroutine[Any, Any, T], status: str) -> T:
        """Wait on the way up for what may be away for long; meanwhile the root is asked for more time and told why."""
        task = asyncio.ensure_future(coming)
        try:
            while not (await asyncio.wait([task], timeout=min(self.boot.beat_s, PATIENCE_S)))[0]:
                self.status(status)
                self.notify.say(f"EXTEND_TIMEOUT_USEC={int(2 * PATIENCE_S * 1e6)}")
            return task.result()
        finally:
            task.cancel()

    async def while_living(self, *lives: Coroutine[Any, Any, None]) -> None:
        """Let these run until the root wants this process to stop, or one of them ends; then end them all.

        Raises what ended one of them, also on its way out: what could not be written at the end must be heard of.
        """
        living = [asyncio.ensure_future(each) for each in lives]
        stopping = asyncio.ensure_future(self.stopping())
        try:
            await asyncio.wait({*living, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (*living, stopping):
                each.cancel()
            await asyncio.wait({*living, stopping})
        for each in living:
            if not each.cancelled():
                each.result()

    async def stopping(self) -> None:
        """Wait until the root wants this process to stop."""
        await self.stop.wait()
