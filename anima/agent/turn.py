"""One turn: from a message to its one end, however often the process dies in between.

Every event of a turn has an id derived from the message's own, so an incarnation that does over what another had
done already writes nothing new: the journal knows the ids. The answer and the end are stored in one transaction.

    ask the model -> it answers: the end
                  -> it calls tools: store its words with all calls (one transaction), wait for every response, ask again

A step that is stored is never asked for again: whoever takes the turn up waits on for what is missing of its responses.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from anima.agent.appraising import judged
from anima.agent.asking import Asking, Said, ask, speechless
from anima.agent.ending import Ending, Judged
from anima.agent.inbox import Open
from anima.agent.judging import judge
from anima.agent.mind import Mind
from anima.agent.reflecting import critique, may_revise
from anima.agent.screen import screen
from anima.agent.senses import inserts
from anima.agent.steps import misread
from anima.agent.stuck import check
from anima.agent.tape import Tape
from anima.agent.turnclock import TurnClock
from anima.agent.voice import Voice
from anima.errors import AnimaError, BadMessage, Refused, Spent
from anima.ids import derived_id
from anima.limits import message_kills_max, text_bytes_max
from anima.log.log import log_context
from anima.nous.model import Overflow, Reply
from anima.tools.recall import ALWAYS
from anima.wire.events import (
    AgentMessage,
    Body,
    BroughtToMind,
    Event,
    ModelCalled,
    ModelRecorded,
    Reflected,
    SystemMessage,
    ToolCall,
    ToolResponse,
    TurnEnded,
    TurnPaused,
    TurnStarted,
    event,
)

_log = logging.getLogger(__name__)
CUT = ("max_tokens", "context")  # reasons to stop before the answer is whole; then the model goes on
PIECES_MAX = 16  # that one answer may consist of
SHRINK = 0.5  # of the window is left when it was too much for the model
RESTARTS_PER_ATTEMPT = 1_000  # a whisper's `attempt` counts both deaths of the agent and restarts of the model's stream


class Turn:
    """One attempt at one message. First it is thought about, which may be cut short; then its end is stored, which may not."""

    def __init__(self, mind: Mind, message: Open) -> None:
        self.message = message
        self.again = message.deaths > 0  #: the process died in an earlier attempt, perhaps of this very message
        self._mind = mind
        self._attempt = message.attempts + 1
        self._history = mind.histories.of(message.session)
        self._told = self._history.scroll.own(message)
        self._progress = self._told.progress  # what is stored of this turn, also by earlier incarnations
        self._calls: dict[int, ModelCalled] = {}  # by step, those included that are not stored yet
        self._moved = asyncio.Event()  # set when something was added to the progress from outside
        self._waiting = False
        self._clock = TurnClock()
        self._reply = Reply()
        self._asked: Asking | None = None  # the call that is made, or was made and is not stored
        self._thinking: asyncio.Task[Any] | None = None
        self._left = False  # put down, perhaps before it began
        self._reflected: dict[int, Reflected] = {}  # by round, those included that are not stored yet
        self._judged: Judged | None = None  # the verdict that is not stored yet
        self._minded: BroughtToMind | None = None  # what is in mind beside the conversation
        drafting = mind.settings.reflection.on
        self._voice = Voice(mind.bus, mind.name, message, self._attempt * RESTARTS_PER_ATTEMPT, drafting=drafting)

    async def take(self) -> None:
        """Bring the message to its end, or put it down when cancelled while it is thought about."""
        self._mind.purse.begin(self.message, self._attempt, self._clock.standing)
        with log_context(self.message.session, self.message.turn, seq=self.message.seq):
            ending = self._foregone() or await self._think()
            try:
                await self._end(ending)
            except (BadMessage, Refused) as error:
                _log.warning("the turn's end cannot be stored: %s", error)
                await self._end(ending := Ending("failed", str(error)))
            told = {"outcome": ending.outcome, "reason": ending.reason, "answer": ending.text}
            await self._mind.thinker.hooks.after_turn(self._about() | told)

    def interrupt(self) -> None:
        """The message was interrupted: leave off, unless the end is on its way already. The inbox knows of it."""
        if self._thinking:
            self._thinking.cancel()

    def put_down(self) -> None:
        """The agent is frozen: leave off and take it up again another time, unless the end is on its way already."""
        self._left = True
        if self._thinking:
            self._thinking.cancel()

    def hear(self, heard: Event) -> None:
        """An event of the turn's session came: perhaps the response that is waited for. Raises BadMessage if malformed."""
        if self._told.apply(heard):
            self._moved.set()
            if isinstance(body := heard.body, ToolResponse):
                self._voice.answered(body)

    @property
    def waiting(self) -> bool:
        """Whether nothing happens here until a tool answers; putting such a turn down loses nothing."""
        return self._waiting

    @property
    def patient(self) -> bool:
        """Whether what is waited for is a person's word, or a point in time: that may take days."""
        return self._waiting and self._progress.patient

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
            if self._left:
                raise asyncio.CancelledError
            await self._begin()
            async with self._clock.running(self._mind.settings.turn_timeout_s):
                return await self._go_on()
        except asyncio.CancelledError:
            if message.interrupted:
                said = "" if self._mind.settings.reflection.on else self._answer(self._reply.text)  # a draft is nobody's to see
                return Ending("interrupted", "it was interrupted", said)
            await self._append(TurnPaused(message.turn, self._attempt), "paused", self._attempt)
            raise
        except TimeoutError:
            return Ending("failed", f"the turn took longer than {self._mind.settings.turn_timeout_s:g} s (turn_timeout_s)")
        except AnimaError as error:
            _log.warning("the turn failed: %s", error)
            return Ending("failed", str(error))
        finally:
            self._thinking = None
            self._waiting = False

    async def _begin(self) -> None:
        """Store that the turn has begun, and see what there is to think about; takes as long as the journal is away."""
        message, mind = self.message, self._mind
        mind.status(f"thinking in {message.session}")
        mind.thinker.toolbox.refresh(mind.bus)
        started = TurnStarted(message.turn, message.seq, self._attempt)
        await asyncio.gather(
            self._append(started, "started", self._attempt),
            self._unroll(),
            mind.thinker.gauge.remember(mind.bus, mind.name),
        )
        message.attempts = self._attempt
        if mind.settings.thymos.appraisal == "model" and not self._calls:
            for place, body in enumerate(await judged(message, mind.thinker, mind.purse)):
                mind.purse.beside(self._event(body, "judged", self._attempt, place))

    async def _go_on(self) -> Ending:
        """Ask the model, and have done what it wants done, until it answers."""
        while True:
            await self._responses()
            if len(self._calls) >= self._steps_max:
                raise Spent(
                    f"the turn took {len(self._calls)} steps, as many as it may (turn_steps_max), and had no answer yet"
                )
            check(self._progress, self._mind.settings.turn_idle_steps_max)
            said = await self._ask()
            if not said.calls and not said.complaint and not self._goes_on(said):
                if not (text := self._answer(said.text)).strip():
                    raise Spent(speechless(said.called.stop_reason, self._mind.settings.answer_tokens_max))
                said = await self._reflect(said, text)
                if not said.complaint:
                    text = await self._mind.thinker.hooks.before_answer(text, self._about())
                    return Ending("answered", text=text, called=said.called)
            await self._act(said)

    @property
    def _steps_max(self) -> int:
        """As configured; fewer, if feelings may shorten persistence and do."""
        configured = self._mind.settings.turn_steps_max
        return min(configured, self._minded.steps_max or configured) if self._minded else configured

    def _goes_on(self, said: Said) -> bool:
        """Whether an answer was cut, so that its piece is stored as a step and the model asked for the rest."""
        if said.called.stop_reason not in CUT or not said.text.strip():
            return False
        if said.called.stop_reason == "context":
            self._history.share *= SHRINK
        few = len(self._progress.pieces()) < PIECES_MAX and len(self._calls) < self._steps_max
        return few and len(self._answer(said.text).encode("utf-8", "replace")) < text_bytes_max // 2

    def _answer(self, rest: str) -> str:
        """The pieces of the answer that are stored, and the rest."""
        return "".join((*self._progress.pieces(), rest))

    async def _responses(self) -> None:
        """Wait until every call that was passed on has its response.

        The turn's clock stands still while a person is waited for.
        """
        while missing := self._progress.unanswered():
            self._waiting = True
            self._moved.clear()
            self._clock.keep(still=self.patient)
            names = ", ".join(dict.fromkeys(call.tool for call in missing.values()))
            self._mind.status(f"waiting for {names} in {self.message.session}")
            self._mind.room()
            await self._moved.wait()
        self._waiting = False
        self._clock.keep(still=self.patient)
        self._mind.status(f"thinking in {self.message.session}")

    async def _ask(self) -> Said:
        await self._call_to_mind(len(self._calls) + 1)
        asking = self._asked = self._asking()
        self._reply = Reply()
        try:
            said = await ask(self._mind.thinker, asking, self._voice, self._reply, self._mind.purse)
        except Overflow as error:
            _log.warning("the window is made smaller: %s", error)
            self._history.share *= SHRINK
            self._reply = Reply()
            self._asked = self._asking(anew=True)
            said = await ask(self._mind.thinker, self._asked, self._voice, self._reply, self._mind.purse)
        self._calls[asking.step] = said.called
        return said

    async def _call_to_mind(self, step: int) -> None:
        """Know what is in mind at this step; what is new becomes a fact with the call's reservation."""
        mind, message = self._mind, self.message
        known = self._progress.minded(step)
        if known and known.step == step:
            self._minded = known  # an earlier incarnation was shown it at this very step
            return
        before = self._minded or known
        occasion = None if before else self._history.occasion(message, mind.thinker.shape(0, self._history.share))
        self._minded = await mind.senses.at(message.turn, step, before, occasion)
        if self._minded and self._minded != before:
            mind.purse.beside(self._event(self._minded, "minded", step, self._attempt))

    def _asking(self, *, anew: bool = False) -> Asking:
        """What the model is shown now; with `anew` the window is laid anew."""
        message, thinker, hint, minded = self.message, self._mind.thinker, self._hint(), self._minded
        around = (*self._history.inserts(thinker.shape(0, self._history.share)), *inserts(minded))
        prompt_tokens = thinker.weigh(hint, around)
        view = self._history.look(message, thinker.shape(prompt_tokens, self._history.share), anew=anew)
        step, layout = len(self._calls) + 1, tuple(view.layout.fields())
        tokens = prompt_tokens + view.tokens
        tape = Tape(model=minded.model, thinking_tokens_max=minded.thinking_tokens_max) if minded else Tape()
        return Asking(message.turn, step, message.session, self._attempt, view.messages, hint, around, layout, tokens, tape)

    async def _reflect(self, said: Said, draft: str) -> Said:
        """The same, or with a complaint if the draft is to be written anew."""
        settings, asked = self._mind.settings.reflection, self._asked
        done = list(self._reflected.values())
        if not settings.on or asked is None or (done and not may_revise(done, settings)):
            return said
        self._mind.status(f"looking at its answer in {self.message.session}")
        reflected, tape = await judge(self._mind.thinker, asked, draft, len(done) + 1, settings, self._mind.purse)
        self._judged = Judged(reflected, tape)
        self._reflected[reflected.round] = reflected
        steps_left = len(self._calls) < self._steps_max
        if reflected.verdict != "revise" or not steps_left or not may_revise(done, settings):
            return said
        return dataclasses.replace(said, complaint=critique(reflected.reason))

    def _about(self) -> dict[str, str]:
        message = self.message
        return {"agent": self._mind.name, "session": message.session, "turn": message.turn, "question": message.text}

    async def _act(self, said: Said) -> None:
        """Store what the model wants done: its words, all calls that are passed on, and what it is told about the others."""
        turn, step = self.message.turn, said.called.step
        passed, refused = screen(said.calls, self._progress, self._mind.settings.policy.calls_per_turn_max)
        if said.complaint:
            refused.append(misread(said.complaint))
        called = dataclasses.replace(said.called, text=said.text, refused=refused)
        calls = [
            ToolCall(turn, step, call.id, call.tool, dict(call.args), place, len(passed), 0.0, call.signature, call.by)
            for place, call in enumerate(passed)
        ]
        events = [self._event(called, "called", step), *(self._event(call, "call", step, call.place) for call in calls)]
        events += self._records()
        stored = await self._mind.bus.append(*events)
        self._reply = Reply()  # its words are stored; an interruption has nothing to save
        # what a dead incarnation had sent and nobody saw may have come first; then that is what this step consists of
        if stored[0].new:
            self._remember(events)
        else:
            await self._unroll()
        for call in calls:
            self._voice.called(call)

    def _records(self) -> list[Event]:
        """What tells of the last call, once: its record, and what was thought of its draft."""
        asked, self._asked = self._asked, None
        judged, self._judged = self._judged, None
        keep, turn = self._mind.thinker.recorder.keep, self.message.turn
        bodies: list[ModelRecorded | None] = [keep(asked.tape, turn, asked.step)] if asked else []
        events = []
        if judged:
            round_ = judged.reflected.round
            bodies.append(keep(judged.tape, turn, judged.reflected.step, round_))
            events.append(self._event(judged.reflected, "reflected", round_))
        return [*(self._event(each, "recorded", each.step, each.round) for each in bodies if each), *events]

    def _hint(self) -> str:
        """The words that say which tools may be needed: the person's, and what the model was told about tools."""
        listed = [done.text for done in self._progress.done() if done.tool == ALWAYS]
        return "\n".join((self.message.text, *listed))

    def _remember(self, events: Sequence[Event]) -> None:
        for each in events:
            self._told.apply(each)
        self._count()

    def _count(self) -> None:
        self._calls |= {called.step: called for called in self._progress.models_called()}
        self._reflected |= self._progress.reflections()

    async def _unroll(self) -> None:
        mind = self._mind
        start = mind.thinker.shape(0).start
        await self._history.unroll(mind.bus, mind.name, self.message, start)
        self._count()

    async def _end(self, ending: Ending) -> None:
        """Store the end, and with it, in one transaction, what was said."""
        message, mind, calls = self.message, self._mind, self._calls.values()
        spent: list[ModelCalled | Reflected] = [*calls, *self._reflected.values()]
        model = ending.called.model if ending.called else mind.thinker.model  # a fallback may have answered
        events = []
        if ending.called:
            events.append(self._event(ending.called, "called", ending.called.step))
        events += self._records()
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
            sum(each.tokens_in for each in spent),
            sum(each.tokens_out for each in spent),
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
