"""What someone who waits for an answer gets to see, whichever whispers arrive."""

from hypothesis import given
from hypothesis import strategies as st

from anima.cli.turn import Doing, Ended, Piece, Shown, TurnView, Voided
from anima.wire.events import AgentMessage, Event, TurnEnded, event
from anima.wire.whispers import Whisper


def delta(text: str, attempt: int = 1, turn: str = "t", what: str = "text") -> Whisper:
    return Whisper("arya", "main", turn, attempt, what, text)


def stored(text: str, turn: str = "t") -> list[Event]:
    made = [
        AgentMessage(text, turn, "reflex"),
        TurnEnded(turn, 1, "answered", model="reflex", steps=2, tokens_in=3, tokens_out=4),
    ]
    return [event(body, agent="arya", source="agent:arya") for body in made]


def seen(*items: Event | Whisper) -> list[Shown]:
    view = TurnView("t")
    return [shown for item in items for shown in view.take(item)]


def on_screen(shown: list[Shown]) -> str:
    """What counts in the end: everything after the last thing that was voided."""
    text = ""
    for each in shown:
        match each:
            case Piece(piece):
                text += piece
            case Voided() | Doing():
                text = ""
    return text


END = Ended("answered", "", "hello there", "reflex", 2, 3, 4)


def test_pieces_come_as_they_are_whispered_and_the_stored_answer_adds_nothing():
    assert seen(delta("hello "), delta("there"), *stored("hello there")) == [Piece("hello "), Piece("there"), END]


def test_without_whispers_the_stored_answer_is_shown_whole():
    assert seen(*stored("hello there")) == [Piece("hello there"), END]


def test_a_lost_end_of_the_whispers_is_made_up_from_the_stored_answer():
    assert seen(delta("hello "), *stored("hello there")) == [Piece("hello "), Piece("there"), END]


def test_a_hole_in_the_whispers_voids_what_was_shown():
    assert seen(delta("there"), *stored("hello there"))[1:] == [
        Voided("some of it was missed; in full:"),
        Piece("hello there"),
        END,
    ]


def test_an_agent_that_starts_over_voids_what_it_had_said():
    shown = seen(delta("hel"), delta("good "), delta("hello ", 2), delta("there", 2), *stored("hello there"))
    assert shown[2] == Voided("interrupted; starting over")
    assert on_screen(shown) == "hello there"


def test_last_words_of_a_dead_attempt_are_not_shown():
    assert on_screen(seen(delta("hello ", 2), delta("ghost", 1), delta("there", 2), *stored("hello there"))) == "hello there"


def test_a_tool_begins_a_new_paragraph():
    shown = seen(delta("let me look"), delta("exec", what="tool"), delta("done"), *stored("done"))
    assert shown[:3] == [Piece("let me look"), Doing("exec"), Piece("done")]
    assert on_screen(shown) == "done"


def test_other_turns_and_other_kinds_change_nothing():
    assert seen(delta("x", turn="other"), *stored("y", turn="other"), delta("hm", what="thinking")) == []


def test_a_malformed_event_is_passed_over():
    odd = Event("i", "turn_ended", "arya", "main", "agent:arya", "", {"turn": "t", "outcome": 7})
    assert seen(odd) == []


WORDS = st.text(st.sampled_from("ab \n"), min_size=1, max_size=4)


@given(st.lists(WORDS, min_size=1, max_size=8), st.sets(st.integers(0, 7)), st.integers(0, 8))
def test_whatever_is_lost_and_wherever_it_dies_the_answer_on_the_screen_is_the_stored_one(pieces, lost, died_at):
    answer = "".join(pieces)
    whispers = [delta(text) for text in pieces[:died_at]] + [delta(text, 2) for text in pieces]
    kept = [whisper for number, whisper in enumerate(whispers) if number not in lost]
    shown = seen(*kept, *stored(answer))
    assert on_screen(shown) == answer
    assert shown[-1].text == answer
