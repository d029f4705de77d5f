"""What a daemon's `main` gets: where it lives, and its words to the root."""

import asyncio

from anima.config.schema import House
from anima.paths import Home
from anima.process.notify import Notify
from anima.supervisor.boot import Boot


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

    async def stopping(self) -> None:
        """Wait until the root wants this process to stop."""
        await self.stop.wait()
