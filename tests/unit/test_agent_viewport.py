"""What a model is shown of a conversation."""

from anima.agent.inbox import Open
from anima.agent.viewport import calls_made, cost, viewport
from anima.ids import new_id
from anima.wire.events import AgentMessage, Body, Event, ModelCalled, SessionCleared, ToolCall, ToolResponse, UserMessage, event

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
    shown = texts(session.events, last, tokens_max=sum(map(cost, whole)) - cost(whole[0]))
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
    assert [each.step for each in calls_made(session.events, asked.turn)] == [1]
