"""One turn as someone who waits for it sees it: pieces of text as they come, calls of tools, and its one end.

A pure fold: events and whispers in, what to show out. Whispers may be lost or come twice over (an agent that was
killed starts anew); what is stored decides what was said, and what was done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anima.cli.demands import Asked, Decided, Demands
from anima.errors import BadMessage
from anima.wire.events import AgentMessage, Body, Event, ModelCalled, ToolCall, ToolResponse, TurnEnded
from anima.wire.whispers import Whisper


@dataclass(frozen=True, slots=True)
class Piece:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Voided:
    """What was shown since the last break does not count; `why` is a few words."""

    why: str


@dataclass(frozen=True, slots=True)
class Called:
    """A tool is called; ends a paragraph."""

    tool: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Returned:
    """What came of a call."""

    tool: str
    outcome: str  #: done, failed, denied, interrupted or unknown
    duration_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The turn's end, with the whole answer."""

    outcome: str  #: answered, interrupted or failed
    reason: str
    text: str
    model: str
    steps: int
    tokens_in: int
    tokens_out: int


Shown = Piece | Voided | Called | Returned | Asked | Decided | Ended

_TOLD = ("agent_message", "model_called", "tool_call", "tool_response", "turn_ended")  # kinds that name their turn


class TurnView:
    """What is to be shown of the turn whose id is `turn`."""

    def __init__(self, turn: str) -> None:
        self._turn = turn
        self._attempt = 0
        self._shown = ""  # of the answer, since the last break
        self._answer = ""
        self._demands = Demands()

    def take(self, item: Event | Whisper) -> list[Shown]:
        """What follows from the next event or whisper; those of other turns change nothing."""
        if isinstance(item, Whisper):
            return self._overhear(item) if item.turn == self._turn else []
        told: list[Shown] = []
        if item.data.get("turn", self._turn) == self._turn:  # a person's word names no turn, only the call
            told += self._demands.take(item)
        if item.kind in _TOLD and item.data.get("turn") == self._turn:
            try:
                return self._read(item.body) + told
            except BadMessage:  # the journal lets no such event in; if it did, the turn's end still comes
                return told
        return told

    def _read(self, body: Body) -> list[Shown]:
        match body:
            case AgentMessage(text):
                self._answer = text
                return self._complete(text)
            case ModelCalled(text=text, refused=refused) if text or refused:
                return self._said_besides(text.strip(), misread=any(not each.get("tool") for each in refused))
            case ToolCall(tool=tool, args=args):
                self._shown = ""
                return [Called(tool, args)]
            case ToolResponse(tool=tool, ok=ok, text=text, outcome=outcome, duration_s=duration_s):
                return [Returned(tool, outcome or ("done" if ok else "failed"), duration_s, text)]
            case TurnEnded():
                return [self._end(body)]
            case _:
                return []

    def _overhear(self, whisper: Whisper) -> list[Shown]:
        shown: list[Shown] = []
        if whisper.attempt < self._attempt:
            return []  # the last words of one that is dead
        if whisper.attempt > self._attempt:
            if self._attempt and self._shown:
                shown.append(Voided("interrupted; starting over"))
                self._shown = ""
            self._attempt = whisper.attempt
        if whisper.what == "text" and whisper.text:
            self._shown += whisper.text
            shown.append(Piece(whisper.text))
        return shown  # what is whispered of tools is known from their events, which are never lost

    def _complete(self, text: str) -> list[Shown]:
        """What is missing of `text`, or all of it if something else was shown."""
        shown, self._shown = self._shown, text
        if text.startswith(shown):
            return [Piece(text[len(shown) :])] if len(text) > len(shown) else []
        return [Voided("some of it was missed; in full:"), Piece(text)]

    def _said_besides(self, text: str, *, misread: bool) -> list[Shown]:
        """What the model said in a step that goes on; its words end here."""
        shown, self._shown = self._shown.lstrip(), ""
        told: list[Shown] = []
        if text.startswith(shown):
            told += [Piece(text[len(shown) :])] if len(text) > len(shown) else []
        elif text != shown.rstrip():
            told += [Voided("some of it was missed; in full:"), Piece(text)]
        return [*told, Voided("its call could not be read; it is told so")] if misread else told

    def _end(self, ended: TurnEnded) -> Ended:
        return Ended(
            ended.outcome,
            ended.reason,
            self._answer,
            ended.model,
            ended.steps,
            ended.tokens_in,
            ended.tokens_out,
        )
