"""What a turn has done so far: which calls its model made, what came back, what it still waits for.

A pure fold over events, which may come in any order and more than once: from the journal when a turn is taken up, from
the agent's topic while it runs. One step is one call of the model with everything it wanted done; its events are stored
together, so a step is there whole or not at all.

    model_called(step) + tool_call(step, place 0..n-1) -> tool_response(intent) each
"""

from dataclasses import dataclass, field
from typing import Any

from anima.agent.senses import latest
from anima.nous.model import Call, Message, Thinking
from anima.tools.repeat import Done
from anima.wire.events import (
    ApprovalAsked,
    ApprovalGiven,
    BroughtToMind,
    Event,
    ModelCalled,
    QuestionAnswered,
    QuestionAsked,
    Reflected,
    ToolCall,
    ToolResponse,
)

UNANSWERED = "interrupted: the turn ended before an answer came; what the call did until then is not known here"
GO_ON = "[Your answer was cut here, because it was too long for one reply. Go on exactly where it ends; repeat nothing.]"
SLEEPS = "sleep_until"  #: the tool whose time passes at its own wish


@dataclass(slots=True)
class Step:
    """One call of the model and the tool calls it led to, by intent."""

    called: ModelCalled | None = None
    calls: dict[str, ToolCall] = field(default_factory=dict)

    def ordered(self) -> list[tuple[str, ToolCall]]:
        """The calls with their intents, as the model wrote them."""
        return sorted(self.calls.items(), key=lambda item: item[1].place)


