"""One turn as someone who waits for it sees it: pieces of text as they come, and its one end.

A pure fold: events and whispers in, what to show out. Whispers may be lost or come twice over (an agent that was
killed starts anew); the stored answer decides what was said.
"""

from dataclasses import dataclass

from anima.errors import BadMessage
from anima.wire.events import AgentMessage, Event, TurnEnded
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
class Doing:
    """What the agent does beside answering, e.g. which tool it calls; ends a paragraph."""

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


Shown = Piece | Voided | Doing | Ended


class TurnView:
    """What is to be shown of the turn whose id is `turn`."""

    def __init__(self, turn: str) -> None:
        self._turn = turn
        self._attempt = 0
        self._shown = ""  # of the answer, since the last break
        self._answer = ""

    def take(self, item: Event | Whisper) -> list[Shown]:
        """What follows from the next event or whisper; those of other turns change nothing."""
        if isinstance(item, Whisper):
            return self._overhear(item) if item.turn == self._turn else []
        if item.kind not in {"agent_message", "turn_ended"} or item.data.get("turn") != self._turn:
            return []
        try:
            body = item.body
        except BadMessage:  # the journal lets no such event in; if it did, the turn's end still comes
            return []
        if isinstance(body, AgentMessage):
            self._answer = body.text
            return self._complete(body.text)
        return [self._end(body)] if isinstance(body, TurnEnded) else []

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
        elif whisper.what == "tool":
            self._shown = ""
            shown.append(Doing(whisper.text))
        return shown

    def _complete(self, text: str) -> list[Shown]:
        """What is missing of `text`, or all of it if something else was shown."""
        shown, self._shown = self._shown, text
        if text.startswith(shown):
            return [Piece(text[len(shown) :])] if len(text) > len(shown) else []
        return [Voided("some of it was missed; in full:"), Piece(text)]

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
