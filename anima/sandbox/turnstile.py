"""Who may run next: bounded places, handed out to the agents in turn, so that a hundred calls of one do not starve another.

Calls that are likely to keep a processor busy (pure ones, which may come a hundred at a time) have a narrow lane per
agent, as wide as there are processors; those that mostly wait have a wide one. Agents take turns at what is free.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

Key = tuple[str, bool]  #: whose call, and whether it is one of the narrow lane


@dataclass(frozen=True, slots=True)
class Width:
    """How many places there are."""

    house: int
    agent: int
    agent_busy: int  #: of one agent in the narrow lane


class Turnstile:
    """The places and those who wait for one."""

    def __init__(self, width: Width) -> None:
        self._width = width
        self._inside: Counter[Key] = Counter()
        self._waiting: OrderedDict[Key, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, agent: str, *, busy: bool) -> AsyncIterator[None]:
        """Wait for a place and hold it; leaving, also by cancellation, gives it to whoever is next."""
        key = (agent, busy)
        await self._enter(key)
        try:
            yield
        finally:
            self._leave(key)

    def waiting(self) -> int:
        """How many calls wait for a place."""
        return sum(map(len, self._waiting.values()))

    async def _enter(self, key: Key) -> None:
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(entered)
        self._admit()
        try:
            await entered
        except asyncio.CancelledError:
            if entered.done() and not entered.cancelled():
                self._leave(key)  # it was let in at the very moment it went away
            raise

    def _leave(self, key: Key) -> None:
        self._inside[key] -= 1
        if not self._inside[key]:
            del self._inside[key]
        self._admit()

    def _admit(self) -> None:
        """Let in whoever may: one of each agent at a time, beginning behind the one served last."""
        progress = True
        while progress:
            progress = False
            for key in list(self._waiting):
                if self._full(key):
                    continue
                queue = self._waiting[key]
                while queue and queue[0].done():
                    queue.popleft()  # it went away
                if queue:
                    queue.popleft().set_result(None)
                    self._inside[key] += 1
                    self._waiting.move_to_end(key)
                    progress = True
                if not queue:
                    del self._waiting[key]

    def _full(self, key: Key) -> bool:
        width = self._width.agent_busy if key[1] else self._width.agent
        return self._inside.total() >= self._width.house or self._inside[key] >= width
