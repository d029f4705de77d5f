"""When a model call is tried again, how long is waited, and that nothing is shown twice; on a clock that stands still."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.clock import FakeClock
from anima.errors import Refused, Unavailable
from anima.nous.model import Call, Delta, Done, Reply, Restart, Text, Thinking
from anima.nous.resume import Shown
from anima.nous.retry import Policy, Tally, Transient, network, passing, read_retry_after, stream_with_retries, wait_s

END = Done("end_turn", 1, 1)
POLICY = Policy(delay_s=1, delay_max_s=20, total_s=120)
Play = list[Delta | Exception | float]  #: what an attempt does: say, fail, or take so many seconds


class Stage:
    """Plays one list per attempt (the last one repeats) on a clock of its own, and remembers how long was slept."""

    def __init__(self, *plays: Play, policy: Policy = POLICY, chance: float = 0.5) -> None:
        self.clock = FakeClock()
        self.slept: list[float] = []
        self.attempts = 0
        self.shown: list[Delta] = []
        self._plays, self._policy, self._chance = plays, policy, chance

    async def _attempt(self) -> AsyncGenerator[Delta, None]:
        self.attempts += 1
        for each in self._plays[min(self.attempts, len(self._plays)) - 1]:
            if isinstance(each, Exception):
                raise each
            if isinstance(each, int | float):
                self.clock.advance(each)
            else:
                yield each

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def run(self) -> list[Delta]:
        async def go() -> None:
            stream = stream_with_retries(self._attempt, self._policy, self.clock, self._sleep, lambda: self._chance)
            async for delta in stream:
                self.shown.append(delta)

        asyncio.run(go())
        return self.shown


def test_waits_double_and_are_jittered():
    stage = Stage(*[[Transient("busy")]] * 7, [Text("ok"), END])
    assert stage.run() == [Text("ok"), END]
    assert stage.slept == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_wait_that_was_asked_for_is_kept_and_no_shorter():
    stage = Stage([Transient("limited", after_s=30)], [Text("ok"), END])
    stage.run()
    assert 30 <= stage.slept[0] <= 33


def test_it_is_given_up_at_the_deadline_in_one_sentence():
    stage = Stage([3.0, Transient("Anthropic is overloaded")])
    with pytest.raises(Unavailable, match=r"^Anthropic is overloaded \(gave up after \d+ tries in \d+ s\); ask again later$"):
        stage.run()
    assert 100 < stage.clock.monotonic() <= 123, "it neither gave up early nor began anything past the deadline"


def test_a_wait_past_the_deadline_is_not_begun():
    stage = Stage([Transient("limited", after_s=3600)])
    with pytest.raises(Unavailable, match="ask again in 3600 s, as it asks"):
        stage.run()
    assert stage.slept == []


def test_time_in_which_the_model_speaks_is_not_counted_as_lost():
    stage = Stage([Text("long"), 500.0, Transient("cut")], [Text("whole"), END])
    assert stage.run() == [Text("long"), Restart("cut"), Text("whole"), END]


def test_an_answer_that_breaks_off_every_time_is_not_paid_for_without_end():
    stage = Stage([Text("half"), Transient("cut")], policy=Policy(cuts_max=3))
    with pytest.raises(Unavailable, match=r"cut \(gave up after 4 tries"):
        stage.run()
    assert stage.attempts == 4


def test_what_is_not_transient_goes_through_at_once():
    stage = Stage([Refused("no key")])
    with pytest.raises(Refused, match="no key"):
        stage.run()
    assert stage.attempts == 1


def test_an_answer_of_ten_megabytes_is_cut_off_and_told():
    stage = Stage([Text("é" * 50_000)] * 100)
    with pytest.raises(Refused, match="grew beyond 900 KiB"):
        stage.run()
    assert sum(len(each.text.encode()) for each in stage.shown) <= POLICY.answer_bytes_max


def test_thoughts_and_arguments_without_end_are_cut_off_too():
    for endless in (Thinking("x" * 100_000), Call("1", "write", {"text": "x" * 100_000})):
        with pytest.raises(Refused, match="grew beyond"):
            Stage([endless] * 100).run()


def test_an_answer_that_never_ends_meets_its_deadline():
    with pytest.raises(Refused, match="had no end after 1800 s"):
        Stage([item for _ in range(100) for item in (Text("and "), 60.0)]).run()


# -- nothing is shown twice --------------------------------------------------------------------------------------------


def test_an_attempt_that_says_the_same_goes_on_where_the_other_broke_off():
    stage = Stage([Text("Once up"), Text("on a"), Transient("cut")], [Text("Once"), Text(" upon a time"), END])
    assert stage.run() == [Text("Once up"), Text("on a"), Text(" time"), END]


def test_an_attempt_that_says_something_else_voids_what_was_shown_from_its_first_difference_on():
    stage = Stage([Text("Once upon a"), Transient("cut")], [Text("Once upon"), Text(" the time"), END])
    assert stage.run() == [Text("Once upon a"), Restart("cut"), Text("Once upon"), Text(" the time"), END]


def test_an_attempt_that_ends_before_what_was_shown_voids_it():
    stage = Stage([Text("Once upon"), Transient("cut")], [Text("Once"), END])
    assert stage.run() == [Text("Once upon"), Restart("cut"), Text("Once"), END]


def test_a_call_that_was_shown_is_not_made_twice():
    call = Call("1", "exec", {"command": "rm it"})
    stage = Stage([Text("so"), call, Transient("cut")], [Text("so"), call, Call("2", "exec", {}), END])
    assert stage.run() == [Text("so"), call, Call("2", "exec", {}), END]
    other = Stage([Text("so"), call, Transient("cut")], [Text("so"), Call("9", "exec", {}), END])
    assert other.run() == [Text("so"), call, Restart("cut"), Text("so"), Call("9", "exec", {}), END]


PIECES = st.lists(
    st.one_of(
        st.text("ab", min_size=1, max_size=3).map(Text),
        st.text("ab", min_size=1, max_size=2).map(Thinking),
        st.just(Thinking("", "sig", "m")),
        st.sampled_from("xy").map(lambda tool: Call("1", tool, {})),
    ),
    max_size=5,
)


@given(st.lists(PIECES, min_size=1, max_size=4))
def test_whatever_breaks_off_the_reply_is_the_last_attempt_exactly(attempts):
    """Swallowing and voiding may only change what is seen on the way, never what was said in the end."""
    shown, seen, expected = Shown(), Reply(), Reply()
    for number, pieces in enumerate(attempts):
        if number:
            shown.again("cut")
        for piece in [*pieces, *([END] if number == len(attempts) - 1 else [])]:
            for delta in shown.take(piece):
                seen.add(delta)
    for piece in [*attempts[-1], END]:
        expected.add(piece)
    assert (seen.text, seen.thoughts, seen.calls, seen.done) == (expected.text, expected.thoughts, expected.calls, END)


# -- the decisions -----------------------------------------------------------------------------------------------------


@given(
    st.builds(Tally, st.integers(1, 10_000), st.integers(1, 10_000), st.integers(0, 3), st.floats(0, 1e6)),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 0.999),
)
def test_a_wait_is_jittered_bounded_and_never_reaches_past_the_deadline(tally, after, chance):
    wait = wait_s(Policy(0.5, 20, 120), tally, after, chance)
    if wait is not None:
        assert wait >= 0
        assert tally.lost_s + wait <= 120
        assert wait >= after if after is not None else wait <= min(20, 0.5 * 2 ** min(tally.failures - 1, 10))


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529, 599])
def test_what_may_pass_is_a_clause_with_its_doer(status):
    assert passing(status, "Ollama").startswith("Ollama ")


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_no_clause(status):
    assert passing(status, "Ollama") == ""


@given(st.text())
def test_any_retry_after_is_read_or_ignored(header):
    seconds = read_retry_after(header, 0.0)
    assert seconds is None or 0 <= seconds <= 86_400


def test_retry_after_may_be_a_date():
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    later = format_datetime(now.replace(second=30), usegmt=True)
    assert read_retry_after(later, now.timestamp()) == 30.0
    assert read_retry_after("nan", 0) is None
    assert read_retry_after(None, 0) is None


def wrapped(cause: Exception) -> Exception:
    """As an HTTP library hands it on."""
    try:
        raise ConnectionError("connect failed") from cause
    except ConnectionError as error:
        return error


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "certificate of https://x"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "https://x speaks no TLS; write .* http://"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "nobody has the name in https://x"),
    ],
)
def test_a_connection_that_will_never_work_is_refused_at_once(cause, sentence):
    verdict = network(wrapped(cause), "https://x", "said")
    assert isinstance(verdict, Refused)
    assert re.search(sentence, str(verdict))


@pytest.mark.parametrize(
    "cause", [ConnectionRefusedError(111, "refused"), socket.gaierror(socket.EAI_AGAIN, "try again"), OSError()]
)
def test_a_connection_that_may_work_later_is_tried_again(cause):
    assert isinstance(network(wrapped(cause), "https://x", ""), Transient)
