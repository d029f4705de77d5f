"""The ledger: what it counts, and that it always balances."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.cli.ledger import Balance, Ledger
from anima.wire.events import AgentMessage, Event, TurnEnded, UserMessage, event

AGENT = "arya"


def balance(*events: Event) -> Balance:
    ledger = Ledger()
    for seq, each in enumerate(events, 1):
        ledger.add(Event(each.id, each.kind, each.agent, each.session, each.source, each.cause, each.data, seq))
    return ledger.balance()


def asked(name: str, agent: str = AGENT) -> Event:
    return event(UserMessage("hi"), agent=agent, source="cli", id=name)


def answer(turn: str) -> Event:
    return event(AgentMessage("hello", turn), agent=AGENT, source=f"agent:{AGENT}")


def ended(turn: str, outcome: str = "answered", settled_seq: int = 0) -> Event:
    return event(TurnEnded(turn, 0, outcome, settled_seq=settled_seq), agent=AGENT, source=f"agent:{AGENT}")


def test_a_message_without_an_end_is_waiting():
    assert balance(asked("a")) == Balance(accepted=1, waiting=1)


def test_a_message_with_its_answer_and_its_end_is_answered():
    assert balance(asked("a"), answer("a"), ended("a")) == Balance(accepted=1, answered=1)


@pytest.mark.parametrize("outcome", ["interrupted", "failed"])
def test_a_message_that_ended_otherwise_is_counted_so(outcome: str):
    told = balance(asked("a"), ended("a", outcome)).fields()
    assert told[outcome] == told["accepted"] == 1
    assert told["lost"] == told["doubled"] == 0


def test_an_interrupted_message_may_have_half_an_answer():
    assert balance(asked("a"), answer("a"), ended("a", "interrupted")) == Balance(accepted=1, interrupted=1)


def test_an_end_that_says_answered_without_an_answer_is_lost():
    found = balance(asked("a"), ended("a"))
    assert found == Balance(accepted=1, lost=1)
    assert not found.ok


def test_a_message_the_agent_counts_as_settled_but_never_ended_is_lost():
    found = balance(asked("a"), asked("b"), answer("b"), ended("b", settled_seq=2))
    assert found == Balance(accepted=2, answered=1, lost=1)


def test_another_agents_account_settles_nothing_here():
    found = balance(asked("x", agent="bran"), asked("a"), answer("a"), ended("a", settled_seq=4))
    assert found == Balance(accepted=2, answered=1, waiting=1)


@pytest.mark.parametrize("extra", [answer("a"), ended("a")])
def test_two_answers_or_two_ends_are_doubled(extra: Event):
    found = balance(asked("a"), answer("a"), ended("a"), extra)
    assert (found.answered, found.doubled, found.ok) == (1, 1, False)


def test_an_outcome_nobody_knows_is_not_taken_for_an_end():
    assert balance(asked("a"), ended("a", "vanished")).lost == 1


def test_whoever_is_at_fault_is_named():
    ledger = Ledger()
    for seq, each in enumerate((asked("a"), ended("a")), 1):
        ledger.add(Event(each.id, each.kind, each.agent, "", "", "", each.data, seq))
    assert ledger.unbalanced() == [(AGENT, 1, "lost")]


NAMES = st.sampled_from("abcd")
STEPS = st.one_of(
    NAMES.map(asked),
    NAMES.map(answer),
    st.builds(ended, NAMES, st.sampled_from(["answered", "interrupted", "failed", "odd"]), st.integers(0, 20)),
)


@given(st.lists(STEPS, max_size=20))
def test_the_sides_of_the_ledger_are_equal_whatever_happened(events: list[Event]):
    found = balance(*events)
    assert found.accepted == found.answered + found.waiting + found.interrupted + found.failed + found.lost
    assert found.accepted == len({each.id for each in events if each.kind == "user_message"})
    assert 0 <= found.doubled <= found.accepted


@given(st.lists(st.sampled_from(["answered", "interrupted", "failed"]), max_size=12))
def test_a_house_that_does_its_work_always_balances(outcomes: list[str]):
    events = []
    for number, outcome in enumerate(outcomes):
        turn = str(number)
        events += [asked(turn), *([answer(turn)] if outcome == "answered" else []), ended(turn, outcome)]
    assert balance(*events).ok