class Progress:
    """The steps of the turn whose id is `turn`."""

    def __init__(self, turn: str) -> None:
        self.turn = turn
        self._steps: dict[int, Step] = {}
        self._responses: dict[str, ToolResponse] = {}  # by intent; by the model's id for the call where no intent is named
        self._reflected: dict[int, Reflected] = {}  # by round
        self._asked: set[str] = set()  # intents a person was asked about
        self._told: set[str] = set()  # and those a person said something about
        self._minds: dict[str, BroughtToMind] = {}  # by the event's id

    def apply(self, event: Event) -> bool:
        """Take an event of the session; returns whether it changed anything. Raises BadMessage for a malformed body."""
        known = self._size()
        match event.body:
            case ModelCalled(turn, step) as called if turn == self.turn:
                self._step(step).called = called
            case ToolCall(turn, step) as call if turn == self.turn:
                self._step(step).calls[event.id] = call
            case ToolResponse(turn, call) as response if turn == self.turn:
                self._responses[response.intent or call] = response
            case Reflected(turn, round_) as reflected if turn == self.turn:
                self._reflected[round_] = reflected
            case BroughtToMind(turn) as minded if turn == self.turn:
                self._minds[event.id] = minded
            case ApprovalAsked(intent, turn) | QuestionAsked(intent, turn) if turn == self.turn:
                self._asked.add(intent)
            case ApprovalGiven(intent) | QuestionAnswered(intent):
                self._told.add(intent)
            case _:
                pass
        return self._size() > known

    def unanswered(self) -> dict[str, ToolCall]:
        """The calls that have no response yet, by intent, in order."""
        return {intent: call for intent, call in self._calls() if self._response(intent, call) is None}

    @property
    def patient(self) -> bool:
        """Whether what is waited for takes as long as it takes: a person's word, or a point in time."""
        waiting = self.unanswered()
        return any(intent in self._asked - self._told or call.tool == SLEEPS for intent, call in waiting.items())

    def models_called(self) -> list[ModelCalled]:
        """The model calls that are stored, in order."""
        return [step.called for _, step in sorted(self._steps.items()) if step.called]

    def reflections(self) -> dict[int, Reflected]:
        """The verdicts on drafts that are stored, by round."""
        return dict(self._reflected)

    def minded(self, step: int) -> BroughtToMind | None:
        """What was in mind at a step, the last that was stored up to it."""
        return latest(list(self._minds.values()), step)

    def done(self) -> list[Done]:
        """The calls that were answered, in order, with their answers."""
        answered = ((call, self._response(intent, call)) for intent, call in self._calls())
        return [Done(call.tool, call.args, response.text) for call, response in answered if response]

    def answers(self) -> list[tuple[ModelCalled | None, list[tuple[ToolCall, ToolResponse | None]]]]:
        """Each step: the call of the model, if it is known, and what it had done with what came back."""
        return [
            (step.called, [(call, self._response(intent, call)) for intent, call in step.ordered()])
            for _, step in sorted(self._steps.items())
        ]

    def calls_made(self) -> int:
        """How many calls were passed on."""
        return sum(len(step.calls) for step in self._steps.values())

    def messages(self) -> list[Message]:
        """The steps as a model sees them: its words with all of its calls, then an answer to each, in the same order.

        Every call has exactly one answer, whatever happened: one that was not passed on has the sentence it was met with,
        one without a response says that there is none.
        """
        return [message for _, messages in self.told() for message in messages]

    def told(self, *, answered: bool = False) -> list[tuple[int, list[Message]]]:
        """The same by the step's number. With `answered`, less the pieces that the whole answer consists of."""
        steps = sorted(self._steps.items())
        while answered and steps and _speaks_only(steps[-1][1]):
            steps.pop()
        return [(number, messages) for number, step in steps if (messages := self._told_of(step))]

    def pieces(self) -> list[str]:
        """What was said so far of an answer that was cut; the model goes on where the last piece ends."""
        texts: list[str] = []
        for _, step in sorted(self._steps.items()):
            texts = [*texts, _piece(step)] if _piece(step) else []
        return texts

    def _told_of(self, step: Step) -> list[Message]:
        refused = list(step.called.refused) if step.called else []
        text = step.called.text if step.called else ""
        calls: list[Call] = []
        answers: list[Message] = []
        passed = iter(step.ordered())
        by_place = {int(each.get("place", 0)): each for each in refused if each.get("tool")}
        for place in range(len(by_place) + len(step.calls)):
            if each := by_place.get(place):
                calls.append(Call(each["call"], each["tool"], each["args"]))
                answers.append(Message("tool", each["text"], call_id=each["call"], ok=False))
                continue
            intent, call = next(passed)
            response = self._response(intent, call)
            calls.append(Call(call.call, call.tool, call.args, call.signature, call.by))
            told, ok = (response.text, response.ok) if response else (UNANSWERED, False)
            answers.append(Message("tool", told, call_id=call.call, ok=ok))
        misread = [Message("user", each["text"]) for each in refused if not each.get("tool")]
        if piece := _piece(step):
            return [Message("assistant", piece), Message("user", GO_ON)]
        if not calls and not misread:
            return []  # its words are the answer, which stands in an agent_message
        thoughts = tuple(Thinking(**each) for each in step.called.thoughts) if step.called else ()
        return [Message("assistant", text, calls=tuple(calls), thoughts=thoughts), *answers, *misread]

    def _calls(self) -> list[tuple[str, ToolCall]]:
        return [each for _, step in sorted(self._steps.items()) for each in step.ordered()]

    def _response(self, intent: str, call: ToolCall) -> ToolResponse | None:
        return self._responses.get(intent) or self._responses.get(call.call)

    def _size(self) -> int:
        steps = sum(len(step.calls) + bool(step.called) for step in self._steps.values())
        return steps + len(self._minds) + len(self._responses) + len(self._reflected) + len(self._asked) + len(self._told)

    def _step(self, number: int) -> Step:
        return self._steps.setdefault(number, Step())


def _speaks_only(step: Step) -> bool:
    """Whether the step is an answer or a piece of one."""
    return bool(step.called and not step.calls and not step.called.refused)


def _piece(step: Step) -> str:
    """The words of a step that is a piece of an answer; an answer that is whole stands in an agent_message."""
    return step.called.text if step.called and _speaks_only(step) else ""


def refusal(place: int, call: Call, text: str) -> dict[str, Any]:
    """How a call that is not passed on is kept in its `model_called`: where it stood, what it was, what the model is told."""
    return {"place": place, "call": call.id, "tool": call.tool, "args": dict(call.args), "text": text}


def misread(text: str) -> dict[str, Any]:
    """How a reply nobody could understand is kept there: what the model is told about it."""
    return {"place": 0, "call": "", "tool": "", "args": {}, "text": text}
