"""What commands that talk to agents share: the bus, for the time of one command, and a watch on the house meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from anima.bus.bus import Bus
from anima.bus.client import connect
from anima.cli import root
from anima.errors import Unavailable
from anima.paths import Home
from anima.wire.events import Body, Event, event
from anima.wire.whispers import Whisper

T = TypeVar("T")

SOURCE = "cli"
APPEND_TIMEOUT_S = 15.0
CHECK_S = 1.0  #: after so much silence, look whether the house still stands
AWAY_S = 15.0  #: a supervisor that is gone this long is not just being started anew


def run(home: Home, do: Callable[[Bus], Awaitable[T]]) -> T:
    """Run one coroutine function with a bus of its own, to its end."""

    async def whole() -> T:
        async with connect(home) as bus:
            return await do(bus)

    return asyncio.run(whole())


async def append(bus: Bus, body: Body, agent: str, session: str) -> Event:
    """Store one event of this command; it is durable when this returns, and carries its seq. Raises Unavailable."""
    made = event(body, agent=agent, session=session, source=SOURCE)
    stored = await bus.append(made, timeout_s=APPEND_TIMEOUT_S)
    return Event(made.id, made.kind, agent, session, SOURCE, "", made.data, stored[0].seq)


class Ear:
    """What is heard of an agent, one thing after the other."""

    def __init__(self, queue: "asyncio.Queue[Event | Whisper]", filling: "asyncio.Task[None]") -> None:
        self._queue = queue
        self._filling = filling

    async def hear(self, timeout_s: float) -> Event | Whisper | None:
        """The next thing, or None after so much silence. Raises what ended the listening, if something did."""
        if self._filling.done() and self._queue.empty():
            self._filling.result()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._queue.get()
        except TimeoutError:
            return None


@asynccontextmanager
async def listening(bus: Bus, agent: str, since: int) -> AsyncIterator[Ear]:
    """An ear for the agent's events after `since` and its whispers, open while the block runs."""
    queue: asyncio.Queue[Event | Whisper] = asyncio.Queue(maxsize=1_000)

    async def fill() -> None:
        async for item in bus.follow(agent=agent, since=since, whispers=True):
            await queue.put(item)

    task = asyncio.create_task(fill())
    try:
        yield Ear(queue, task)
    finally:
        task.cancel()
        await asyncio.wait([task])


class Watch:
    """An eye on the process whose answer one waits for: an agent's, or what else `find` gives for the name."""

    def __init__(self, home: Home, name: str, find: Callable[[Home, str], dict[str, Any]] = root.agent_process) -> None:
        self._home = home
        self._name = name
        self._find = find
        self._gone_since: float | None = None

    async def look(self) -> str:
        """Return the sentence that says why no answer will come for now, or nothing if it still may."""
        try:
            process = await asyncio.to_thread(self._find, self._home, self._name)
        except Unavailable:
            self._gone_since = self._gone_since or time.monotonic()
            gone_s = time.monotonic() - self._gone_since
            return "the house is not running any more" if gone_s > AWAY_S else ""
        self._gone_since = None
        return stalled(self._name, process)


def stalled(agent: str, process: dict[str, Any]) -> str:
    """Why an agent in this condition answers nobody, and what frees it; "" if it does answer."""
    reason = f" ({process['reason']})" if process.get("reason", "stopped") != "stopped" else ""
    match process["state"]:
        case "failed":
            return f"{agent} is parked{reason}; correct the cause and run `animactl reset {agent}`"
        case "down" if process.get("reason"):  # without one it is about to be born
            return f"{agent} is stopped{reason}; `animactl start {agent}` starts it"
        case "paused":
            return f"{agent} is paused; `animactl resume {agent}` lets it go on"
        case "up" if str(process.get("status", "")).startswith("frozen: "):
            return f"{agent} is {process['status']}; `animactl thaw {agent}` lets it go on"
    return ""
