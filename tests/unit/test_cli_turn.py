"""What someone who waits for an answer gets to see, whichever whispers arrive."""

from hypothesis import given
from hypothesis import strategies as st

from anima.cli.demands import Asked, Decided, Demand
from anima.cli.turn import Called, Ended, Piece, Returned, Shown, TurnView, Voided
from anima.wire.events import (
    AgentMessage,
    ApprovalAsked,
    ApprovalGiven,
    Event,
    ModelCalled,
    QuestionAsked,
    ToolCall,
    ToolResponse,
    TurnEnded,
    event,
)
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
            case Voided() | Called():
                text = ""
            case _:
                pass
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


def step(text: str, *tools: str, turn: str = "t") -> list[Event]:
    """One step of the model with its calls; the intent of each is the name of its tool."""
    called = event(ModelCalled(turn, 1, "m", 1, 1, 0.1, text=text), agent="arya", source="agent:arya")
    calls = [ToolCall(turn, 1, tool, tool, {"path": "a"}, place, len(tools)) for place, tool in enumerate(tools)]
    return [called, *(event(call, agent="arya", session="main", source="agent:arya", id=call.tool) for call in calls)]


def back(tool: str, outcome: str = "done", text: str = "found", turn: str = "t") -> Event:
    body = ToolResponse(turn, tool, tool, outcome == "done", text, tool, outcome, 0.25)
    return event(body, agent="arya", session="main", source="sandbox")


def by_sandbox(body: ApprovalAsked | QuestionAsked) -> Event:
    return event(body, agent="arya", session="main", source="sandbox")


def test_a_tool_begins_a_new_paragraph_and_its_result_is_told():
    shown = seen(delta("let me look"), *step("let me look", "exec"), back("exec"), delta("done"), *stored("done"))
    assert shown[:4] == [
        Piece("let me look"),
        Called("exec", {"path": "a"}),
        Returned("exec", "done", 0.25, "found"),
        Piece("done"),
    ]
    assert on_screen(shown) == "done"


def test_what_is_whispered_of_tools_is_told_once_by_the_event_that_is_stored():
    assert seen(delta("exec", what="tool"), *step("", "exec")) == [Called("exec", {"path": "a"})]


def test_words_beside_a_call_that_nobody_heard_are_shown_from_the_journal():
    assert seen(delta("let me "), *step("let me look", "exec"))[:2] == [Piece("let me "), Piece("look")]
    assert seen(*step("let me look", "exec"))[0] == Piece("let me look")
    assert seen(delta("look\n"), *step("let me look", "exec"))[1:3] == [
        Voided("some of it was missed; in full:"),
        Piece("let me look"),
    ]
    assert seen(delta("let me look \n"), *step("let me look", "exec"))[1:] == [Called("exec", {"path": "a"})]


def test_a_call_that_could_not_be_read_is_said_and_what_follows_stands_alone():
    body = ModelCalled("t", 1, "m", 1, 1, 0.1, text="hm", refused=[{"tool": "", "text": "not JSON"}])
    shown = seen(delta("hm"), event(body, agent="arya", source="agent:arya"), delta("better"), *stored("better"))
    assert shown[1] == Voided("its call could not be read; it is told so")
    assert on_screen(shown) == "better"


def test_an_approval_is_asked_with_what_would_be_done_and_its_end_is_told():
    asked = by_sandbox(ApprovalAsked("exec", "t", "exec", "dangerous", "because"))
    given = event(ApprovalGiven("exec", granted=False), agent="arya", session="main", source="cli")
    demand = Demand("exec", "approval", "arya", "main", "exec", "dangerous", {"path": "a"})
    assert seen(*step("", "exec"), asked, given)[1:] == [Asked(demand), Decided(demand, "denied")]


def test_a_question_that_the_end_of_the_turn_settled_is_no_longer_open():
    asked = by_sandbox(QuestionAsked("ask_person", "t", "red or blue?", ["red", "blue"]))
    shown = seen(*step("", "ask_person"), asked, back("ask_person", "interrupted"))
    demand = Demand("ask_person", "question", "arya", "main", "ask_person", question="red or blue?", choices=("red", "blue"))
    assert Asked(demand) in shown
    assert Decided(demand, "interrupted") in shown


def test_demands_of_other_turns_are_not_of_this_one():
    other = by_sandbox(ApprovalAsked("x", "other", "exec", "risky", ""))
    given = event(ApprovalGiven("x", granted=True), agent="arya", session="main", source="cli")
    assert seen(*step("", "exec", turn="other"), other, given, back("exec", turn="other")) == []


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
