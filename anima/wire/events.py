"""Events: the facts of the journal. One envelope, one frozen body per kind, and the only codec for both.

An event travels and rests as one msgpack map (`VERSION` inside). The journal adds `seq` and `ts` beside it and never
re-encodes it: what a producer sent is what is stored, chained and published.

    map = {v, id, kind, agent, session, source, cause, data}      data is a map, its shape given by the kind
"""

from dataclasses import dataclass, field
from typing import Any

import msgpack

from anima.errors import BadMessage
from anima.ids import new_id
from anima.limits import event_bytes_max
from anima.wire.body import KINDS, Body, of_kind, read_body
from anima.wire.intents import (
    ApprovalAsked,
    ApprovalGiven,
    IntentResolved,
    QuestionAnswered,
    QuestionAsked,
    SandboxSettled,
    ToolStarted,
)
from anima.wire.memories import (
    GoalChanged,
    GoalFinished,
    GoalSet,
    MemoriesImported,
    MemoryChanged,
    MemoryStored,
    SnapshotStored,
)
from anima.wire.minding import BroughtToMind
from anima.wire.moving import AgentAdopted
from anima.wire.records import ChoreCalled, ModelRecorded, Reflected
from anima.wire.spending import UNKNOWN_USD, AgentFrozen, AgentThawed, BudgetReleased, BudgetReserved
from anima.wire.stimuli import SoulChanged, Stimulus
from anima.wire.viewing import EventPinned

#: Declared elsewhere, and to be had here: whoever reads events knows all kinds.
__all__ = [
    "KINDS",
    "AgentAdopted",
    "AgentFrozen",
    "AgentThawed",
    "ApprovalAsked",
    "ApprovalGiven",
    "Body",
    "BroughtToMind",
    "BudgetReleased",
    "BudgetReserved",
    "ChoreCalled",
    "EventPinned",
    "GoalChanged",
    "GoalFinished",
    "GoalSet",
    "IntentResolved",
    "MemoriesImported",
    "MemoryChanged",
    "MemoryStored",
    "ModelRecorded",
    "QuestionAnswered",
    "QuestionAsked",
    "Reflected",
    "SandboxSettled",
    "SnapshotStored",
    "SoulChanged",
    "Stimulus",
    "ToolStarted",
    "read_body",
]

VERSION = 1  #: of the envelope; a golden-file test fails when a type changes and this does not


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `seq` and `ts` are 0 until the journal has stored it."""

    id: str  #: UUID text, made by the producer: sending it again is harmless
    kind: str
    agent: str  #: whose life it belongs to; "" for the house
    session: str  #: which conversation; "" if none
    source: str  #: who says so: cli, agent:arya, telegram:42
    cause: str  #: id of the event that led to this one; "" if none
    data: dict[str, Any]  #: by kind; see `body`
    seq: int = 0  #: dense, from 1, given by the journal
    ts: float = 0.0  #: seconds since 1970, UTC, given by the journal

    @property
    def body(self) -> Body:
        """The data as its kind's frozen type. Raises BadMessage if the kind is unknown or the data malformed."""
        return read_body(self.kind, self.data)

    def encode(self) -> bytes:
        """The msgpack map, without seq and ts. Raises BadMessage if it is too large, or holds what no UTF-8 can say."""
        content = {
            "v": VERSION,
            "id": self.id,
            "kind": self.kind,
            "agent": self.agent,
            "session": self.session,
            "source": self.source,
            "cause": self.cause,
            "data": self.data,
        }
        try:
            packed: bytes = msgpack.packb(content)
        except UnicodeEncodeError:
            raise BadMessage(f"a {self.kind} event holds half a character (a lone surrogate); leave it out") from None
        if len(packed) > event_bytes_max:
            raise BadMessage(f"a {self.kind} event of {len(packed)} bytes exceeds {event_bytes_max}; send less at once")
        return packed


def event(
    body: Body,
    *,
    agent: str,
    source: str,
    session: str = "",
    cause: str = "",
    id: str = "",  # noqa: A002 - the field's own name
) -> Event:
    """A new event around `body`; its kind follows from the body's type, its id is new unless given."""
    return Event(id or new_id(), body.kind, agent, session, source, cause, body.fields())


def decode_event(packed: bytes, seq: int = 0, ts: float = 0.0) -> Event:
    """The event in `packed`, its body not yet read. Raises BadMessage for anything else."""
    try:
        content = msgpack.unpackb(packed, strict_map_key=True)
        if content["v"] != VERSION:
            raise BadMessage(f"an event of version {content['v']!r}; this program reads version {VERSION}")
        found = Event(
            content["id"],
            content["kind"],
            content["agent"],
            content["session"],
            content["source"],
            content["cause"],
            content["data"],
            seq,
            ts,
        )
    except BadMessage:
        raise
    except Exception as error:
        raise BadMessage(f"not an event: {error!r}") from error
    # written out, because replay spends its time here
    texts = type(found.id) is type(found.kind) is type(found.agent) is type(found.session) is str
    if not (texts and type(found.source) is type(found.cause) is str):
        raise BadMessage("not an event: something else stands where text belongs")
    if type(found.data) is not dict:
        raise BadMessage("not an event: its data is not a map")
    return found


# -- the five kinds that carry a life ---------------------------------------------------------------------------------


