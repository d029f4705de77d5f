"""What waits for a person: calls to be approved, questions of an agent. Which there are, how they read, what a reply means.

Pure: events in, what has come up or is settled out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anima.cli.readable import fold, in_full
from anima.cli.terminal import visible
from anima.errors import BadMessage
from anima.wire.events import (
    ApprovalAsked,
    ApprovalGiven,
    Body,
    Event,
    QuestionAnswered,
    QuestionAsked,
    ToolCall,
    ToolResponse,
    TurnEnded,
)

#: What the fold wants to see.
KINDS = ("tool_call", "approval_asked", "approval_given", "question_asked", "question_answered", "tool_response", "turn_ended")

_QUESTION_COLUMNS_MAX = 100
_SHORT = 18  # of an id: unique among the calls of one step, too
_YES, _NO, _ALWAYS, _NEVER = {"y", "yes"}, {"n", "no"}, {"a", "always"}, {"never"}


@dataclass(frozen=True, slots=True)
class Demand:
    """One call that does not go on without a person."""

    id: str  #: of the intent
    kind: str  #: approval or question
    agent: str
    session: str
    tool: str
    risk: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    choices: Sequence[str] = ()
    turn: str = field(default="", compare=False)  #: that waits for it

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Demand":
        """From a row of the sandbox's `waiting`."""
        names = ("id", "kind", "agent", "session", "tool", "risk", "args", "question", "choices", "turn")
        return cls(**{name: row[name] for name in names if row.get(name)})

    @property
    def prompt(self) -> str:
        """What stands before the person's reply."""
        return "y/n/always> " if self.kind == "approval" else "answer> "

    @property
    def hint(self) -> str:
        """Which replies there are."""
        if self.kind == "approval":
            return "y allows it, n [why] refuses it, always and never decide for every later call of this tool, too"
        return "an empty line is no answer"

    @property
    def command(self) -> str:
        """How to reply from elsewhere."""
        if self.kind == "approval":
            return f"animactl approve {self.id[:_SHORT]}"
        return f"animactl answer {self.id[:_SHORT]} TEXT"

    def lines(self, columns: int) -> list[str]:
        """What is wanted, in full, for a terminal of that width."""
        if self.kind == "approval":
            head = f"{self.agent} wants to call {visible(self.tool)} ({self.risk or 'no risk told'}):"
            return [*fold(head, columns), *in_full(self.args, columns)]
        return [f"{self.agent} asks:", *question_lines(self.question, self.choices, columns)]

    def read(self, line: str) -> Body | None:
        """The event a reply means; None if it means nothing."""
        if not line.strip():
            return None
        return QuestionAnswered(self.id, self._chosen(line.strip())) if self.kind == "question" else self._decision(line)

    def _decision(self, line: str) -> ApprovalGiven | None:
        word, *why = line.split(maxsplit=1)
        word = word.lower().rstrip(",:;")
        if word in _NO:
            return ApprovalGiven(self.id, granted=False, reason="".join(why))
        if why or word not in _YES | _ALWAYS | _NEVER:
            return None
        if word in _YES:
            return ApprovalGiven(self.id, granted=True)
        return ApprovalGiven(self.id, granted=word in _ALWAYS, always=True, tool=self.tool)

    def _chosen(self, line: str) -> str:
        """A number stands for the choice it is shown beside."""
        if line not in self.choices and line.isdecimal() and 0 < int(line) <= len(self.choices):
            return str(self.choices[int(line) - 1])
        return line


@dataclass(frozen=True, slots=True)
class Asked:
    """A person is wanted."""

    demand: Demand


@dataclass(frozen=True, slots=True)
class Decided:
    """A demand is settled, by whomever; `how` is one word."""

    demand: Demand
    how: str


class Demands:
    """Those that are open, oldest first; of one agent's events, in their order."""

    def __init__(self) -> None:
        self.open: dict[str, Demand] = {}
        self._calls: dict[str, ToolCall] = {}  # without a response yet, by intent

    def add(self, demand: Demand) -> None:
        """One that was known to somebody else."""
        self.open.setdefault(demand.id, demand)

    def settle(self, id: str, how: str) -> list[Asked | Decided]:  # noqa: A002 - the intent's own name
        """It waits no more."""
        demand = self.open.pop(id, None)
        return [Decided(demand, how)] if demand else []

    def take(self, event: Event) -> list[Asked | Decided]:
        """What the next event changes."""
        if event.kind not in KINDS:
            return []
        try:
            return self._follow(event, event.body)
        except BadMessage:  # the journal lets no such event in
            return []

    def _follow(self, event: Event, body: Body) -> list[Asked | Decided]:
        match body:
            case ToolCall():
                self._calls[event.id] = body
            case ApprovalAsked() | QuestionAsked() if body.intent not in self.open:
                return self._open(_demand(event, body, self._calls.get(body.intent)))
            case ApprovalGiven(intent, granted, always):
                return self.settle(intent, ("approved" if granted else "denied") + (" for good" if always else ""))
            case QuestionAnswered(intent):
                return self.settle(intent, "answered")
            case ToolResponse(outcome=outcome, intent=intent):
                self._calls.pop(intent, None)
                return self.settle(intent, outcome or "settled")
            case TurnEnded(turn, outcome=outcome):  # its calls end with it, a moment later; nobody is to be asked meanwhile
                ended = [each.id for each in self.open.values() if turn and each.turn == turn]
                return [change for id_ in ended for change in self.settle(id_, outcome)]
            case _:
                pass
        return []

    def _open(self, demand: Demand) -> list[Asked | Decided]:
        self.open[demand.id] = demand
        return [Asked(demand)]


def _demand(event: Event, body: ApprovalAsked | QuestionAsked, call: ToolCall | None) -> Demand:
    if isinstance(body, ApprovalAsked):
        args = call.args if call else {}
        return Demand(body.intent, "approval", event.agent, event.session, body.tool, body.risk, args, turn=body.turn)
    tool = call.tool if call else "a question"
    choices = tuple(map(str, body.choices))
    return Demand(
        body.intent, "question", event.agent, event.session, tool, question=body.question, choices=choices, turn=body.turn
    )


def question_lines(question: str, choices: Sequence[str], columns: int) -> list[str]:
    """A question, indented, and its choices by number."""
    room = max(min(columns, _QUESTION_COLUMNS_MAX) - 2, 1)
    lines = [piece for line in visible(question).split("\n") for piece in fold(line, room)]
    for number, choice in enumerate(choices, 1):
        lines += fold(f"{number}. {visible(choice)}".replace("\n", " "), room)
    return [f"  {line}" for line in lines]
