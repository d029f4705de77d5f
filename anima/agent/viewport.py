"""What the model sees of a conversation: whole turns, newest first, as far as the token budget reaches.

Events lie in the journal in the order they happened: a question asked while an older one was being answered stands
before that answer, and what a tool returned may stand behind the end of a turn that was interrupted. The viewport puts
each answer behind its own question and each result behind its own call, so a model never reads them crossed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from anima.agent.inbox import Open
from anima.agent.steps import Progress
from anima.nous.model import Message
from anima.nous.tokens import estimate
from anima.wire.events import AgentMessage, Event, SessionCleared, UserMessage

MESSAGE_TOKENS = 4  # what the frame around one message costs, in every provider's format; an upper estimate


@dataclass(slots=True)
class _Told:
    """One turn of the conversation."""

    question: str
    progress: Progress
    answers: list[str] = field(default_factory=list)

    def messages(self) -> list[Message]:
        said = [Message("assistant", answer) for answer in self.answers]
        return [Message("user", self.question), *self.progress.messages(), *said]


def viewport(events: Sequence[Event], message: Open, tokens_max: int) -> tuple[Message, ...]:
    """The conversation up to and including `message` and what its turn already did, oldest first.

    `events` are those of one session, oldest first. The message itself and its own turn are always shown; older turns
    while they fit. Questions asked after `message` are left out. Raises BadMessage for a malformed event.
    """
    progress = Progress(message.turn)
    for event in events:
        progress.apply(event)
    own = (Message("user", message.text), *progress.messages())
    return earlier(events, message, tokens_max - sum(map(cost, own))) + own


def earlier(events: Iterable[Event], message: Open, tokens_max: int) -> tuple[Message, ...]:
    """The turns before `message` that fit into `tokens_max`, the newest ones, oldest first."""
    left = tokens_max
    shown: list[list[Message]] = []
    for older in reversed(_turns(events, message)):
        messages = older.messages()
        left -= sum(map(cost, messages))
        if left < 0:
            break
        shown.append(messages)
    return tuple(each for turn in reversed(shown) for each in turn)


def _turns(events: Iterable[Event], message: Open) -> list[_Told]:
    """The turns asked for before `message`, in the order they were asked for."""
    turns: dict[str, _Told] = {}
    for event in events:
        match event.body:
            case SessionCleared() if event.seq < message.seq:
                turns.clear()
            case UserMessage(text) if event.seq < message.seq:
                turns[event.id] = _Told(text, Progress(event.id))
            case AgentMessage(text, turn) if turn in turns:
                turns[turn].answers.append(text)
            case _ if (told := turns.get(event.data.get("turn", ""))) is not None:
                told.progress.apply(event)
            case _:
                pass
    return list(turns.values())


def cost(message: Message) -> int:
    """Estimated tokens of one message."""
    return MESSAGE_TOKENS + estimate(message.text) + sum(estimate(f"{call.tool}{dict(call.args)}") for call in message.calls)
