"""Time, in two kinds that must not be mixed: `now` for people and records, `monotonic` for deadlines."""

import os
import time
from pathlib import Path
from typing import Protocol

_LOCALTIME = Path("/etc/localtime")


class Clock(Protocol):
    """Where a part that decides by time takes its time from."""

    def now(self) -> float:
        """Seconds since 1970, UTC. May jump; never compare it with a deadline."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment. Never goes back; means nothing outside this machine's uptime."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()


class FakeClock:
    """A clock that stands still until told otherwise; both kinds move together."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0

    def now(self) -> float:
        """Seconds since 1970, as set."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._elapsed += seconds


SYSTEM = SystemClock()


def host_time_zone() -> str:
    """The machine's IANA time zone: $TZ, else where /etc/localtime leads, else UTC."""
    if name := os.environ.get("TZ", "").removeprefix(":"):
        return name
    target = str(_LOCALTIME.resolve())
    return target.partition("/zoneinfo/")[2] or "UTC"
