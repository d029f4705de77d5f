"""What becomes of a dead child: OTP's window, a throttle after it, s6's permanent failure. Pure; time and chance are given.

A failure is any end nobody asked for. The first `burst` within `window_s` are answered at once, because most deaths
are accidents. Further ones wait, each twice as long as the one before, until it was READY for `reset_s`.
`attempts_max` in a row, and the child is parked.
"""

from dataclasses import dataclass, replace

from anima.errors import Exit
from anima.supervisor.spec import Policy, Restart

_SIGKILL = -9
_DOUBLINGS_MAX = 32  # 2**32 s is beyond any cap; keeps the power small


@dataclass(frozen=True)
class Death:
    """How a process ended: its exit code (or minus the signal), how long it had been READY, and when (monotonic)."""

    code: int
    healthy_s: float
    at: float


@dataclass(frozen=True)
class History:
    """A child's past, as far as it matters to its next restart."""

    failures: int = 0  #: in a row, as counted for parking
    waits: int = 0  #: delays in a row; the next is delay_s * 2**waits
    restarts: tuple[float, ...] = ()  #: moments of the restarts within the window


@dataclass(frozen=True)
class Again:
    """Start it again in `delay_s`."""

    delay_s: float


@dataclass(frozen=True)
class Finished:
    """It is done and stays down."""

    reason: str


@dataclass(frozen=True)
class GivenUp:
    """No further attempt; `reason` is a sentence for a person."""

    reason: str


Verdict = Again | Finished | GivenUp


def judge(restart: Restart, death: Death, past: History, policy: Policy, chance: float) -> tuple[Verdict, History]:
    """What to do after `death`, and the history with it. `chance` is in [0, 1).

    Two ends are never counted towards parking: exit 75, which says that something else is away and will come back,
    and SIGKILL, which no process inflicts on itself (it is the kernel short of memory, or a person). Both still wait.
    """
    if death.code == Exit.CONFIG:
        return GivenUp("its configuration is wrong; it is started again when the configuration changes"), past
    if restart == "temporary" or (restart == "transient" and death.code == Exit.OK):
        return Finished("done" if death.code == Exit.OK else "not restarted: it is temporary"), past
    if death.healthy_s >= policy.reset_s:
        past = History()
    counted = death.code not in (Exit.TRY_LATER, _SIGKILL)
    failures = past.failures + 1 if counted else past.failures
    if failures >= policy.attempts_max:
        return GivenUp(f"it failed {failures} times in a row"), replace(past, failures=failures)
    recent = tuple(moment for moment in past.restarts if moment > death.at - policy.window_s)
    if past.waits == 0 and death.code != Exit.TRY_LATER and len(recent) < policy.burst:
        return Again(0.0), History(failures, past.waits, (*recent, death.at))
    delay_s = wait_s(past.waits, policy, chance)
    return Again(delay_s), History(failures, past.waits + 1, (*recent, death.at + delay_s))


def wait_s(waits: int, policy: Policy, chance: float) -> float:
    """The delay after `waits` earlier ones: doubling up to `delay_max_s`, then moved by the jitter."""
    plain = min(policy.delay_s * 2.0 ** min(waits, _DOUBLINGS_MAX), policy.delay_max_s)
    return plain * (1.0 + policy.jitter * (2.0 * chance - 1.0))


@dataclass(frozen=True)
class Bucket:
    """A token bucket, kept as the moment at which it will be full again (monotonic seconds)."""

    full_at: float = 0.0


def take(bucket: Bucket, policy: Policy, now: float) -> tuple[float, Bucket]:
    """Take one token: how long to wait for it (seconds, 0 if there is one), and the bucket without it."""
    each_s = 1.0 / policy.forks_per_s_max
    full_at = max(bucket.full_at, now) + each_s
    return max(0.0, full_at - now - policy.forks_burst * each_s), Bucket(full_at)
