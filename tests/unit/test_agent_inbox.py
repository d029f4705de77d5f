"""Which messages still want an answer, whatever order deaths and interruptions come in."""

from hypothesis import given
from hypothesis import strategies as st

from anima.agent.inbox import Inbox
from anima.ids import derived_id, new_id
from anima.wire.events import (
    Body,
    Event,
    InterruptAsked,
    TurnEnded,
    TurnPaused,
    TurnStarted,
    UserMessage,
    event,
)


class Told:
    """A journal of one agent, as a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, body: Body, session: str = "main", id: str = "") -> Event:
        made = event(body, agent="arya", source="cli", session=session, id=id)
        stored = Event(
            made.id, made.kind, made.agent, made.session, made.source, made.cause, made.data, len(self.events) + 1, 1.0
        )
        self.events.append(stored)
        return stored

    def inbox(self, settled: int = 0) -> Inbox:
        inbox = Inbox(settled)
        for each in self.events:
            if each.seq > settled:
                inbox.apply(each)
        return inbox


def test_a_message_waits_until_its_turn_ended() -> None:
    told = Told()
    asked = told.tell(UserMessage("hello"))
    assert [message.turn for message in told.inbox().waiting()] == [asked.id]
    told.tell(TurnEnded(asked.id, asked.seq, "answered"))
    assert told.inbox().waiting() == []


def test_only_the_oldest_message_of_a_session_may_be_taken_up() -> None:
    told = Told()
    first = told.tell(UserMessage("one"))
    told.tell(UserMessage("two"))
    other = told.tell(UserMessage("three"), session="work")
    assert [message.turn for message in told.inbox().waiting()] == [first.id, other.id]


def test_deaths_are_counted_and_a_turn_put_down_on_purpose_is_not_one() -> None:
    told = Told()
    asked = told.tell(UserMessage("hello"))
    told.tell(TurnStarted(asked.id, asked.seq, 1))
    told.tell(TurnStarted(asked.id, asked.seq, 2))
    assert told.inbox().waiting()[0].deaths == 2
    told.tell(TurnPaused(asked.id, 2))
    assert (told.inbox().waiting()[0].deaths, told.inbox().waiting()[0].attempts) == (1, 2)


def test_a_turn_put_down_before_its_start_was_stored_is_no_death_and_its_number_is_not_used_again() -> None:
    told = Told()
    asked = told.tell(UserMessage("hello"))
    told.tell(TurnPaused(asked.id, 1))
    assert (told.inbox().waiting()[0].deaths, told.inbox().waiting()[0].attempts) == (0, 1)
    told.tell(TurnStarted(asked.id, asked.seq, 1))
    assert (told.inbox().waiting()[0].deaths, told.inbox().waiting()[0].attempts) == (0, 1)


def test_an_interruption_hits_the_running_turn_and_no_waiting_one() -> None:
    told = Told()
    told.tell(UserMessage("not begun"))
    assert told.inbox().apply(told.tell(InterruptAsked())) is None
    running = told.tell(UserMessage("begun"), session="work")
    told.tell(TurnStarted(running.id, running.seq, 1), session="work")
    told.tell(InterruptAsked(), session="work")
    assert [message.interrupted for message in told.inbox().waiting()] == [False, True]


def test_an_interruption_that_names_its_turn_holds_even_before_it_was_taken_up() -> None:
    told = Told()
    asked = told.tell(UserMessage("hello"))
    told.tell(InterruptAsked(asked.id))
    assert told.inbox().waiting()[0].interrupted


@given(st.lists(st.tuples(st.sampled_from(["ask", "end", "start", "pause", "interrupt"]), st.integers(0, 5)), max_size=60))
def test_a_new_incarnation_that_begins_where_all_was_settled_sees_the_same_open_messages(steps: list[tuple[str, int]]) -> None:
    told, settled = Told(), 0
    for what, number in steps:
        waiting = told.inbox().waiting()
        if what == "ask":
            told.tell(UserMessage("?"), session=f"s{number % 3}")
        elif waiting:
            chosen = waiting[number % len(waiting)]
            match what:
                case "start":
                    told.tell(TurnStarted(chosen.turn, chosen.seq, chosen.attempts + 1), chosen.session)
                case "pause" if chosen.attempts:
                    told.tell(TurnPaused(chosen.turn, chosen.attempts), chosen.session)
                case "interrupt":
                    told.tell(InterruptAsked(chosen.turn), chosen.session)
                case "end":
                    settled = told.inbox().settled_without(chosen.turn)
                    told.tell(TurnEnded(chosen.turn, chosen.seq, "answered", settled_seq=settled), chosen.session)
    assert told.inbox(settled).waiting() == told.inbox().waiting()
    ended = {each.data["turn"] for each in told.events if each.kind == "turn_ended"}
    still = [each for each in told.events if each.kind == "user_message" and each.id not in ended]
    first = {each.session: each.id for each in reversed(still)}
    assert [message.turn for message in told.inbox().waiting()] == [each.id for each in still if first[each.session] == each.id]
    assert told.inbox().settled_without("") == (still[0].seq - 1 if still else len(told.events))


def test_derived_ids_are_the_same_for_every_incarnation_and_differ_for_every_purpose() -> None:
    turn = new_id()
    assert derived_id(turn, "answer") == derived_id(turn, "answer")
    assert (
        len(
            {
                derived_id(turn, "answer"),
                derived_id(turn, "ended"),
                derived_id(turn, "called", 1),
                derived_id(turn, "called", 11),
            }
        )
        == 4
    )
    assert derived_id(turn, "answer")[:13] == turn[:13], "it keeps the parent's time, to lie beside it in the index"
