"""Questions about an agent's memory, as commands ask them."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from anima.cli import root
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus


def pages(home: Home, name: str, count: int, **how: Any) -> Iterator[dict[str, Any]]:
    """Memories in the order of time, page by page, `count` at most (0: all). Raises Unavailable."""
    after, left = "", count
    while True:
        limit = min(left, 1_000) if count else 1_000
        told = ask(home, name, "page", after=after, limit=limit, **how)
        yield from told["rows"]
        left -= len(told["rows"])
        if not told["more"] or not told["rows"] or (count and left <= 0):
            return
        after = told["rows"][-1]["id"]


def ask(home: Home, name: str, verb: str, **fields: Any) -> dict[str, Any]:
    """One question about the agent's memory, after all that was stored so far. Raises Refused, Unavailable."""
    from anima.cli import live

    root.agent_process(home, name)

    async def answered(bus: "Bus") -> Any:
        return await bus.ask("mneme", verb, None, agent=name, seen=await head(bus), **fields)

    told: dict[str, Any] = live.run(home, answered)
    return told


async def head(bus: "Bus") -> int:
    """The newest seq of the journal: what was stored before now shall be found."""
    from anima.wire.frames import Query

    return (await bus.read(Query(newest=True, limit=1))).head


def when(ts: float) -> str:
    """A time as people read it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(ts))
    except (ValueError, OverflowError, OSError):
        return str(ts)
