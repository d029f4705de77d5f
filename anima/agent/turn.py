"""One turn: from a message to its one end, however often the process dies in between.

Every event of a turn has an id derived from the message's own, so an incarnation that does over what another had
done already writes nothing new: the journal knows the ids. The answer and the end are stored in one transaction.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anima.agent.inbox import Inbox, Open
from anima.agent.thinker import Thinker
from anima.agent.viewport import calls_made, viewport
from anima.bus.bus import Bus
from anima.config.schema import Agent
from anima.errors import AnimaError, BadMessage, Refused, Spent
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


@dataclass(frozen=True)
class Ending:
    """How a turn ends: what is stored together with its `turn_ended`."""

    outcome: str  #: answered, interrupted or failed
    reason: str = ""  #: a sentence, when it was not answered
    text: str = ""  #: of the answer, or of what there was of it
    called: ModelCalled | None = None  #: the call that brought the answer


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
    """One attempt at one message. First it is thought about, which may be cut short; then its end is stored, which may not."""

    def __init__(self, mind: Mind, message: Open) -> None:
        self.message = message
        self.again = message.deaths > 0  #: the process died in an earlier attempt, perhaps of this very message
        self._mind = mind
        self._attempt = message.attempts + 1
        self._calls: list[ModelCalled] = []  # of this turn, also by earlier incarnations
        self._restarts = 0  # of the model's streams so far
        self._reply = Reply()
        self._thinking: asyncio.Task[Any] | None = None

    async def take(self) -> None:
        """Bring the message to its end, or put it down when cancelled while it is thought about."""
        with turn_context(self.message.session, self.message.turn):
            ending = self._foregone() or await self._think()
            try:
                await self._end(ending)
            except (BadMessage, Refused) as error:
                _log.warning("the turn's end cannot be stored: %s", error)
                await self._end(Ending("failed", str(error)))

    def interrupt(self) -> None:
        """The message was interrupted: leave off, unless the end is on its way already. The inbox knows of it."""
        if self._thinking:
            self._thinking.cancel()

    def _foregone(self) -> Ending | None:
        """The end of a message that is not to be thought about any more."""
        if self.message.interrupted:
            return Ending("interrupted", "it was interrupted before it was taken up again")
        deaths = self.message.deaths
        if deaths >= message_kills_max:
            return Ending("failed", f"this message ended the agent's process {deaths} times; it is not tried again")
        return None

    async def _think(self) -> Ending:
        message = self.message
        self._thinking = asyncio.current_task()
        try:
            conversation = await self._begin()
            async with asyncio.timeout(self._mind.settings.turn_timeout_s):
                return await self._step(conversation)
        except asyncio.CancelledError:
            if message.interrupted:
                return Ending("interrupted", "it was interrupted", self._reply.text)
            await self._append(TurnPaused(message.turn, self._attempt), "paused", self._attempt)
            raise
        except TimeoutError:
            return Ending("failed", f"the turn took longer than {self._mind.settings.turn_timeout_s:g} s (turn_timeout_s)")
        except AnimaError as error:
            _log.warning("the turn failed: %s", error)
            return Ending("failed", str(error))
        finally:
            self._thinking = None

    async def _begin(self) -> tuple[Message, ...]:
        """Store that the turn has begun, and see what there is to think about; takes as long as the journal is away."""
        message = self.message
        self._mind.status(f"thinking in {message.session}")
        started = TurnStarted(message.turn, message.seq, self._attempt)
        _, events = await asyncio.gather(self._append(started, "started", self._attempt), self._history())
        message.attempts = self._attempt
        self._calls = calls_made(events, message.turn)
        return viewport(events, message, self._mind.settings.history_tokens_max)

    async def _step(self, conversation: tuple[Message, ...]) -> Ending:
        """Ask the model, and do what it wants done, until it answers."""
        while len(self._calls) < self._mind.settings.turn_steps_max:
            called = await self._ask(conversation)
            if not self._reply.calls:
                if not self._reply.text.strip():
                    raise Spent(_speechless(called.stop_reason, self._mind.settings.answer_tokens_max))
                return Ending("answered", text=self._reply.text, called=called)
            conversation += await self._act(called)
        raise Spent(f"the turn took {len(self._calls)} steps, as many as it may (turn_steps_max), and had no answer yet")

    async def _ask(self, conversation: tuple[Message, ...]) -> ModelCalled:
        """One call of the model; what it says is whispered as it comes and kept in `self._reply`."""
        self._reply = reply = Reply()
        begun = time.monotonic()
        take = self._attempt * RESTARTS_PER_ATTEMPT + self._restarts
        async for delta in self._mind.thinker.ask(conversation, self.message.session, self._attempt):
            reply.add(delta)
            match delta:
                case Text(text):
                    self._whisper("text", text, take + reply.restarts)
                case Thinking(text) if text:  # a signature alone is for the provider
                    self._whisper("thinking", text, take + reply.restarts)
                case Restart(reason):
                    self._whisper("note", reason, take + reply.restarts)
                case Call(_, tool):
                    self._whisper("tool", tool, take + reply.restarts)
                case _:
                    pass
        self._restarts += reply.restarts
        done = reply.done or Done("", 0, 0)
        called = ModelCalled(
            self.message.turn,
            len(self._calls) + 1,
            done.model or self._mind.thinker.model,
            done.tokens_in,
            done.tokens_out,
            round(time.monotonic() - begun, 6),
            done.stop_reason,
        )
        self._calls.append(called)
        return called

    async def _act(self, called: ModelCalled) -> tuple[Message, ...]:
        """Store what the model wants done and what comes of it; a tool that is not there answers so at once."""
        turn, step = self.message.turn, called.step
        known = {tool.name for tool in self._mind.thinker.tools}
        events = [self._event(called, "called", step)]
        said = [self._reply.message()]
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
            query = Query(agent=self._mind.name, session=self.message.session, newest=True, limit=HISTORY_EVENTS, before=before)
            page = await self._mind.bus.read(query, timeout_s=float("inf"))
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

    async def _end(self, ending: Ending) -> None:
        """Store the end, and with it, in one transaction, what was said."""
        message, mind, calls = self.message, self._mind, self._calls
        model = ending.called.model if ending.called else mind.thinker.model  # a fallback may have answered
        events = []
        if ending.called:
            events.append(self._event(ending.called, "called", ending.called.step))
        if ending.text or ending.outcome == "answered":
            events.append(self._event(AgentMessage(ending.text, message.turn, model), "answer"))
        if ending.outcome == "failed":
            events.append(self._event(SystemMessage(ending.reason, message.turn), "told"))
        ended = TurnEnded(
            message.turn,
            message.seq,
            ending.outcome,
            ending.reason,
            model,
            len(calls),
            sum(each.tokens_in for each in calls),
            sum(each.tokens_out for each in calls),
            mind.inbox.settled_without(message.turn),
        )
        await mind.bus.append(*events, self._event(ended, "ended"))
        mind.inbox.end(message.turn)
        _log.info("%s after %d steps%s", ending.outcome, len(calls), f": {ending.reason}" if ending.reason else "")

    async def _append(self, body: Body, *words: object) -> None:
        await self._mind.bus.append(self._event(body, *words))

    def _event(self, body: Body, *words: object) -> Event:
        message, name = self.message, self._mind.name
        return event(
            body,
            agent=name,
            session=message.session,
            source=f"agent:{name}",
            cause=message.turn,
            id=derived_id(message.turn, *words),
        )

    def _whisper(self, what: str, text: str, take: int) -> None:
        message = self.message
        self._mind.bus.whisper(Whisper(self._mind.name, message.session, message.turn, take, what, text))


def _speechless(stop_reason: str, tokens_max: int) -> str:
    if stop_reason == "max_tokens":
        return f"the model used all {tokens_max} tokens (answer_tokens_max) without a word; raise that limit or ask for less"
    return f"the model ended its answer without a word (it gave '{stop_reason}' as the reason); ask again, or in other words"
