"""What a model is asked and what it says, whoever provides it: frozen types and one protocol.

A provider turns a `Request` into a stream of deltas:

    (Text | Thinking | Call | Restart)*  Done

exactly one `Done`, last. `Restart` voids everything before it: the connection broke, and what follows is a new
sample, not a continuation. `Reply` folds a stream and knows that rule.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgpack

Role = Literal["user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Call:
    """The model wants `tool` to act. Both a delta (always whole) and a part of an assistant's message."""

    id: str  #: the model's own; the tool's answer refers to it
    tool: str
    args: Mapping[str, Any]


def storable(args: Mapping[str, Any]) -> bool:
    """Whether the arguments of a call can travel in an event: no half characters, no integers beyond 64 bits, no dates."""
    try:
        msgpack.packb(args)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation as the model sees it, oldest first."""

    role: Role
    text: str
    calls: tuple[Call, ...] = ()  #: of an assistant
    call_id: str = ""  #: of a tool: the call it answers
    ok: bool = True  #: of a tool: whether it did what was asked


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool the model may call."""

    name: str
    summary: str
    schema: Mapping[str, Any]  #: JSON Schema of its arguments, an object


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model.

    `facts` is the runtime context for providers that do not read prose. Known keys, all optional, all text:
    `agent`, `model`, `host`, `time_zone` (IANA name), `now` and `started_at` (seconds since 1970, as float),
    `attempt` (how often this turn was begun, from 1).
    """

    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tokens_max: int = 4096  #: of the answer, thinking included
    session: str = ""
    agent: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    reminder: str = ""  #: put last, behind the newest message, where a model looks most; not part of the stable prefix


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of what the model thinks before it answers; shown dimly or not at all, never part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Everything so far is void; the model starts over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end. Stop reasons: end_turn, tool_use, max_tokens, stop_sequence; a provider may know more."""

    stop_reason: str
    tokens_in: int
    tokens_out: int


Delta = Text | Thinking | Call | Restart | Done


class Model(Protocol):
    """One model of one provider, ready to be asked, by several turns at once if need be."""

    @property
    def name(self) -> str:
        """As configured: `provider:model`, or the provider alone if it has only one."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The answer as it comes. Cancelling the task, or closing the iterator, ends the call at the provider too.

        Raises Refused when this request will never be answered (key, model, content), Unavailable when it may be
        later and retrying was not enough. Both are one sentence for the person who asked.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. The model cannot be asked any more."""
        ...


class Reply:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self.calls: list[Call] = []
        self.restarts = 0
        self.done: Done | None = None

    def add(self, delta: Delta) -> None:
        """Take the next delta; a Restart voids what came before it. Raises ValueError after Done."""
        if self.done is not None:
            raise ValueError(f"a {type(delta).__name__} after Done")
        match delta:
            case Text(text):
                self._texts.append(text)
            case Thinking(text):
                self._thoughts.append(text)
            case Call():
                self.calls.append(delta)
            case Restart():
                self._texts.clear()
                self._thoughts.clear()
                self.calls.clear()
                self.restarts += 1
            case Done():
                self.done = delta

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(self._texts)

    @property
    def thinking(self) -> str:
        """What was thought before it."""
        return "".join(self._thoughts)
