"""The one place where a model call is tried again: exponential back-off with full jitter, Retry-After, a total deadline.

Every adapter asks here what a status or a broken connection means, raises `Transient` for what may pass and everything
else for what will not; no SDK and no HTTP library retries below this. What is decided is pure (`Tally`, `wait_s`,
`passing`, `read_retry_after`, `network`); `stream_with_retries` acts on it.
"""

import asyncio
import math
import random
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from anima import limits
from anima.clock import SYSTEM, Clock
from anima.errors import Refused, Unavailable
from anima.nous.model import Call, Delta, Text, Thinking
from anima.nous.resume import Shown

_SERVER_TROUBLE = 500  # where HTTP's errors of the other side begin
_DAY_S = 86_400.0
_DOUBLINGS_MAX = 32
_NO_TLS = ("WRONG_VERSION", "RECORD_LAYER", "UNKNOWN_PROTO", "HTTP_REQUEST")  # OpenSSL's words when the answer is no TLS


class Transient(Exception):
    """This attempt failed in a way that may pass. The text is a clause: who did what."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s  #: how long the other side asked us to wait


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently to try again, and how long and how large an answer may become.

    `total_s` is what may be spent without a word of the model; an answer that flows is not counted against it, but it
    may break off only `cuts_max` times, for each time all its tokens are paid again.
    """

    delay_s: float = 0.5
    delay_max_s: float = 20.0
    total_s: float = 120.0
    cuts_max: int = 3
    answer_s: float = 1800.0
    answer_bytes_max: int = limits.text_bytes_max


@dataclass(frozen=True, slots=True)
class Tally:
    """What went wrong so far in one call of a model."""

    attempts: int = 0  #: that failed
    failures: int = 0  #: in a row, without a word between them
    cuts: int = 0  #: answers that broke off after their first word
    lost_s: float = 0.0  #: time without a word

    def after(self, lost_s: float, *, spoke: bool) -> "Tally":
        """The tally after one more failed attempt, in which `lost_s` passed before the first word or the failure."""
        failures = 1 if spoke else self.failures + 1
        return Tally(self.attempts + 1, failures, self.cuts + spoke, self.lost_s + lost_s)


def wait_s(policy: Policy, tally: Tally, after_s: float | None, chance: float) -> float | None:
    """How long to wait before the next attempt, or None to give up. `chance` is uniform in [0, 1).

    Full jitter (AWS, "Exponential Backoff and Jitter"): many agents that were turned away together must not come back
    together. Retry-After is a floor, with a tenth of jitter on top; if it reaches past the deadline there is no
    point in waiting at all.
    """
    if tally.cuts > policy.cuts_max:
        return None
    if after_s is not None:
        wait = after_s + chance * max(policy.delay_s, after_s / 10)
    else:
        wait = chance * min(policy.delay_max_s, policy.delay_s * 2.0 ** min(tally.failures - 1, _DOUBLINGS_MAX))
    return wait if tally.lost_s + wait <= policy.total_s else None


_PASSING = {
    408: "waited too long for our request",
    409: "was busy with a conflicting request",
    425: "did not want our request so early",
    429: "limits our rate of requests",
    529: "is overloaded",
}


def passing(status: int, who: str, said: str = "") -> str:
    """What `who` did, as a clause, if a status is one that may pass; "" for a status that will not.

    `said`, the other side's own words in brackets, is added where the status alone does not tell.
    """
    if status in _PASSING:
        return f"{who} {_PASSING[status]}"
    return f"{who} failed with status {status}{said}" if status >= _SERVER_TROUBLE else ""


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
    return None if math.isnan(seconds) else min(max(0.0, seconds), _DAY_S)


def network(error: BaseException, url: str, said: str) -> Transient | Refused:
    """What a failed connection to `url` means; `said` is the error's own text, without secrets.

    A certificate that cannot be verified, a name that nobody has and a port that speaks no TLS will not pass by themselves.
    """
    for cause in _causes(error):
        if isinstance(cause, Refused):  # a limit of ours, raised below an HTTP library that wraps everything
            return cause
        reason = getattr(cause, "reason", "") or str(cause)
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return Refused(f"the certificate of {url} cannot be verified; correct the address or install its authority")
        if isinstance(cause, ssl.SSLError) and any(
            sign in reason for sign in ("WRONG_VERSION", "RECORD_LAYER", "UNKNOWN_PROTO")
        ):
            return Refused(f"{url} speaks no TLS; write its address with http://, or correct the port")
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return Refused(f"nobody has the name in {url}; correct the address")
    return Transient(f"the connection to {url} failed ({said or type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


async def stream_with_retries(
    attempt: Callable[[], AsyncGenerator[Delta, None]],
    policy: Policy,
    clock: Clock = SYSTEM,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> AsyncIterator[Delta]:
    """The deltas of `attempt`, begun anew after each Transient; what was shown is not shown twice (see nous.resume).

    Raises Unavailable when the deadline leaves no room for another attempt, Refused for an answer without measure, and
    whatever else `attempt` raises.
    """
    tally, shown = Tally(), Shown()
    begun = clock.monotonic()
    while True:
        spoke_at = None
        bounds = _Bounds(policy, clock)
        try:
            async with aclosing(attempt()) as deltas:
                async for delta in deltas:
                    if spoke_at is None:
                        spoke_at = clock.monotonic()
                    bounds.check(delta)
                    for each in shown.take(delta):
                        yield each
            return
        except Transient as failure:
            now = clock.monotonic()
            tally = tally.after((now if spoke_at is None else spoke_at) - begun, spoke=spoke_at is not None)
            wait = wait_s(policy, tally, failure.after_s, chance())
            if wait is None:
                raise Unavailable(_giving_up(failure, tally)) from failure
            shown.again(str(failure))
        begun = now
        await sleep(wait)


class _Bounds:
    """How much one attempt said, and since when."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._until = clock.monotonic() + policy.answer_s
        self._bytes = 0

    def check(self, delta: Delta) -> None:
        """Raise Refused if this delta makes the answer too large, or comes too late."""
        match delta:
            case Text(text) | Thinking(text):
                self._bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
            case Call(_, _, args):
                self._bytes += len(str(args))
        if self._bytes > self._policy.answer_bytes_max:
            kib = self._policy.answer_bytes_max // limits.KIB
            raise Refused(f"the model's answer grew beyond {kib} KiB and was cut off; ask for less at once")
        if self._clock.monotonic() > self._until:
            raise Refused(
                f"the model's answer had no end after {self._policy.answer_s:g} s and was cut off; ask for less at once"
            )


def _giving_up(failure: Transient, tally: Tally) -> str:
    tries = "one try" if tally.attempts == 1 else f"{tally.attempts} tries in {tally.lost_s:.0f} s"
    when = f"in {failure.after_s:.0f} s, as it asks" if failure.after_s else "later"
    return f"{failure} (gave up after {tries}); ask again {when}"
