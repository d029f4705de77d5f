"""A foreign function beside the event loop: it may block, raise, or never return, and this process goes on."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any


async def in_thread(function: Callable[[], Any], limit_s: float | None) -> Any:
    """The result of a function that may block. Raises what it raises, TimeoutError if it takes longer.

    The thread is a daemon: one that never returns must not keep its process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error:
            done.set_exception(error)
        else:
            done.set_result(result)

    def run() -> None:
        result, failure = None, None
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - told by whoever waits
            failure = error
        except SystemExit as error:
            failure = RuntimeError(f"it wanted to end the process ({error})")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="aside", daemon=True).start()
    async with asyncio.timeout(limit_s):
        return await done
