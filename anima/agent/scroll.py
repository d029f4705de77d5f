"""One session as the viewport is cut from it: its turns by the message they answer, kept in memory and unrolled as events come.

A fold over events, which may come in any order and more than once, but for a turn's question, which comes first.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from anima.agent.inbox import Open
from anima.agent.steps import GO_ON, Progress
from anima.nous.model import Message
from anima.nous.tokens import estimate_message
from anima.wire.events import AgentMessage, Event, EventPinned, SessionCleared, SnapshotStored, TurnEnded, UserMessage

FORGOTTEN_MAX = 200  # turns of which is remembered that they were there, for whoever asks what was left out
Step = tuple[int, list[Message]]


@dataclass(slots=True)
class Told:
    """One turn of the conversation."""

    seq: int  #: of its question
    question: str
    progress: Progress
    answers: list[str] = field(default_factory=list)
    ended: bool = False
    _steps: list[Step] | None = None  #: as worked out when last asked for
    _tokens: int = 0

    def apply(self, event: Event) -> bool:
        """Take an event of the turn; returns whether it changed anything. Raises BadMessage for a malformed body."""
        changed = self.progress.apply(event)
        if changed:
            self._steps = None
        return changed

    def answer(self, text: str) -> None:
        """It was answered; hearing so again changes nothing."""
        if text not in self.answers:
            self.answers.append(text)
            self._steps = None

    def end(self) -> None:
        """Nothing more will come of it but late results."""
        self.ended, self._steps = True, None

    def steps(self) -> list[Step]:
        """All its messages by step: 0 is the question, -1 the answer, which comes last."""
        if self._steps is None:
            said = [Message("assistant", answer) for answer in self.answers]
            told = self.progress.told(answered=bool(said))
            if self.ended and told and told[-1][1][-1].text == GO_ON:
                told[-1] = (told[-1][0], told[-1][1][:-1])  # nobody will go on with an answer that was given up
            self._steps = [(0, [Message("user", self.question)]), *told, *([(-1, said)] if said else [])]
            self._tokens = sum(estimate_message(each) for _, messages in self._steps for each in messages)
        return self._steps

    def tokens(self) -> int:
        """Estimated tokens of all its messages."""
        self.steps()
        return self._tokens

    def brief(self) -> list[Message]:
        """Its question and answer, without what lay between."""
        return [message for step, messages in self.steps() if step <= 0 for message in messages]


class Scroll:
    """The turns of a session from some point on."""

    def __init__(self) -> None:
        self.head = 0  #: the newest seq that was taken
        self.older = False  #: whether the journal has more of the session than was read
        self.forgotten: deque[tuple[str, int]] = deque(maxlen=FORGOTTEN_MAX)  #: questions and tokens of turns let go of last
        self._turns: dict[str, Told] = {}
        self._cleared: list[int] = []
        self.covered = 0  #: what was asked before this seq stands in snapshots: where the window may begin
        self.pins: dict[str, str] = {}  #: texts of events that are always shown, by the event's id

    def apply(self, events: Iterable[Event]) -> None:
        """Take events of the session. Raises BadMessage for a malformed body."""
        for event in events:
            self.head = max(self.head, event.seq)
            self._apply(event)

    def _apply(self, event: Event) -> None:
        match event.body:
            case EventPinned(pinned, text, on):
                self.pins.pop(pinned, None)
                if on:
                    self.pins[pinned] = text
            case SnapshotStored(until=until):
                self.covered = max(self.covered, until)
            case SessionCleared():
                self._cleared.append(event.seq)
            case UserMessage(text) if event.id not in self._turns:
                self._turns[event.id] = Told(event.seq, text, Progress(event.id))
            case TurnEnded(turn) if turn in self._turns:
                self._turns[turn].end()
            case AgentMessage(text, turn) if turn in self._turns:
                self._turns[turn].answer(text)
            case _ if (told := self._turns.get(event.data.get("turn", ""))) is not None:
                told.apply(event)
            case _:
                pass

    def before(self, message: Open) -> list[Told]:
        """The turns asked for before `message` since the session was last cleared, in the order they were asked for."""
        since = max((seq for seq in self._cleared if seq < message.seq), default=0)
        turns = (told for told in self._turns.values() if since < told.seq < message.seq)
        return sorted(turns, key=lambda told: told.seq)

    @property
    def cleared(self) -> int:
        """The seq at which the conversation began anew; 0 if it never did."""
        return max(self._cleared, default=0)

    def own(self, message: Open) -> Told:
        """The turn of `message` itself. What happens in it may be told to it as well as to the scroll."""
        return self._turns.setdefault(message.turn, Told(message.seq, message.text, Progress(message.turn)))

    def find(self, turn: str) -> Told | None:
        """A turn, if it is known."""
        return self._turns.get(turn)

    def forget(self, seq: int) -> None:
        """Let go of what was asked before `seq`; it will not be shown again."""
        for turn, told in [each for each in self._turns.items() if each[1].seq < seq]:
            self.forgotten.append((told.question, told.tokens()))
            del self._turns[turn]
        self._cleared = [each for each in self._cleared if each >= seq]
