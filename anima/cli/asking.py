"""Waiting for the answer to one message."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from anima.bus.bus import Bus
from anima.cli.live import CHECK_S, Watch, append, listening
from anima.cli.turn import Ended, Shown, TurnView
from anima.errors import Spent, Unavailable
from anima.paths import Home
from anima.wire.events import Event, UserMessage
from anima.wire.frames import Query


@dataclass(frozen=True)
class Question:
    """What is asked of whom, and how long the one who asks will wait (0: as long as it takes)."""

    home: Home
    agent: str
    session: str
    text: str
    timeout_s: float


async def settle(bus: Bus, question: Question, show: Callable[[Shown], None]) -> tuple[Event, Ended]:
    """Store the message and wait for its end; `show` gets everything on the way. Returns the message and its end.

    Listens before it speaks, so that nothing is missed. Raises Spent when the time is up and Unavailable when the
    agent or the house stops; the message is kept in both cases.
    """
    deadline = time.monotonic() + question.timeout_s if question.timeout_s else float("inf")
    head = (await bus.read(Query(newest=True, limit=1))).head
    async with listening(bus, question.agent, head) as ear:
        message = await append(bus, UserMessage(question.text), question.agent, question.session)
        view, watch = TurnView(message.id), Watch(question.home, question.agent)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Spent(f"no answer within {question.timeout_s:g} s; {_kept(message)}")
            item = await ear.hear(min(left_s, CHECK_S))
            if item is None:
                if reason := await watch.look():
                    raise Unavailable(f"{reason}; {_kept(message)}")
                continue
            for shown in view.take(item):
                show(shown)
                if isinstance(shown, Ended):
                    return message, shown


def _kept(message: Event) -> str:
    return (
        f"the message is kept (seq {message.seq}) and will be answered; see it with "
        f"`animactl chat {message.agent} --session {message.session}`"
    )
