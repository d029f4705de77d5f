"""Which messages still want an answer: a pure fold over the agent's own events.

A message's life, in the words of the journal:

    user_message -> (turn_started -> (turn_paused | death))* -> turn_started? -> turn_ended

Every `turn_ended` carries `settled_seq`: up to there all messages have ended. A new incarnation begins to read there,
so waking up costs the same after ten messages and after ten million.
"""

from dataclasses import dataclass, field

from anima.wire.events import (
    Event,
    InterruptAsked,
    ToolCall,
    ToolResponse,
    TurnEnded,
    TurnPaused,
    TurnStarted,
    UserMessage,
)


@dataclass(slots=True)
class Open:
    """A message that has not ended. Its turn bears the id of its event."""

    turn: str
    seq: int
    session: str
    text: str
    source: str = ""  #: who said it
    attempts: int = 0  #: how often it was taken up; never goes back, because the attempt's number is part of its events' ids
    paused: int = 0  #: how often it was put down on purpose
    idle_deaths: int = 0  #: how often the process died while it only waited for a tool: that cannot have been its doing
    running: bool = False  #: whether an attempt began that was not put down
    calls: set[str] = field(default_factory=set)  #: intents of its tool calls without a response
    interrupted: bool = False

    @property
    def deaths(self) -> int:
        """Attempts that nobody ended: the process died in them, perhaps of this message, or is in one now."""
        return self.attempts - self.paused - self.idle_deaths

    def started(self, attempt: int) -> None:
        """It was taken up again, or for the first time."""
        if self.running and self.calls and attempt > self.attempts:
            self.idle_deaths += 1
        self.running = True
        self.attempts = max(self.attempts, attempt)

    def put_down(self, attempt: int) -> None:
        """It was put down on purpose; perhaps before its start was stored."""
        self.attempts = max(self.attempts, attempt)
        self.running = False
        self.paused += 1


class Inbox:
    """The open messages, by turn, oldest first. Looking at it costs by the number of sessions, not of messages that wait."""

    def __init__(self, settled_seq: int = 0) -> None:
        self._open: dict[str, Open] = {}
        self._sessions: dict[str, dict[str, Open]] = {}  # the same messages, by session and turn
        self._seen_seq = settled_seq

    def apply(self, event: Event) -> Open | None:
        """Take the next event; returns the message whose turn was interrupted by it, if any.

        Raises BadMessage for a malformed body.
        """
        self._seen_seq = max(self._seen_seq, event.seq)
        match event.body:
            case UserMessage(text):
                asked = Open(event.id, event.seq, event.session, text, event.source)
                self._open[event.id] = self._sessions.setdefault(event.session, {})[event.id] = asked
            case TurnStarted(turn, _, attempt) if message := self._open.get(turn):
                message.started(attempt)
            case TurnPaused(turn, attempt) if message := self._open.get(turn):
                message.put_down(attempt)
            case ToolCall(turn) if message := self._open.get(turn):
                message.calls.add(event.id)
            case ToolResponse(turn, intent=intent) if message := self._open.get(turn):
                message.calls.discard(intent)
            case TurnEnded(turn):
                self.end(turn)
            case InterruptAsked(turn):
                return self._interrupt(turn, event.session)
            case _:
                pass
        return None

    def end(self, turn: str) -> None:
        """The turn has its `turn_ended`."""
        if message := self._open.pop(turn, None):
            del self._sessions[message.session][turn]
            if not self._sessions[message.session]:
                del self._sessions[message.session]

    def waiting(self) -> list[Open]:
        """The oldest open message of each session, oldest first: no other may be taken up before it."""
        return sorted((next(iter(each.values())) for each in self._sessions.values()), key=lambda message: message.seq)

    def settled_without(self, turn: str) -> int:
        """The seq up to which every message will have ended once `turn` has."""
        oldest = next((message for message in self._open.values() if message.turn != turn), None)
        return oldest.seq - 1 if oldest else self._seen_seq

    def _interrupt(self, turn: str, session: str) -> Open | None:
        """Mark the named turn, or the one that runs in the session; one that nobody took up is left to be answered."""
        for message in self._sessions.get(session, {}).values():
            if message.turn == turn or (not turn and message.attempts):
                message.interrupted = True
                return message
        return None
