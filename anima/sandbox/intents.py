"""What is known of every call: a pure fold over the journal, and what to do next about one. Acts on nothing.

    tool_call -> (approval_asked -> approval_given)? -> tool_started (attempt 1, 2, ...) -> tool_response
    tool_call -> question_asked -> question_answered -> tool_response

The events may come more than once. What a death in between means follows from the tool's declared effect alone:

    pure         it is run again
    idempotent   it is run again with the same key, which is the id of the intent
    checkable    its probe looks whether it took place; then it is told as done, or run
    unsafe       it is never run again: its outcome is `unknown`, which a person may resolve

Promise: unsafe at most once, everything else effectively once, and doubt is shown, never hidden.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from anima.errors import BadMessage
from anima.limits import call_attempts_max
from anima.wire.events import (
    ApprovalAsked,
    ApprovalGiven,
    Event,
    IntentResolved,
    InterruptAsked,
    QuestionAnswered,
    QuestionAsked,
    ToolCall,
    ToolResponse,
    ToolStarted,
    TurnEnded,
)

#: What the fold needs to see; everything else of the journal does not touch a call.
KINDS = (
    "tool_call",
    "approval_asked",
    "approval_given",
    "question_asked",
    "question_answered",
    "tool_started",
    "tool_response",
    "intent_resolved",
    "interrupt_asked",
    "turn_ended",
)

#: What a person sees of a call. `done failed denied interrupted` are outcomes; `in-doubt` is the outcome unknown.
STATES = ("waiting", "asked", "ready", "running", "done", "failed", "denied", "interrupted", "in-doubt", "resolved")

Step = Literal["nothing", "wait", "judge", "run", "probe", "sleep", "answer", "deny", "interrupt", "give-up", "doubt"]


@dataclass(slots=True)
class Intent:
    """One call, and what is known of it so far."""

    id: str
    seq: int
    agent: str
    session: str
    asked_at: float  #: seconds since 1970; 0 until the journal has told
    call: ToolCall
    asked: ApprovalAsked | None = None
    given: ApprovalGiven | None = None
    question: QuestionAsked | None = None
    answer: QuestionAnswered | None = None
    started: ToolStarted | None = None  #: the newest attempt
    response: ToolResponse | None = None
    resolved: IntentResolved | None = None
    interrupted: bool = False
    since: float = 0.0  #: when a person was first asked about it
    began_at: float = 0.0
    seqs: set[int] = field(default_factory=set)  #: of every event above

    @property
    def attempts(self) -> int:
        """How often its effect may have begun."""
        return self.started.attempt if self.started else 0

    @property
    def step(self) -> tuple[str, ...]:
        """Calls of one step are ordered among each other; a call by hand stands alone."""
        return (self.agent, self.session, self.call.turn, str(self.call.step)) if self.call.turn else (self.id,)

    @property
    def in_doubt(self) -> bool:
        """Nobody knows whether it took place, and no person has said so yet."""
        return self.response is not None and self.response.outcome == "unknown" and self.resolved is None

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.response is not None:
            if self.response.outcome == "unknown":
                return "resolved" if self.resolved else "in-doubt"
            return self.response.outcome or ("done" if self.response.ok else "failed")
        if self.asked and not self.given:
            return "waiting"
        if self.question and not self.answer:
            return "asked"
        return "running" if self.started else "ready"

    def apply(self, event: Event, body: Any) -> None:
        """Take an event about this call. The first word of a person counts, and the newest start."""
        match body:
            case ApprovalAsked():
                self.asked = self.asked or body
                self.since = event.ts or self.since
            case ApprovalGiven():
                self.given = self.given or body
            case QuestionAsked():
                self.question = self.question or body
                self.since = event.ts or self.since
            case QuestionAnswered():
                self.answer = self.answer or body
            case ToolStarted() if body.attempt >= self.attempts:
                self.started = body
                self.began_at = event.ts or self.began_at
            case ToolResponse():
                self.response = self.response or body
            case IntentResolved():
                self.resolved = self.resolved or body
            case _:
                pass
        if event.seq:
            self.seqs.add(event.seq)


def next_step(intent: Intent, effect: str, place: str) -> Step:
    """What to do about a call that nobody is at work on. See the top of this file.

    `effect` and `place` are its tool's; an unknown tool counts as unsafe. The order of the lines is the order of precedence.
    """
    if intent.response is not None:
        return "nothing"
    if place == "runtime":
        return _next_of_runtime(intent)
    if intent.started is not None:
        return _after_a_death(intent, effect)
    return _before_the_start(intent)


def _before_the_start(intent: Intent) -> Step:
    if intent.interrupted:
        return "interrupt"
    if intent.asked is not None and intent.given is None:
        return "wait"
    return "judge" if intent.given is None or intent.given.granted else "deny"


def _next_of_runtime(intent: Intent) -> Step:
    """A question or a timer: nothing happens in between, so a death costs nothing and nothing is in doubt."""
    if intent.interrupted:
        return "interrupt"
    if intent.question is not None:
        return "wait" if intent.answer is None else "answer"
    return "sleep" if intent.started is not None else _before_the_start(intent)


def _after_a_death(intent: Intent, effect: str) -> Step:
    if effect == "checkable":
        return "probe"
    if effect not in ("pure", "idempotent"):
        return "doubt"
    if intent.interrupted:
        return "interrupt" if effect == "pure" else "doubt"
    if intent.attempts >= call_attempts_max:
        return "give-up" if effect == "pure" else "doubt"
    return "run"


class Intents:
    """Every call that has no response yet, or whose outcome is in doubt. Others are forgotten: the journal has them."""

    def __init__(self) -> None:
        self._open: dict[str, Intent] = {}
        self._doubts: dict[str, Intent] = {}
        self._steps: dict[tuple[str, ...], dict[str, Intent]] = {}
        self.settled = 0  #: how many responses were applied

    def apply(self, event: Event) -> list[Intent]:
        """Take the next event; returns the calls it changed. Raises BadMessage for a malformed body."""
        if event.kind not in KINDS:
            return []
        body = event.body
        match body:
            case ToolCall():
                return self._add(event, body)
            case InterruptAsked(turn):
                ours = (each for each in self._open.values() if each.session == event.session)
                named = {each.id for each in ours if turn in ("", each.call.turn or each.id)}  # by hand: there is no turn
                return self._interrupt(event, lambda each: each.id in named)
            case TurnEnded(turn):
                return self._interrupt(event, lambda each: bool(turn) and each.call.turn == turn)
            case _:
                found = self.find(str(getattr(body, "intent", "")))
                if found is None or found.agent != event.agent:
                    return []  # settled long ago, or somebody speaks of another agent's call
                found.apply(event, body)
                self._sort(found)
                return [found]

    def find(self, id: str) -> Intent | None:  # noqa: A002 - the field's own name
        """A call that is open or in doubt."""
        return self._open.get(id) or self._doubts.get(id)

    def open(self) -> list[Intent]:
        """Every call without a response, oldest first."""
        return list(self._open.values())

    def doubts(self) -> list[Intent]:
        """Every call in doubt, oldest first."""
        return list(self._doubts.values())

    def may_begin(self, intent: Intent, pure: Iterable[str]) -> bool:
        """Whether those before it in its step have ended, or all of the step are of `pure` tools and may run together."""
        step = [each.call for each in self._steps.get(intent.step, {}).values()]
        if all(call.place >= intent.call.place for call in step):
            return True  # the ones that are not here any more have their response
        complete = max(call.place for call in step) >= intent.call.calls - 1
        names = set(pure)
        return complete and all(call.tool in names for call in step)

    def mates(self, intent: Intent) -> list[Intent]:
        """The other calls of its step that have no response yet."""
        return [each for each in self._steps.get(intent.step, {}).values() if each is not intent]

    def left(self) -> list[int]:
        """The seqs of every event about a call that is open or in doubt, in order."""
        return sorted(seq for each in (*self._open.values(), *self._doubts.values()) for seq in each.seqs)

    def _add(self, event: Event, call: ToolCall) -> list[Intent]:
        known = self.find(event.id)
        if known is not None:
            known.seqs.add(event.seq)
            return []
        intent = Intent(event.id, event.seq, event.agent, event.session, event.ts, call, seqs={event.seq})
        self._open[event.id] = intent
        self._steps.setdefault(intent.step, {})[event.id] = intent
        return [intent]

    def _interrupt(self, event: Event, concerns: Any) -> list[Intent]:
        found = [each for each in self._open.values() if each.agent == event.agent and concerns(each)]
        for each in found:
            each.interrupted = True
            each.seqs.add(event.seq)
        return found

    def _sort(self, intent: Intent) -> None:
        if intent.response is None:
            return
        if self._open.pop(intent.id, None) is not None:
            self.settled += 1
            step = self._steps[intent.step]
            step.pop(intent.id, None)
            if not step:
                del self._steps[intent.step]
        if intent.in_doubt:
            self._doubts[intent.id] = intent
        else:
            self._doubts.pop(intent.id, None)


def fold(events: Iterable[Event]) -> list[Intent]:
    """Every call among `events`, settled ones too, oldest first: what a person is shown of the past."""
    found: dict[str, Intent] = {}
    for event in events:
        if event.kind not in KINDS:
            continue
        try:
            body = event.body
        except BadMessage:
            continue
        if isinstance(body, ToolCall):
            found[event.id] = Intent(event.id, event.seq, event.agent, event.session, event.ts, body)
        elif (intent := found.get(str(getattr(body, "intent", "")))) is not None:
            intent.apply(event, body)
    return list(found.values())
