"""One call of the model: asked, overheard while it answers, and understood."""

import dataclasses
import time
from dataclasses import dataclass, field

from anima.agent.dialect import Curtain
from anima.agent.inserts import Insert
from anima.agent.purse import Purse
from anima.agent.tape import Tape
from anima.agent.thinker import Thinker
from anima.agent.voice import Voice
from anima.ids import derived_id
from anima.nous.model import Call, Done, Message, Reply
from anima.wire.events import ModelCalled


@dataclass(frozen=True)
class Asking:
    """Which step of which turn it is, and what the model is shown."""

    turn: str
    step: int
    session: str
    attempt: int
    conversation: tuple[Message, ...]
    hint: str  #: the words that say which tools may be needed
    inserts: tuple[Insert, ...] = ()  #: what stands around the conversation
    layout: tuple[int, ...] = ()  #: how its window was laid
    tokens: int = 0  #: of everything, estimated
    tape: Tape = field(default_factory=Tape)  #: overhears it


@dataclass(frozen=True)
class Said:
    """What one call of the model came to."""

    called: ModelCalled
    text: str  #: its words, less calls that it wrote as text
    calls: tuple[Call, ...] = ()
    complaint: str = ""  #: why its calls cannot be understood, a sentence for the model; then there are none


async def ask(thinker: Thinker, asking: Asking, voice: Voice, reply: Reply, purse: Purse) -> Said:
    """Ask the model. What it says is whispered as it comes and gathered in `reply`, also if this is cut short.

    Raises Refused, ConfigError or Unavailable, as the model does, and Spent if the budget does not bear it.
    """
    voice.curtain = Curtain() if thinker.writes_calls else None
    begun = time.monotonic()
    shown = (asking.conversation, asking.session, asking.attempt, asking.hint, asking.inserts, asking.tape)
    async for delta in thinker.ask(*shown):
        reply.add(delta)
        voice.tell(delta)
    voice.finish()
    done = reply.done or Done("", 0, 0)
    took_s = round(time.monotonic() - begun, 6)
    called = ModelCalled(
        asking.turn,
        asking.step,
        done.model or thinker.model,
        done.tokens_in,
        done.tokens_out,
        took_s,
        done.stop_reason,
        thoughts=[dataclasses.asdict(thought) for thought in reply.thoughts if thought.signature],
        tokens_estimated=asking.tokens,
        layout=list(asking.layout),
    )
    thinker.gauge.learn(called)
    return _understood(thinker, purse.settle(called, done, reply.restarts), reply)


def _understood(thinker: Thinker, called: ModelCalled, reply: Reply) -> Said:
    """The reply with its calls, from blocks or from its text. Calls written as text get ids here, the same for ever."""
    if reply.calls or not thinker.writes_calls:
        return Said(called, reply.text, tuple(reply.calls))
    parsed = thinker.understood(reply.text)
    calls = (
        Call(derived_id(called.turn, "written", called.step, place), asked.tool, asked.args)
        for place, asked in enumerate(parsed.calls)
    )
    return Said(called, parsed.text, tuple(calls), parsed.error)


def speechless(stop_reason: str, tokens_max: int) -> str:
    """The sentence about a model that had nothing to say."""
    if stop_reason == "max_tokens":
        return f"the model used all {tokens_max} tokens (answer_tokens_max) without a word; raise that limit or ask for less"
    return f"the model ended its answer without a word (it gave '{stop_reason}' as the reason); ask again, or in other words"
