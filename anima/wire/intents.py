"""The kinds of event between a tool call and its response: what the sandbox tells of an intent, and what people say to it."""

from dataclasses import field
from typing import Any

from anima.wire.body import Body, of_kind


@of_kind("approval_asked")
class ApprovalAsked(Body):
    """A call waits for a person's word; told by the sandbox, because the agent's policy says so."""

    intent: str
    turn: str
    tool: str
    risk: str  #: safe, risky or dangerous
    reason: str  #: a sentence: why a person is asked, and what would be done


@of_kind("approval_given")
class ApprovalGiven(Body):
    """A person's word about a call. The first one counts."""

    intent: str
    granted: bool
    always: bool = False  #: so shall it be for every later call of this tool by this agent
    tool: str = ""  #: which; needed with `always`
    reason: str = ""  #: what the model is told besides


@of_kind("question_asked")
class QuestionAsked(Body):
    """An agent wants to know something from its person and waits (tool ask_person); told by the sandbox."""

    intent: str
    turn: str
    question: str
    choices: list[str] = field(default_factory=list)


@of_kind("question_answered")
class QuestionAnswered(Body):
    """A person's answer; it becomes the tool's response. The first one counts."""

    intent: str
    text: str


@of_kind("tool_started")
class ToolStarted(Body):
    """The effect may begin now. From here on, only the tool's class says what may be done about a call without response."""

    intent: str
    turn: str
    tool: str
    attempt: int  #: 1 for the first
    boot: str  #: which life of the sandbox
    prepared: dict[str, Any] = field(default_factory=dict)  #: what a probe will need to tell whether it took place


@of_kind("intent_resolved")
class IntentResolved(Body):
    """A person says how a call in doubt really ended, after having looked."""

    intent: str
    outcome: str  #: done or failed
    note: str = ""


@of_kind("sandbox_settled")
class SandboxSettled(Body):
    """Every intent of every agent up to this seq has its response, but for those told of by `left`.

    A new life of the sandbox begins to read here, however long ago that was.
    """

    boot: str
    settled_seq: int
    left: list[int] = field(default_factory=list)  #: seqs of all events about calls that still wait, or are in doubt