@of_kind("user_message")
class UserMessage(Body):
    """Someone said something to the agent. It is owed exactly one `turn_ended`."""

    text: str


@of_kind("agent_message")
class AgentMessage(Body):
    """What the agent answered; `turn` is the id of the turn, which is the id of the message it answers."""

    text: str
    turn: str = ""
    model: str = ""


@of_kind("tool_call")
class ToolCall(Body):
    """The intent to act, durable before anything happens. Its event's id is the id of the intent, for ever."""

    turn: str  #: "" when a person called by hand
    step: int
    call: str  #: the model's own id for the call
    tool: str
    args: dict[str, Any]
    place: int = 0  #: which of the step's calls this is, from 0
    calls: int = 1  #: how many the step has; they are stored together, and run together if all are pure
    wall_s: float = 0.0  #: the limit asked for; 0 for the tool's own. Less may be asked for, never more
    signature: str = ""  #: opaque, of the model `by`, which wants it back with the call
    by: str = ""


@of_kind("tool_response")
class ToolResponse(Body):
    """What came of a tool call: the one settlement of an intent, stored before anybody goes on."""

    turn: str
    call: str
    tool: str
    ok: bool
    text: str  #: for the model
    intent: str = ""  #: id of the tool_call event
    outcome: str = ""  #: done, failed, denied, interrupted or unknown
    duration_s: float = 0.0  #: of the attempt that ended it
    data: dict[str, Any] = field(default_factory=dict)  #: for programs, by tool


@of_kind("system_message")
class SystemMessage(Body):
    """Words of the house to those in the conversation, e.g. why a message was given up."""

    text: str
    turn: str = ""


# -- a turn --------------------------------------------------------------------------------------------------------------


@of_kind("turn_started")
class TurnStarted(Body):
    """An incarnation of the agent took up a message. Stored before the model is asked, so that deaths can be counted."""

    turn: str
    message_seq: int
    attempt: int  #: 1 for the first incarnation that tries


@of_kind("turn_paused")
class TurnPaused(Body):
    """The agent was told to stop and put this turn down; that is no death, so the attempt does not count."""

    turn: str
    attempt: int


@of_kind("turn_ended")
class TurnEnded(Body):
    """The one settlement of a message; stored in the same transaction as the answer."""

    turn: str
    message_seq: int
    outcome: str  #: answered, interrupted or failed
    reason: str = ""  #: a sentence, when it was not answered
    model: str = ""
    steps: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    settled_seq: int = 0  #: every message of this agent up to this seq has ended; where a new incarnation begins to read


@of_kind("model_called")
class ModelCalled(Body):
    """One call of a model, with what it cost."""

    turn: str
    step: int
    model: str
    tokens_in: int
    tokens_out: int
    duration_s: float
    stop_reason: str = ""
    text: str = ""  #: what it said besides calling tools; an answer stands in its agent_message
    refused: list[Any] = field(default_factory=list)  #: what of it was not passed on, and what it was told: agent/steps.py
    thoughts: list[Any] = field(default_factory=list)  #: signed ones, which the provider wants back with the tools' answers
    cache_read: int = 0  #: those of `tokens_in` that came from the provider's cache
    cache_written: int = 0  #: and those that were put there
    cost_usd: float = UNKNOWN_USD  #: by the price table; -1 if the price is unknown
    reservation: str = ""  #: id of the budget_reserved event that this settles
    restarts: int = 0  #: how often a sample broke off and was begun anew; the figures above are the last one's
    tokens_estimated: int = 0  #: of the request, as nous/tokens.py counts before it is corrected for the model
    layout: list[int] = field(default_factory=list)  #: how its window was laid: agent/viewport.py


@of_kind("interrupt_asked")
class InterruptAsked(Body):
    """A person wants the running turn of this session to end; `turn` "" means whatever runs.

    The id of a call made by hand ends that call alone.
    """

    turn: str = ""


@of_kind("session_cleared")
class SessionCleared(Body):
    """The conversation begins anew here; what came before stays in the journal but out of the viewport."""


# -- lives of processes, as the supervisor's `watch` tells them ------------------------------------------------------------


@of_kind("process_started")
class ProcessStarted(Body):
    """The root forked a child."""

    name: str
    pid: int
    incarnation: int  #: 1 for the first under this supervisor


@of_kind("process_ready")
class ProcessReady(Body):
    """A child said READY=1."""

    name: str
    pid: int
    incarnation: int
    boot_s: float  #: from fork to READY


@of_kind("process_ended")
class ProcessEnded(Body):
    """A child is gone."""

    name: str
    pid: int
    incarnation: int
    exit: int  #: exit code, or -1 when a signal ended it
    signal: int  #: or 0
    cause: str  #: exit, signal, watchdog, start-timeout, stop
    reason: str  #: a sentence
    uptime_s: float


@of_kind("process_parked")
class ProcessParked(Body):
    """The root gave a child up; `animactl reset NAME` frees it."""

    name: str
    reason: str


@of_kind("journal_opened")
class JournalOpened(Body):
    """The journal came up. `lost` counts acknowledged events a damaged disk took since it was last up; 0 is the rule."""

    boot: str
    lost: int = 0


FIVE = ("user_message", "agent_message", "tool_call", "tool_response", "system_message")  #: what a conversation consists of
