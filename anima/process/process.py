"""What a daemon's `main` gets: where it lives, and its words to the root."""

import asyncio
from dataclasses import dataclass, field

from anima.config.schema import House
from anima.paths import Home
from anima.process.notify import Notify
from anima.supervisor.boot import Boot


@dataclass(frozen=True)
class Process:
    """This process, as the one it runs in sees it."""

    boot: Boot
    home: Home
    settings: House
    notify: Notify
    stop: asyncio.Event = field(default_factory=asyncio.Event)  #: a fact that stays true, however it was learned
    _said: list[str] = field(default_factory=lambda: [""])

    @property
    def name(self) -> str:
        """As the root knows it: `journal`, `agent:arya`."""
        return self.boot.name

    def ready(self, status: str = "") -> None:
        """Subscribed and caught up; the root may start whoever comes next."""
        self.notify.say("READY=1", *([f"STATUS={status}"] if status else []))

    def status(self, text: str) -> None:
        """What this process is doing, in a few words, for `animactl status`."""
        if text != self._said[0]:
            self._said[0] = text
            self.notify.say(f"STATUS={text}")

    async def stopping(self) -> None:
        """Wait until the root wants this process to stop."""
        await self.stop.wait()
