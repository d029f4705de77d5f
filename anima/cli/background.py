"""An event loop in a thread of its own, so that the main thread may wait for a person at the keyboard."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
_LOOK_UP_S = 0.5


def wait(event: threading.Event) -> None:
    """Until it is set, for the thread of the person; Ctrl-C interrupts it.

    A signal that comes right before a thread falls asleep in a lock does not wake it: it would be heard only with the next
    news, a minute later perhaps. So it looks up now and then.
    """
    while not event.wait(_LOOK_UP_S):
        pass


class Background:
    """The loop runs while the block does; what still runs at its end is cancelled and waited for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bus", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, sort: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.start(self._finish()).result(timeout=5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5.0)
        self._loop.close()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Let the coroutine run in the loop; its future belongs to the calling thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the loop and wait for its result; Ctrl-C interrupts the wait."""
        return self.start(coroutine).result()

    async def _finish(self) -> None:
        while others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
