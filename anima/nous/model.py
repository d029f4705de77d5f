"""What a model is asked and what it says, whoever provides it: frozen types and one protocol.

A provider turns a `Request` into a stream of deltas:

    (Text | Thinking | Call | Restart)*  Done

exactly one `Done`, last. `Restart` voids everything before it: the connection broke, and what follows is a new
sample, not a continuation. `Reply` folds a stream and knows that rule.
"""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgpack

from anima.errors import Refused
from anima.limits import MIB

Role = Literal["user", "assistant", "tool"]

#: How a call may stop, whatever the provider's own word is; `context` means that the window is full.
STOP_REASONS = ("end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "context")
IMAGE_BYTES_MAX = 20 * MIB  #: what the most generous of the providers takes for one picture
IMAGE_MIMES = ("image/png", "image/jpeg", "image/gif", "image/webp")  #: what all of them read


class Overflow(Refused):
    """The conversation is longer than the model's window. A shorter one may be answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """The model wants `tool` to act. Both a delta (always whole) and a part of an assistant's message."""

    id: str  #: the model's own; the tool's answer refers to it
    tool: str
    args: Mapping[str, Any]
    signature: str = ""  #: opaque, of the model `by`, which wants it back with the call
    by: str = ""


def storable(args: Mapping[str, Any]) -> bool:
    """Whether the arguments of a call can travel in an event: no half characters, no integers beyond 64 bits, no dates."""
    try:
        msgpack.packb(args)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Image:
    """A picture, as bytes or as the blob it lies in."""

    mime: str  #: one of IMAGE_MIMES
    data: bytes = field(default=b"", repr=False)
    path: str = ""  #: where the bytes lie, if `data` is empty

    def read(self) -> bytes:
        """Its bytes. Raises Refused if there are none, too many, or of a kind that models do not see."""
        if self.mime not in IMAGE_MIMES:
            raise Refused(
                f"a model sees no {self.mime or 'picture without a kind'}; convert it to one of {', '.join(IMAGE_MIMES)}"
            )
        try:
            data = self.data or Path(self.path).read_bytes()
        except OSError as error:
            raise Refused(
                f"the picture {self.path or '(without a path)'} cannot be read ({error.strerror}); send it again"
            ) from None
        if not 0 < len(data) <= IMAGE_BYTES_MAX:
            raise Refused(f"a picture of {len(data)} bytes cannot be shown to a model; it may have 1 to {IMAGE_BYTES_MAX}")
        return data

    def base64(self) -> str:
        """Its bytes as the providers want them. Raises as `read` does."""
        return base64.b64encode(self.read()).decode()


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of what the model thinks before it answers; shown dimly or not at all, never part of the answer.

    Both a delta and a part of an assistant's message. In a stream a signature ends the thought that the pieces since
    the last one make up; some providers want whole thoughts back, unchanged, together with the answers of the tools.
    """

    text: str
    signature: str = ""  #: opaque, of the model `by`; another model must not be shown it
    by: str = ""
    redacted: bool = False  #: the provider keeps the text to itself; the signature stands for it


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation as the model sees it, oldest first."""

    role: Role
    text: str
    calls: tuple[Call, ...] = ()  #: of an assistant
    call_id: str = ""  #: of a tool: the call it answers
    ok: bool = True  #: of a tool: whether it did what was asked
    images: tuple[Image, ...] = ()  #: of a person or a tool, shown after the text
    thoughts: tuple[Thinking, ...] = ()  #: of an assistant, whole ones, before its text


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
    thinking_tokens_max: int = 0  #: how much of `tokens_max` may be thought; 0: as the model does by itself
    streamed: bool = True  #: false: the provider is asked for the whole answer at once


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Everything so far is void; the model starts over, or another one begins."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end."""

    stop_reason: str  #: one of STOP_REASONS
    tokens_in: int  #: everything the model read, cached or not
    tokens_out: int  #: everything it wrote, thinking included
    cache_read: int = 0  #: those of `tokens_in` that came from the provider's cache, at a lower price
    cache_written: int = 0  #: those of `tokens_in` that were put there, at a higher price
    model: str = ""  #: the one that answered, where it need not be the one that was asked


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
        self._thoughts: list[Thinking] = []  # whole ones
        self._thought: list[str] = []  # the pieces of the one that is not ended
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
            case Thinking():
                self._think(delta)
            case Call():
                self.calls.append(delta)
            case Restart():
                self._texts.clear()
                self._thoughts.clear()
                self._thought.clear()
                self.calls.clear()
                self.restarts += 1
            case Done():
                self.done = delta

    def _think(self, piece: Thinking) -> None:
        self._thought.append(piece.text)
        if piece.signature:
            self._thoughts.append(Thinking("".join(self._thought), piece.signature, piece.by, piece.redacted))
            self._thought.clear()

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(self._texts)

    @property
    def thinking(self) -> str:
        """What was thought before it."""
        return "".join(each.text for each in self.thoughts)

    @property
    def thoughts(self) -> tuple[Thinking, ...]:
        """What was thought before it, thought by thought, as the provider may want it back."""
        rest = "".join(self._thought)
        return (*self._thoughts, Thinking(rest)) if rest else tuple(self._thoughts)

    def message(self) -> Message:
        """The reply as the conversation's next entry."""
        return Message("assistant", self.text, tuple(self.calls), thoughts=self.thoughts)
