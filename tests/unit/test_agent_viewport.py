"""What a model is shown of a conversation."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anima.agent.inbox import Open
from anima.agent.steps import UNANSWERED, Progress
from anima.agent.viewport import viewport
from anima.ids import new_id
from anima.nous.model import Message
from anima.nous.tokens import estimate_message
from anima.wire.events import (
    AgentMessage,
    ApprovalAsked,
    ApprovalGiven,
    Body,
    Event,
    ModelCalled,
    SessionCleared,
    ToolCall,
    ToolResponse,
    UserMessage,
    event,
)

LOTS = 1_000_000


class Session:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, body: Body, id: str = "") -> str:
        made = event(body, agent="arya", source="cli", session="main", id=id)
        self.events.append(Event(made.id, made.kind, "arya", "main", "cli", "", made.data, len(self.events) + 1, 1.0))
        return made.id

    def ask(self, text: str) -> Open:
        turn = self.add(UserMessage(text), new_id())
        return Open(turn, len(self.events), "main", text)


def texts(events: list[Event], message: Open, tokens_max: int = LOTS) -> list[str]:
    return [each.text for each in viewport(events, message, tokens_max)]


def test_an_answer_stands_behind_its_own_question_even_when_the_next_was_asked_before_it_came() -> None:
    session = Session()
    first, second = session.ask("one?"), session.ask("two?")
    session.add(AgentMessage("one!", first.turn))
    assert texts(session.events, second) == ["one?", "one!", "two?"]


def test_what_was_asked_later_is_not_shown() -> None:
    session = Session()
    first = session.ask("one?")
    session.ask("two?")
    assert texts(session.events, first) == ["one?"]


def test_the_budget_cuts_whole_turns_from_the_oldest_and_never_the_question_itself() -> None:
    session = Session()
    for number in range(5):
        asked = session.ask(f"{number}? " + "word " * 50)
        session.add(AgentMessage("yes " * 50, asked.turn))
    last = session.ask("and now? " + "word " * 500)
    assert len(texts(session.events, last, tokens_max=1)) == 1
    whole = viewport(session.events, last, LOTS)
    shown = texts(session.events, last, tokens_max=sum(map(estimate_message, whole)) - estimate_message(whole[0]))
    assert len(whole) == 11
    assert len(shown) == 9, "the oldest question goes with its answer"
    assert shown[-1] == last.text


def test_a_cleared_session_begins_anew() -> None:
    session = Session()
    old = session.ask("old?")
    session.add(AgentMessage("old!", old.turn))
    session.add(SessionCleared())
    assert texts(session.events, session.ask("new?")) == ["new?"]


def test_a_turn_that_was_taken_up_again_shows_what_its_tools_already_did() -> None:
    session = Session()
    asked = session.ask("run ls")
    session.add(ModelCalled(asked.turn, 1, "scripted:x", 1, 1, 0.1))
    session.add(ToolCall(asked.turn, 1, "c1", "exec", {"command": "ls"}))
    session.add(ToolResponse(asked.turn, "c1", "exec", True, "a.txt"))
    shown = viewport(session.events, asked, LOTS)
    assert [each.role for each in shown] == ["user", "assistant", "tool"]
    assert shown[1].calls[0].id == shown[2].call_id == "c1"


def called(turn: str, step: int = 1, text: str = "", refused: list[dict[str, Any]] | None = None) -> ModelCalled:
    return ModelCalled(turn, step, "scripted:x", 1, 1, 0.1, text=text, refused=refused or [])


def test_words_and_all_calls_of_a_step_are_one_message_and_the_answers_follow_in_the_order_of_the_calls() -> None:
    session = Session()
    asked = session.ask("look around")
    session.add(called(asked.turn, text="I look."))
    first = session.add(ToolCall(asked.turn, 1, "c1", "glob", {}, 0, 2))
    second = session.add(ToolCall(asked.turn, 1, "c2", "grep", {}, 1, 2))
    session.add(ToolResponse(asked.turn, "c2", "grep", False, "second", second))
    session.add(ToolResponse(asked.turn, "c1", "glob", True, "first", first))
    _, said, one, two = viewport(session.events, asked, LOTS)
    assert (said.text, [call.id for call in said.calls]) == ("I look.", ["c1", "c2"])
    assert [(each.call_id, each.text, each.ok) for each in (one, two)] == [("c1", "first", True), ("c2", "second", False)]


def test_a_call_nobody_answered_any_more_has_an_answer_that_says_so_and_a_late_one_takes_its_place() -> None:
    session = Session()
    old = session.ask("run it")
    session.add(called(old.turn))
    intent = session.add(ToolCall(old.turn, 1, "c1", "exec", {}))
    session.add(ApprovalAsked(intent, old.turn, "exec", "dangerous", "may it?"))
    session.add(AgentMessage("so far", old.turn))
    new = session.ask("and?")
    assert texts(session.events, new) == ["run it", "", UNANSWERED, "so far", "and?"]
    session.add(ToolResponse(old.turn, "c1", "exec", False, "interrupted: half of it", intent, "interrupted"))
    assert texts(session.events, new) == ["run it", "", "interrupted: half of it", "so far", "and?"]


def test_a_call_that_was_not_passed_on_stands_where_the_model_wrote_it_with_what_it_was_told() -> None:
    session = Session()
    asked = session.ask("again")
    refused = [{"place": 0, "call": "c1", "tool": "grep", "args": {"pattern": "x"}, "text": "not run: it is the same"}]
    session.add(called(asked.turn, refused=refused))
    intent = session.add(ToolCall(asked.turn, 1, "c2", "now", {}, 0, 1))
    session.add(ToolResponse(asked.turn, "c2", "now", True, "noon", intent))
    _, said, one, two = viewport(session.events, asked, LOTS)
    assert [(call.id, call.tool) for call in said.calls] == [("c1", "grep"), ("c2", "now")]
    assert [(each.text, each.ok) for each in (one, two)] == [("not run: it is the same", False), ("noon", True)]


def test_a_reply_that_made_no_sense_is_shown_with_what_was_wrong_with_it() -> None:
    session = Session()
    asked = session.ask("again")
    session.add(
        called(asked.turn, text="<tool>{", refused=[{"place": 0, "call": "", "tool": "", "args": {}, "text": "no JSON"}])
    )
    assert [(each.role, each.text) for each in viewport(session.events, asked, LOTS)[1:]] == [
        ("assistant", "<tool>{"),
        ("user", "no JSON"),
    ]


def test_what_a_person_called_by_hand_is_none_of_the_conversation() -> None:
    session = Session()
    intent = session.add(ToolCall("", 0, "c", "now", {}))
    session.add(ToolResponse("", "c", "now", True, "noon", intent))
    assert texts(session.events, session.ask("hi")) == ["hi"]


def test_only_a_person_s_word_or_sleep_makes_a_turn_patient() -> None:
    session = Session()
    asked = session.ask("run it")
    progress = Progress(asked.turn)

    def now(body: Body) -> bool:
        session.add(body)
        progress.apply(session.events[-1])
        return progress.patient

    assert not now(called(asked.turn))
    assert not now(ToolCall(asked.turn, 1, "c1", "exec", {}))
    intent = session.events[-1].id
    assert now(ApprovalAsked(intent, asked.turn, "exec", "dangerous", "may it?"))
    assert not now(ApprovalGiven(intent, granted=True))
    assert now(ToolCall(asked.turn, 1, "c2", "sleep_until", {"when": "1d"}))
    assert not now(ToolResponse(asked.turn, "c2", "sleep_until", True, "awake", session.events[-1].id))


@st.composite
def sessions(draw: st.DrawFn) -> tuple[list[Event], Open]:
    """A session of several turns, each of several steps, its responses late, early or never; then the message to answer."""
    session = Session()
    late: list[Body] = []
    for _ in range(draw(st.integers(0, 4))):
        turn = session.ask("question").turn
        for step in range(1, draw(st.integers(1, 4))):
            count = draw(st.integers(0, 4))
            lost = sorted(draw(st.sets(st.integers(0, count - 1)))) if count else []
            refused = [{"place": at, "call": f"r{step}-{at}", "tool": "t", "args": {}, "text": "not run"} for at in lost]
            session.add(called(turn, step, draw(st.sampled_from(["", "words"])), refused))
            for place in range(count - len(lost)):
                call = f"c{step}-{place}"  # the same in every turn: a model's ids need not be unique
                intent = session.add(ToolCall(turn, step, call, "t", {}, place, count - len(lost)))
                response = ToolResponse(turn, call, "t", True, "fine", intent)
                match draw(st.sampled_from(["now", "late", "never"])):
                    case "now":
                        session.add(response)
                    case "late":
                        late.append(response)
        if draw(st.booleans()):
            session.add(AgentMessage("answer", turn))
    message = session.ask("last")
    for body in late:
        session.add(body)
    return session.events, message


@given(sessions(), st.integers(0, 600))
def test_whatever_happened_every_call_has_exactly_one_answer_directly_behind_it(told: tuple[list[Event], Open], tokens: int):
    events, message = told
    shown = viewport(events, message, tokens)
    check_pairs(shown)
    assert shown[-1] == Message("user", "last")
    assert shown[0].role == "user"
    random.Random(1).shuffle(mixed := [each for each in events if each.kind != "user_message"])
    again = viewport([each for each in events if each.kind == "user_message"] + mixed, message, tokens)
    check_pairs(again)


def check_pairs(messages: tuple[Message, ...]) -> None:
    """Raise AssertionError unless behind each message with calls stand their answers, in order, and nowhere else."""
    expected: list[str] = []
    for message in messages:
        if message.role == "tool":
            assert expected, "an answer without a call"
            assert message.call_id == expected.pop(0)
            continue
        assert not expected, "a call without an answer"
        expected = [call.id for call in message.calls]
    assert not expected
