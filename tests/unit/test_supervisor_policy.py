"""When a dead child comes back: the window, the waits, the end of patience."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.clock import FakeClock
from anima.errors import Exit
from anima.supervisor.policy import Again, Bucket, Death, Finished, GivenUp, History, judge, take, wait_s
from anima.supervisor.spec import Policy

POLICY = Policy(jitter=0.0)
SIGKILL, SIGSEGV = -9, -11


def live_and_die(times: int, *, code: int = 1, life_s: float = 0.0, ready: bool = False, policy: Policy = POLICY):
    """The verdicts on a child that dies `times` times after `life_s` each, served as they are given."""
    clock, past, verdicts = FakeClock(), History(), []
    for _ in range(times):
        clock.advance(life_s)
        verdict, past = judge("permanent", Death(code, life_s if ready else 0.0, clock.monotonic()), past, policy, 0.5)
        verdicts.append(verdict)
        if not isinstance(verdict, Again):
            break
        clock.advance(verdict.delay_s)
    return verdicts


def test_a_crash_loop_gets_five_chances_at_once_then_waits_twice_as_long_each_time_and_is_parked_after_ten():
    verdicts = live_and_die(20)
    assert [verdict.delay_s for verdict in verdicts[:-1]] == [0, 0, 0, 0, 0, 1, 2, 4, 8]
    assert verdicts[-1] == GivenUp("it failed 10 times in a row")


@pytest.mark.parametrize("life_s", [1.5, 3.0, 10.0])
def test_a_crash_loop_that_lives_for_a_while_is_parked_all_the_same(life_s):
    verdicts = live_and_die(20, life_s=life_s, ready=True)
    assert len(verdicts) == 10
    assert isinstance(verdicts[-1], GivenUp)


def test_a_minute_of_health_makes_the_past_forgotten():
    assert live_and_die(50, life_s=60.0, ready=True) == [Again(0.0)] * 50


def test_a_minute_without_readiness_is_no_health():
    assert isinstance(live_and_die(50, life_s=60.0, ready=False)[-1], GivenUp)


def test_once_slowed_down_it_stays_slow_until_it_is_healthy():
    policy = replace(POLICY, attempts_max=100)
    delays = [verdict.delay_s for verdict in live_and_die(20, policy=policy)]
    assert delays[5:] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 60]


def test_a_storm_of_kills_from_outside_slows_it_down_but_never_parks_it():
    verdicts = live_and_die(40, code=SIGKILL)
    assert all(isinstance(verdict, Again) for verdict in verdicts)
    assert verdicts[-1].delay_s == 60


def test_a_segfault_is_its_own_fault():
    assert isinstance(live_and_die(40, code=SIGSEGV)[-1], GivenUp)


def test_try_again_later_waits_from_the_first_time_and_never_parks():
    delays = [verdict.delay_s for verdict in live_and_die(40, code=Exit.TRY_LATER)]
    assert delays[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(delays[6:]) == {60}


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("code", [0, 1, 2, 75, 78, SIGKILL, SIGSEGV])
def test_every_kind_of_child_and_every_end_has_a_verdict(restart, code):
    verdict, _ = judge(restart, Death(code, 5.0, 100.0), History(), POLICY, 0.5)
    if code == Exit.CONFIG:
        assert isinstance(verdict, GivenUp), "a wrong configuration does not mend itself"
    elif restart == "temporary" or (restart == "transient" and code == 0):
        assert isinstance(verdict, Finished)
    elif code == Exit.TRY_LATER:
        assert verdict == Again(1.0)
    else:
        assert verdict == Again(0.0)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_at_most_a_minute_give_or_take_a_fifth(waits, chance):
    delay = wait_s(waits, Policy(), chance)
    plain = min(2.0**waits, 60.0) if waits < 100 else 60.0
    assert 0.8 * plain - 1e-9 <= delay <= 1.2 * plain + 1e-9


deaths = st.tuples(
    st.floats(0, 100),
    st.booleans(),
    st.sampled_from([0, 1, 75, 78, SIGKILL, SIGSEGV]),
    st.floats(0, 1, exclude_max=True),
)


@given(st.lists(deaths, max_size=80), st.sampled_from(["permanent", "transient", "temporary"]))
def test_no_child_is_restarted_more_than_five_times_at_once_within_any_thirty_seconds(lives, restart):
    clock, past, policy, at_once = FakeClock(), History(), Policy(), []
    for life_s, ready, code, chance in lives:
        clock.advance(life_s)
        death = Death(code, life_s if ready else 0.0, clock.monotonic())
        verdict, past = judge(restart, death, past, policy, chance)
        if not isinstance(verdict, Again):
            return
        if ready and life_s >= policy.reset_s:
            at_once.clear()
        if verdict.delay_s == 0:
            at_once = [moment for moment in at_once if moment > clock.monotonic() - policy.window_s] + [clock.monotonic()]
            assert len(at_once) <= policy.burst
        assert past.failures < policy.attempts_max
        clock.advance(verdict.delay_s)


def test_the_bucket_lets_a_burst_through_and_then_ten_a_second():
    policy, bucket, waits = Policy(), Bucket(), []
    for _ in range(40):
        wait, bucket = take(bucket, policy, now=1000.0)
        waits.append(round(wait, 6))
    assert waits[:20] == [0.0] * 20
    assert waits[20:] == [round(0.1 * n, 6) for n in range(1, 21)]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_the_bucket_never_lets_more_than_burst_and_rate_through(pauses):
    policy, bucket, clock, forks = Policy(), Bucket(), FakeClock(), []
    for pause in pauses:
        clock.advance(pause)
        wait, bucket = take(bucket, policy, clock.monotonic())
        forks.append(clock.monotonic() + wait)
    for index, first in enumerate(forks):
        in_a_second = sum(first <= moment < first + 1.0 for moment in forks[index:])
        assert in_a_second <= policy.forks_burst + policy.forks_per_s_max + 1
