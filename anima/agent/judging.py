"""One evaluation of a draft: asked, and understood. It never fails a turn: without a verdict the draft is the answer."""

import asyncio
import time

from anima.agent.asking import Asking
from anima.agent.purse import Purse
from anima.agent.reflecting import question, verdict
from anima.agent.tape import Tape
from anima.agent.thinker import Thinker
from anima.config.schema import Reflection
from anima.errors import AnimaError
from anima.nous.model import Done, Reply
from anima.wire.events import Reflected


async def judge(
    thinker: Thinker, asking: Asking, draft: str, round_: int, settings: Reflection, purse: Purse
) -> tuple[Reflected, Tape]:
    """The verdict on `draft`, which came of `asking`, and what was recorded of it."""
    # with another length of thinking than the draft's, a provider would find nothing of it in its cache
    tape = Tape(model=thinker.judge, thinking_tokens_max=asking.tape.thinking_tokens_max)
    reply, begun = Reply(), time.monotonic()
    shown = question(asking.conversation, draft, round_, settings)
    try:
        async with asyncio.timeout(settings.timeout_s):
            async for delta in thinker.ask(shown, asking.session, asking.attempt, asking.hint, asking.inserts, tape):
                reply.add(delta)
        found, reason = verdict(reply.text)
    except AnimaError as error:
        found, reason = "failed", str(error)
    except TimeoutError:
        found, reason = "failed", f"it took longer than {settings.timeout_s:g} s (reflection.timeout_s)"
    done = reply.done or Done("", 0, 0)
    took_s = round(time.monotonic() - begun, 6)
    reflected = Reflected(
        asking.turn,
        round_,
        asking.step,
        draft,
        found,
        reason,
        done.model or thinker.judge,
        done.tokens_in,
        done.tokens_out,
        took_s,
    )
    return purse.settle(reflected, done, reply.restarts), tape
