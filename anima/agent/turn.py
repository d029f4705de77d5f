"""One turn: from a message to its one end, however often the process dies in between.

Every event of a turn has an id derived from the message's own, so an incarnation that does over what another had
done already writes nothing new: the journal knows the ids. The answer and the end are stored in one transaction.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from anima.agent.inbox import Inbox, Open
from anima.agent.thinker import Thinker
from anima.agent.viewport import steps_taken, viewport
from anima.bus.bus import Bus
from anima.config.schema import Agent
from anima.errors import AnimaError, Spent
from anima.ids import derived_id
from anima.limits import message_kills_max
from anima.log.log import turn_context
from anima.nous.model import Call, Done, Message, Reply, Restart, Text, Thinking
from anima.wire.events import (
    AgentMessage,
    Body,
    Event,
    ModelCalled,
    SystemMessage,
    ToolCall,
    ToolResponse,
    TurnEnded,
    TurnPaused,
    TurnStarted,
    event,
)
from anima.wire.frames import Query
from anima.wire.whispers import Whisper

_log = logging.getLogger(__name__)
HISTORY_EVENTS = 200  # one page of history; more are read while the token budget lasts
RESTARTS_PER_ATTEMPT = 1_000  # a whisper's `attempt` counts both deaths of the agent and restarts of the model's stream


@dataclass
class Spending:
    """What a turn used up so far."""

    steps: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Mind:
    """What every turn of one agent shares."""

    name: str
    settings: Agent
    bus: Bus
    thinker: Thinker
    inbox: Inbox
    status: Callable[[str], None]


class Turn:
    """One attempt at one message."""

    def __init__(self, mind: Mind, message: Open) -> None:
        self._mind = mind
        self._message = message
        self._attempt = message.attempts + 1
        self._spent = Spending()
        self._reply = Reply()

    async def take(self) -> None:
        """Bring the message to its end, or put it down when cancelled without having been interrupted."""
        message = self._message
        with turn_context(message.session, message.turn):
            if message.interrupted:
                await self._end("interrupted", "it was interrupted before it was taken up again")
            elif message.deaths >= message_kills_max:
                await self._fail(f"this message ended the agent's process {message.deaths} times; it is not tried again")
            else:
                await self._attempt_it()

    async def _attempt_it(self) -> None:
        try:
            async with asyncio.timeout(self._mind.settings.turn_timeout_s):
                await self._think()
        except asyncio.CancelledError:
            if not self._message.interrupted:
                await self._append(TurnPaused(self._message.turn, self._attempt), "paused", self._attempt)
                raise
            await self._end("interrupted", "it was interrupted", self._reply.text)
        except TimeoutError:
            await self._fail(f"the turn took longer than {self._mind.settings.turn_timeout_s:g} s (turn_timeout_s)")
        except AnimaError as error:
            _log.warning("the turn failed: %s", error)
            await self._fail(str(error))

    async def _think(self) -> None:
        message = self._message
        self._mind.status(f"thinking in {message.session}")
        started = TurnStarted(message.turn, message.seq, self._attempt)
        _, events = await asyncio.gather(self._append(started, "started", self._attempt), self._history())
        message.attempts = self._attempt
        self._spent.steps = steps_taken(events, message.turn)
        conversation = viewport(events, message, self._mind.settings.history_tokens_max)
        while self._spent.steps < self._mind.settings.turn_steps_max:
            called = await self._ask(conversation)
            if not self._reply.calls:
                if not self._reply.text.strip():
                    raise Spent(_speechless(called.stop_reason, self._mind.settings.answer_tokens_max))
                await self._end("answered", "", self._reply.text, called)
                return
            conversation += await self._act(called)
        raise Spent(f"the turn took {self._spent.steps} steps, as many as it may (turn_steps_max), and had no answer yet")

    async def _ask(self, conversation: tuple[Message, ...]) -> ModelCalled:
        """One call of the model; what it says is whispered as it comes and kept in `self._reply`."""
        self._reply = reply = Reply()
        begun = time.monotonic()
        take = self._attempt * RESTARTS_PER_ATTEMPT
        async for delta in self._mind.thinker.ask(conversation, self._message.session, self._attempt):
            reply.add(delta)
            match delta:
                case Text(text):
                    self._whisper("text", text, take + reply.restarts)
                case Thinking(text):
                    self._whisper("thinking", text, take + reply.restarts)
                case Restart(reason):
                    self._whisper("note", reason, take + reply.restarts)
                case Call(_, tool):
                    self._whisper("tool", tool, take + reply.restarts)
                case _:
                    pass
        done = reply.done or Done("", 0, 0)
        self._spent.steps += 1
        self._spent.tokens_in += done.tokens_in
        self._spent.tokens_out += done.tokens_out
        return ModelCalled(
            self._message.turn,
            self._spent.steps,
            self._mind.thinker.model,
            done.tokens_in,
            done.tokens_out,
            round(time.monotonic() - begun, 6),
            done.stop_reason,
        )

    async def _act(self, called: ModelCalled) -> tuple[Message, ...]:
        """Store what the model wants done and what comes of it; a tool that is not there answers so at once."""
        turn, step = self._message.turn, self._spent.steps
        known = {tool.name for tool in self._mind.thinker.tools}
        events = [self._event(called, "called", step)]
        said = [Message("assistant", self._reply.text, calls=tuple(self._reply.calls))]
        for place, call in enumerate(self._reply.calls):
            assert call.tool not in known, "tools are carried out by the sandbox"
            sentence = f"there is no tool '{call.tool}'; there are {', '.join(sorted(known)) or 'none'}"
            events.append(self._event(ToolCall(turn, step, call.id, call.tool, dict(call.args)), "call", step, place))
            events.append(self._event(ToolResponse(turn, call.id, call.tool, False, sentence), "response", step, place))
            said.append(Message("tool", sentence, call_id=call.id, ok=False))
        await self._mind.bus.append(*events)
        return tuple(said)

    async def _history(self) -> list[Event]:
        """The session's events, oldest first, as far back as the token budget can reach."""
        events: list[Event] = []
        before, bytes_left = 0, self._mind.settings.history_tokens_max * 4
        while True:
            query = Query(
                agent=self._mind.name, session=self._message.session, newest=True, limit=HISTORY_EVENTS, before=before
            )
            page = await self._mind.bus.read(query, timeout_s=self._mind.settings.turn_timeout_s)
            events[:0] = page.events
            bytes_left -= sum(len(each.data.get("text", "")) for each in page.events)
            if (
                not page.more
                or not page.events
                or bytes_left <= 0
                or any(each.kind == "session_cleared" for each in page.events)
            ):
                return events
            before = page.events[0].seq

    async def _fail(self, sentence: str) -> None:
        await self._end("failed", sentence, told=sentence)

    async def _end(self, outcome: str, reason: str, text: str = "", called: ModelCalled | None = None, told: str = "") -> None:
        """Store the end, and with it, in one transaction, what was said."""
        message, mind = self._message, self._mind
        events = []
        if called:
            events.append(self._event(called, "called", called.step))
        if text or outcome == "answered":
            events.append(self._event(AgentMessage(text, message.turn, mind.thinker.model), "answer"))
        if told:
            events.append(self._event(SystemMessage(told, message.turn), "told"))
        ended = TurnEnded(
            message.turn,
            message.seq,
            outcome,
            reason,
            mind.thinker.model,
            self._spent.steps,
            self._spent.tokens_in,
            self._spent.tokens_out,
            mind.inbox.settled_without(message.turn),
        )
        await mind.bus.append(*events, self._event(ended, "ended"))
        mind.inbox.end(message.turn)
        _log.info("%s after %d steps%s", outcome, self._spent.steps, f": {reason}" if reason else "")

    async def _append(self, body: Body, *words: object) -> None:
        await self._mind.bus.append(self._event(body, *words))

    def _event(self, body: Body, *words: object) -> Event:
        message, name = self._message, self._mind.name
        return event(
            body,
            agent=name,
            session=message.session,
            source=f"agent:{name}",
            cause=message.turn,
            id=derived_id(message.turn, *words),
        )

    def _whisper(self, what: str, text: str, take: int) -> None:
        message = self._message
        self._mind.bus.whisper(Whisper(self._mind.name, message.session, message.turn, take, what, text))


def _speechless(stop_reason: str, tokens_max: int) -> str:
    if stop_reason == "max_tokens":
        return f"the model used all {tokens_max} tokens (answer_tokens_max) without a word; raise that limit or ask for less"
    return f"the model ended its answer without a word (it gave '{stop_reason}' as the reason); ask again, or in other words"
