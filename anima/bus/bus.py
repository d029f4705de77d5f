"""What talking to others means, whoever carries it: the interface of the ZeroMQ client and of the loopback alike.

A *fact* is appended (durable when `append` returns), a *question* is asked (safe to repeat), a *whisper* may be lost.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from anima.wire.events import Event
from anima.wire.frames import Query
from anima.wire.whispers import Whisper


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the journal keeps an appended event. `new` is False if its id was known already; then `seq` is the old one."""

    seq: int
    new: bool


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to a query: events oldest first, the journal's head at that moment, and whether more match."""

    events: list[Event]
    head: int
    more: bool


Answer = Callable[[dict[str, Any]], Awaitable[Any]]  #: what a server does for one verb: arguments in, plain values out


class Bus(Protocol):
    """One process's way to all others."""

    async def append(self, *events: Event, timeout_s: float | None = None) -> list[Stored]:
        """Store `events` in one transaction; they are durable when this returns. Waits for the journal to come back.

        Raises Unavailable after `timeout_s` (None: never), then the events may or may not be stored; send the same
        ones again. Raises Refused or BadMessage if the journal will never take them.
        """
        ...

    async def read(self, query: Query, timeout_s: float | None = None) -> Page:
        """Stored events. Raises Unavailable after `timeout_s`."""
        ...

    def follow(
        self, *, agent: str | None = None, since: int | None = None, whispers: bool = False, strict: bool = False
    ) -> AsyncIterator[Event | Whisper]:
        """Every event of `agent` (None: of everyone) after seq `since` (None: from now on), in order, once, without end.

        Missed ones are fetched from the journal, so nothing is skipped however the connection fares. The subscription
        begins with the first `__anext__`. With `whispers`, deltas come too.

        If a damaged disk took back what was delivered already, it goes on with what came in its place, and seqs go
        back; with `strict` it raises Unavailable instead, for whoever has drawn conclusions from what is lost.
        """
        ...

    async def subscribed(self) -> None:
        """Wait until what the journal publishes arrives here, or for 2 s if it is away."""
        ...

    async def ask(self, server: str, verb: str, timeout_s: float | None = None, /, **arguments: Any) -> Any:
        """One question to `server` (journal, agent:arya) and its answer. Raises what the server raised, or Unavailable."""
        ...

    async def serve(self, server: str, verbs: dict[str, Answer]) -> None:
        """Answer questions to `server` from now on, until the bus is closed."""
        ...

    def whisper(self, whisper: Whisper) -> None:
        """Tell whoever looks on; never waits, may be lost."""
        ...

    async def close(self) -> None:
        """Let go of all sockets; delivers what is queued for at most a second."""
        ...
