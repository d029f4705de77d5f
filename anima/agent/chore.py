"""A small chore for the fast model: one question without tools or history, paid for like every call of a model."""

import asyncio
import time
from dataclasses import dataclass

from anima.agent.purse import Purse
from anima.agent.thinker import Thinker
from anima.errors import Unavailable
from anima.nous.model import Done, Message, Reply, Request
from anima.wire.events import ChoreCalled


@dataclass(frozen=True)
class Chore:
    """What is asked, and how much it may take."""

    name: str  #: as a `chore_called` says it
    system: str
    text: str
    tokens_max: int = 400
    timeout_s: float = 20.0


async def do(chore: Chore, turn: str, session: str, thinker: Thinker, purse: Purse) -> tuple[str, ChoreCalled]:
    """What the fast model says, and the event that settles what it cost.

    Raises Unavailable, Refused, ConfigError or Spent; then nothing is to be settled.
    """
    request = Request(chore.system, (Message("user", chore.text),), tokens_max=chore.tokens_max, session=session)
    reply, begun = Reply(), time.monotonic()
    try:
        async with asyncio.timeout(chore.timeout_s):
            async for delta in thinker.quick(request):
                reply.add(delta)
    except TimeoutError:
        raise Unavailable(f"the {chore.name} took longer than {chore.timeout_s:g} s") from None
    done = reply.done or Done("", 0, 0)
    took_s = round(time.monotonic() - begun, 6)
    called = ChoreCalled(turn, chore.name, done.model or thinker.judge, done.tokens_in, done.tokens_out, took_s)
    return reply.text, purse.settle(called, done, reply.restarts)
