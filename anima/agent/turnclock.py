"""The time one turn may take: a deadline that stands still while a person is waited for, or the journal."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class TurnClock:
    """The deadline of a turn, from when `running` begins."""

    def __init__(self) -> None:
        self._timeout: asyncio.Timeout | None = None
        self._left_s: float | None = None  # of the turn's time, while the clock stands still

    @asynccontextmanager
    async def running(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError out of the block when its time is up."""
        async with asyncio.timeout(seconds) as self._timeout:
            yield

    def keep(self, *, still: bool) -> None:
        """Stand still from now on, or go on with what is left."""
        assert self._timeout is not None, "a turn's time is kept from its beginning"
        now = asyncio.get_running_loop().time()
        if still and self._left_s is None:
            self._left_s = (self._timeout.when() or now) - now
            self._timeout.reschedule(None)
        elif not still and self._left_s is not None:
            self._timeout.reschedule(now + self._left_s)
            self._left_s = None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """While in it the clock stands still, unless it does already or has run out."""
        timeout = self._timeout
        if timeout is None or timeout.expired() or timeout.when() is None:
            yield
            return
        self.keep(still=True)
        try:
            yield
        finally:
            self.keep(still=False)
