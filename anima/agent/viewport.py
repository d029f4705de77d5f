"""What the model sees of a conversation: whole turns, newest first, as far as the token budget reaches.

Events lie in the journal in the order they happened: a question asked while an older one was being answered stands
before that answer. The viewport puts each answer behind its own question, so a model never reads them crossed.
"""

from collections.abc import Iterable

from anima.agent.inbox import Open
from anima.nous.model import Call, Message
from anima.nous.tokens import estimate
from anima.wire.events import AgentMessage, Event, ModelCalled, SessionCleared, ToolCall, ToolResponse, UserMessage

MESSAGE_TOKENS = 4  # what the frame around one message costs, in every provider's format; an upper estimate


def viewport(events: Iterable[Event], message: Open, tokens_max: int) -> tuple[Message, ...]:
    """The conversation up to and including `message` and what its turn already did, oldest first.

    `events` are those of one session, oldest first. The message itself and its own turn are always shown; older turns
    while they fit. Questions asked after `message` are left out. Raises BadMessage for a malformed event.
    """
    turns = group(events, message)
    own = turns.pop(message.turn, [Message("user", message.text)])
    left = tokens_max - sum(map(cost, own))
    shown: list[list[Message]] = [own]
    for older in reversed(turns.values()):
        left -= sum(map(cost, older))
        if left < 0:
            break
        shown.append(older)
    return tuple(each for turn in reversed(shown) for each in turn)


def group(events: Iterable[Event], message: Open) -> dict[str, list[Message]]:
    """The messages of each turn, by turn, in the order the turns were asked for."""
    turns: dict[str, list[Message]] = {}
    for event in events:
        match event.body:
            case SessionCleared() if event.seq < message.seq:
                turns.clear()
            case UserMessage(text) if event.seq <= message.seq:
                turns[event.id] = [Message("user", text)]
            case AgentMessage(text, turn) if turn in turns:
                turns[turn].append(Message("assistant", text))
            case ToolCall(turn, _, call, tool, args) if turn in turns:
                turns[turn].append(Message("assistant", "", calls=(Call(call, tool, args),)))
            case ToolResponse(turn, call, _, ok, text) if turn in turns:
                turns[turn].append(Message("tool", text, call_id=call, ok=ok))
            case _:
                pass
    return turns


def calls_made(events: Iterable[Event], turn: str) -> list[ModelCalled]:
    """The model calls of this turn that earlier incarnations completed."""
    return [body for event in events if isinstance(body := event.body, ModelCalled) and body.turn == turn]


def cost(message: Message) -> int:
    """Estimated tokens of one message."""
    return MESSAGE_TOKENS + estimate(message.text) + sum(estimate(f"{call.tool}{dict(call.args)}") for call in message.calls)
