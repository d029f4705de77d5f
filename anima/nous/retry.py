"""The one place where a model call is tried again: exponential back-off with full jitter, Retry-After, a total deadline.

Providers raise `Transient` for what may pass and everything else for what will not; no SDK retries below this.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from anima.clock import SYSTEM, Clock
from anima.errors import Unavailable
from anima.nous.model import Delta, Restart


class Transient(Exception):
    """This attempt failed in a way that may pass. The text is a clause: who did what."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s  #: how long the other side asked us to wait


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently to try again. The deadline limits when an attempt may begin, not how long an answer may flow."""

    delay_s: float = 0.5
    delay_max_s: float = 20.0
    total_s: float = 120.0


def wait_s(policy: Policy, failures: int, elapsed_s: float, after_s: float | None, chance: float) -> float | None:
    """How long to wait after the `failures`-th failure (from 1), or None to give up. `chance` is uniform in [0, 1).

    Full jitter (AWS, "Exponential Backoff and Jitter"): many agents that were turned away together must not come back
    together. Retry-After is a floor, with a tenth of jitter on top; if it reaches past the deadline there is no
    point in waiting at all.
    """
    if after_s is not None:
        wait = after_s + chance * max(policy.delay_s, after_s / 10)
    else:
        wait = chance * min(policy.delay_max_s, policy.delay_s * 2.0 ** min(failures - 1, 32))
    return wait if elapsed_s + wait <= policy.total_s else None


def read_retry_after(header: str | None, now: float) -> float | None:
    """Seconds asked for by a Retry-After header (RFC 9110, 10.2.3: seconds or a date), or None if it says nothing."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    return min(max(0.0, seconds), 86_400.0) if seconds == seconds else None  # noqa: PLR0124 - not a number


async def stream_with_retries(
    attempt: Callable[[], AsyncGenerator[Delta, None]],
    policy: Policy,
    clock: Clock = SYSTEM,
) -> AsyncIterator[Delta]:
    """The deltas of `attempt`, begun anew after each Transient.

    If something was shown already, a Restart comes first: a new sample differs, so the old words cannot be continued.
    Raises Unavailable when the deadline leaves no room for another attempt, and whatever else `attempt` raises.
    """
    begun = clock.monotonic()
    failures = 0
    while True:
        shown = False
        try:
            async with aclosing(attempt()) as deltas:
                async for delta in deltas:
                    shown = True
                    yield delta
            return
        except Transient as failure:
            failures += 1
            elapsed = clock.monotonic() - begun
            wait = wait_s(policy, failures, elapsed, failure.after_s, random.random())  # noqa: S311 - jitter, not a secret
            if wait is None:
                raise Unavailable(_giving_up(failure, failures, elapsed)) from failure
            reason = str(failure)
        if shown:
            yield Restart(reason)
        await asyncio.sleep(wait)


def _giving_up(failure: Transient, failures: int, elapsed_s: float) -> str:
    tries = "one try" if failures == 1 else f"{failures} tries in {elapsed_s:.0f} s"
    when = f"in {failure.after_s:.0f} s, as it asks" if failure.after_s else "later"
    return f"{failure} (gave up after {tries}); ask again {when}"
