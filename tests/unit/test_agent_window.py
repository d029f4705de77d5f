"""How the window moves: it stays put while it grows, leaps when it is full, and never shows half a pair."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from anima.agent.explain import explained
from anima.agent.history import History
from anima.agent.inbox import Open
from anima.agent.inserts import Insert, Place, around, last_words
from anima.agent.steps import GO_ON
from anima.agent.viewport import Shape, View
from anima.ids import new_id
from anima.nous.model import Message
from anima.nous.tokens import Estimator
from anima.wire.events import (
    AgentMessage,
    Body,
    Event,
    EventPinned,
    ModelCalled,
    ToolCall,
    ToolResponse,
    TurnEnded,
    UserMessage,
    event,
)

SHAPE = Shape(room=3_000, fill=0.3, reset=0.9)


class Talk:
    """A session that grows, as the agent looks at it."""

    def __init__(self) -> None:
        self.history = History()
        self.seq = 0
        self.events: list[Event] = []

    def add(self, body: Body, id: str = "") -> str:
        self.seq += 1
        made = event(body, agent="arya", source="cli", session="main", id=id)
        self.events.append(Event(made.id, made.kind, "arya", "main", "cli", "", made.data, self.seq, 1.0))
        self.history.scroll.apply(self.events[-1:])
        return made.id

    def asks(self, text: str) -> Open:
        return Open(self.add(UserMessage(text), new_id()), self.seq, "main", text)

    def steps(self, message: Open, tool: str, answer: str, step: int = 1, **args: object) -> None:
        self.add(ModelCalled(message.turn, step, "scripted:x", 1, 1, 0.1))
        intent = self.add(ToolCall(message.turn, step, f"c{step}", tool, dict(args)))
        self.add(ToolResponse(message.turn, f"c{step}", tool, True, answer, intent))

    def answers(self, message: Open, text: str = "fine") -> None:
        self.add(AgentMessage(text, message.turn))

    def look(self, message: Open, shape: Shape = SHAPE) -> View:
        return self.history.look(message, shape)


def whole_pairs(messages: tuple[Message, ...]) -> bool:
    """Whether behind each message with calls stand their answers, in order, and nowhere else."""
    expected: list[str] = []
    for message in messages:
        if message.role == "tool":
            if not expected or message.call_id != expected.pop(0):
                return False
        elif expected:
            return False
        else:
            expected = [call.id for call in message.calls]
    return not expected


def test_the_window_only_grows_at_its_end_until_it_is_full_and_then_is_a_third_full_again() -> None:
    talk = Talk()
    views: list[View] = []
    for number in range(60):
        message = talk.asks(f"question {number} " + "word " * 20)
        views.append(talk.look(message))
        talk.steps(message, "exec", "output " * 20, command=f"ls {number}")
        views.append(talk.look(message))
        talk.answers(message)
    leaps = 0
    for before, after in pairwise(views):
        if before.layout == after.layout:
            assert after.messages[: len(before.messages)] == before.messages, "what was sent stands to the letter"
        else:
            leaps += 1
            assert after.tokens <= SHAPE.start
        assert after.tokens <= SHAPE.limit
    assert 3 <= leaps <= 6


def test_nothing_is_rewritten_while_the_window_grows_and_everything_repeated_when_it_is_laid() -> None:
    talk = Talk()
    for _ in range(2):
        message = talk.asks("read it")
        talk.steps(message, "read_file", "line\n" * 30, path="a.txt")
        view = talk.look(message)
        talk.answers(message)
    assert sum(each.text.startswith("line") for each in view.messages) == 2
    talk.history.layout = None
    laid = talk.look(talk.asks("and?"))
    assert [each.text.startswith("line") for each in laid.messages if each.role == "tool"] == [False, True]
    note = next(each.text for each in laid.messages if each.role == "tool")
    assert note == '[left out: read_file(path="a.txt"), further down, tells what holds now]'
    assert [each.why for each in laid.left] == ['superseded by read_file(path="a.txt")']


def test_a_turn_too_long_for_the_window_is_told_by_question_and_answer() -> None:
    talk = Talk()
    message = talk.asks("do a lot")
    for step in range(1, 20):
        talk.steps(message, "exec", "much output " * 20, step, command=f"make {step}")
    talk.answers(message, "all is done")
    view = talk.look(talk.asks("thanks"))
    assert [each.text for each in view.messages] == ["do a lot", "all is done", "thanks"]
    assert [each.why for each in view.left] == ["the turn is too long for the window"]


def test_a_running_turn_that_outgrows_the_window_loses_older_results_first() -> None:
    talk = Talk()
    message = talk.asks("do a lot")
    for step in range(1, 12):
        talk.steps(message, "exec", f"begin{step} " + "much output " * 150 + f" end{step}", step, command=f"make {step}")
        view = talk.look(message)
        assert whole_pairs(view.messages)
        assert view.tokens <= SHAPE.limit
    results = [each.text for each in view.messages if each.role == "tool"]
    assert len(results) == 11, "every step is told"
    assert "characters left out" in results[0]
    assert results[0].startswith("begin1")
    assert results[0].endswith("end1")
    assert "characters left out" not in results[-1]


def test_a_single_result_larger_than_the_window_is_cut_too() -> None:
    talk = Talk()
    message = talk.asks("print it")
    where = "[... 3 of 9 bytes left out; the whole is in /work/kept/1: page through it with read_file ...]"
    talk.steps(message, "exec", "x" * 20_000 + where + "y" * 20_000, command="cat big")
    view = talk.look(message)
    assert view.tokens <= SHAPE.limit
    assert "the whole is in /work/kept/1: page through it with read_file" in view.messages[-1].text


def test_the_arguments_of_a_superfluous_call_are_shortened_with_its_result() -> None:
    talk = Talk()
    message = talk.asks("write it")
    talk.steps(message, "write_file", "wrote", 1, path="a", content="old " * 500)
    talk.steps(message, "write_file", "wrote", 2, path="a", content="new " * 100)
    talk.answers(message)
    view = talk.look(talk.asks("and?"))
    first, second = (call.args["content"] for each in view.messages for call in each.calls)
    assert "characters left out" in first
    assert second == "new " * 100


def test_a_thought_goes_when_what_stood_before_it_is_rewritten() -> None:
    talk = Talk()
    message = talk.asks("do a lot")
    thought = {"text": "hm", "signature": "s", "by": "m", "redacted": False}
    for step in range(1, 8):
        talk.add(ModelCalled(message.turn, step, "m", 1, 1, 0.1, thoughts=[thought]))
        intent = talk.add(ToolCall(message.turn, step, f"c{step}", "exec", {"command": str(step)}))
        talk.add(ToolResponse(message.turn, f"c{step}", "exec", True, "much output " * 200, intent))
        view = talk.look(message)
    thoughts = [bool(each.thoughts) for each in view.messages if each.role == "assistant"]
    assert view.layout.step > 0
    assert thoughts == [step > view.layout.step for step in range(1, 8)]


def test_pieces_of_a_cut_answer_are_shown_until_the_whole_one_stands_for_them() -> None:
    talk = Talk()
    message = talk.asks("tell")
    talk.add(ModelCalled(message.turn, 1, "m", 1, 1, 0.1, "max_tokens", text="Once upon"))
    assert [each.text for each in talk.look(message).messages] == ["tell", "Once upon", GO_ON]
    talk.answers(message, "Once upon a time")
    assert [each.text for each in talk.look(talk.asks("more")).messages] == ["tell", "Once upon a time", "more"]


def test_nobody_is_asked_to_go_on_with_an_answer_that_was_given_up() -> None:
    talk = Talk()
    message = talk.asks("tell")
    talk.add(ModelCalled(message.turn, 1, "m", 1, 1, 0.1, "max_tokens", text="Once upon"))
    talk.add(TurnEnded(message.turn, message.seq, "failed"))
    assert [each.text for each in talk.look(talk.asks("hi")).messages] == ["tell", "Once upon", "hi"]


def test_the_same_layout_brings_the_same_bytes_out_of_a_fresh_memory() -> None:
    talk = Talk()
    for number in range(40):
        message = talk.asks(f"question {number} " + "word " * 20)
        talk.steps(message, "exec", "output " * 30, command=f"ls {number % 3}")
        view = talk.look(message)
        talk.answers(message)
    other = History()
    other.scroll.apply(talk.events[:-1])  # less the last answer
    other.layout = view.layout
    assert other.look(message, SHAPE).messages == view.messages


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3_000), st.booleans()), max_size=12), st.integers(100, 4_000))
def test_no_growth_and_no_leap_separates_a_call_from_its_answer(turns: list[tuple[int, int, bool]], room: int) -> None:
    talk = Talk()
    for steps, size, answered in turns:
        message = talk.asks("do")
        assert whole_pairs(talk.look(message, Shape(room)).messages)
        for step in range(1, steps + 1):
            talk.steps(message, "read_file", "x" * size, step, path=str(size % 3))
            view = talk.look(message, Shape(room))
            assert whole_pairs(view.messages)
            assert view.messages[0].role == "user"
        if answered:
            talk.answers(message)


def test_what_is_pinned_stands_before_the_window_and_what_is_felt_behind_it() -> None:
    talk = Talk()
    message = talk.asks("hi")
    talk.add(EventPinned("e1", "never push on Fridays"))
    talk.add(EventPinned("e2", "the sky is green"))
    talk.add(EventPinned("e2", "the sky is green", pinned=False))
    feeling = Insert(Place.FEELING, "feelings", "calm")
    shown = around(talk.look(message).messages, [feeling, *talk.history.inserts(SHAPE)])
    assert [each.text for each in shown] == ["<pinned>\nnever push on Fridays\n</pinned>", "hi", "", "calm"]
    assert whole_pairs(shown)
    assert shown[2].calls[0].tool == "feelings"
    assert last_words("Be kind.", [Insert(Place.VOICE, "inner-voice", "breathe"), feeling]) == (
        "Be kind.\n\n<inner-voice>\nbreathe\n</inner-voice>"
    )


def test_of_too_many_pins_the_newest_are_shown() -> None:
    talk = Talk()
    for number in range(100):
        talk.add(EventPinned(str(number), f"pin {number}"))
    names = [each.text for each in talk.history.inserts(SHAPE)]
    assert names[-1] == "pin 99"
    assert 0 < len(names) < 100


def test_it_is_told_what_is_left_out_and_why() -> None:
    talk = Talk()
    for number in range(40):
        message = talk.asks(f"question {number} " + "word " * 50)
        talk.answers(message)
    view = talk.history.peek(message, SHAPE)
    told = explained(view, SHAPE, 100, Estimator(0.5, 0.1, 3))
    assert told["left"][0]["what"] == "a turn, 'question 0 word word word word word wor…'"
    assert told["left"][0]["why"] == "it is older than the window"
    assert told["estimate"] == {"factor": 0.5, "error": 0.1, "replies": 3}
    assert len(told["shown"]) == len(view.messages)
