"""An agent's days: remember what is open, then take turns, each session in order, several sessions at once."""

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from anima.agent.consolidating import Consolidation
from anima.agent.explain import explained
from anima.agent.folder import Folder
from anima.agent.history import Histories
from anima.agent.inbox import Inbox, Open
from anima.agent.inserts import around, last_words
from anima.agent.mind import Mind
from anima.agent.purse import Purse
from anima.agent.senses import Senses, inserts
from anima.agent.thinker import Thinker
from anima.agent.turn import Turn
from anima.agent.viewport import outside
from anima.bus.bus import Bus
from anima.errors import BadMessage
from anima.limits import turn_grace_s
from anima.nous.model import Message
from anima.wire.events import AgentFrozen, AgentThawed, Event, TurnEnded
from anima.wire.frames import Query

NEVER_SEQ = 1 << 61  # of a message that was not sent
_log = logging.getLogger(__name__)


class Life:
    """The one consumer of the agent's topic."""

    def __init__(self, folder: Folder, bus: Bus, thinker: Thinker, status: Callable[[str], None]) -> None:
        self._folder = folder
        self._bus = bus
        self._thinker = thinker
        self._say = status
        self._purse = Purse(thinker.means(), bus)
        thinker.metered = self._purse.metered
        self._frozen = ""  # why nothing may be sent; "" if it may
        self._inbox = Inbox()
        self._cursor = 0
        self._turns: dict[str, tuple[Turn, asyncio.Task[None]]] = {}  # by session
        self._histories = Histories()
        self._senses = Senses(bus, folder.name, folder.settings, thinker.fast)
        self._consolidating: dict[str, asyncio.Task[None]] = {}  # by session: one at a time
        self._bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped = False

    def _status(self, text: str) -> None:
        self._say(f"frozen: {self._frozen}" if self._frozen else text)

    @property
    def status(self) -> str:
        """What there is to say before the first turn."""
        return f"frozen: {self._frozen}" if self._frozen else self._thinker.resting

    async def frozen(self, _: dict[str, Any]) -> dict[str, str]:
        """Answer the purser: why nothing is sent, "" if it is."""
        return {"frozen": self._frozen}

    async def remember(self) -> None:
        """Subscribe, then read the journal from where everything was settled; waits for it as long as it takes."""
        await self._bus.subscribed()
        name = self._folder.name
        await self._purse.remember()
        frozen = Query(agent=name, kinds=("agent_frozen", "agent_thawed"), newest=True, limit=1)
        for event in (await self._bus.read(frozen, timeout_s=float("inf"))).events:
            self._apply(event)
        newest = await self._bus.read(Query(agent=name, kinds=("turn_ended",), newest=True, limit=1), timeout_s=float("inf"))
        self._cursor = max(
            (min(body.settled_seq, event.seq) for event in newest.events if isinstance(body := event.body, TurnEnded)),
            default=0,  # and never beyond the event that says so: after a loss, what it had seen up to there may be gone
        )
        self._inbox = Inbox(self._cursor)
        more = True
        while more:
            page = await self._bus.read(Query(since=self._cursor, agent=name), timeout_s=float("inf"))
            for event in page.events:
                self._apply(event)
                self._cursor = event.seq
            more = page.more
        self._cursor = max(self._cursor, page.head)

    async def until(self, stop: asyncio.Event) -> None:
        """Take turns until `stop`; then let running ones end for a moment, and put down what still runs.

        A turn that dies of a bug takes this process with it: the message is then tried again, at most three times.
        """
        listening = asyncio.create_task(self._listen())
        stopping = asyncio.create_task(stop.wait())
        self._take_up()
        reasons: list[asyncio.Future[Any]] = [self._bug, listening, stopping]
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        self._stopped = True
        listening.cancel()
        stopping.cancel()
        await self._put_down(turn_grace_s if stop.is_set() else 0.0)
        for reason in (self._bug, listening):
            if reason.done() and not reason.cancelled():
                reason.result()

    async def viewport(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer `animactl viewport`: what the model sees of a session now, or would see if it were asked now."""
        session, folder, thinker = str(asked.get("session", "")), self._folder, self._thinker
        await thinker.gauge.remember(self._bus, folder.name)
        message = next((each for each in self._inbox.waiting() if each.session == session), None)
        message = message or Open("", NEVER_SEQ, session, "")
        history = self._histories.of(session)
        await history.unroll(self._bus, folder.name, message, thinker.shape(0).start)
        occasion = history.occasion(message, thinker.shape(0, history.share))
        minded = await self._senses.at(message.turn, 1, None, replace(occasion, seq=0) if not message.turn else occasion)
        beside = (*history.inserts(thinker.shape(0, history.share)), *inserts(minded))
        prompt_tokens = thinker.weigh(message.text, beside)
        shape = thinker.shape(prompt_tokens, history.share)
        view = history.peek(message, shape)
        if not message.turn:
            view = replace(view, messages=view.messages[:-1], turns=view.turns - 1)
        gone = (outside(*each) for each in history.scroll.forgotten)
        last = last_words(folder.always, beside)
        behind = [Message("user", last)] if last else []
        view = replace(view, messages=(*around(view.messages, beside), *behind), left=(*gone, *view.left))
        model = {"model": thinker.model, "window_tokens": thinker.window_tokens}
        return {
            **model,
            **explained(view, shape, prompt_tokens, thinker.gauge.of(thinker.model)),
            "older": history.scroll.older,
        }

    async def _listen(self) -> None:
        async for event in self._bus.follow(agent=self._folder.name, since=self._cursor, strict=True):
            if isinstance(event, Event):
                self._apply(event)
                self._take_up()

    def _apply(self, event: Event) -> None:
        running = self._turns.get(event.session)
        try:
            interrupted = self._inbox.apply(event)
            self._purse.apply(event)
            self._heed(event)
            if running:
                running[0].hear(event)
        except BadMessage as error:
            _log.warning("event %d is left out: %s", event.seq, error)
            return
        if interrupted and running and running[0].message is interrupted:
            running[0].interrupt()

    def _heed(self, event: Event) -> None:
        """Freeze or thaw. What runs is put down at once, as when the process is told to stop: no attempt is lost by it."""
        match event.body:
            case AgentFrozen(reason):
                self._frozen = reason or "without a reason"
                self._status("")
                for turn, _ in self._turns.values():
                    turn.put_down()
            case AgentThawed():
                self._frozen = ""
                self._status(self.status if not self._turns else "thawed")
            case TurnEnded(turn=ended):
                self._purse.forget(ended)
            case _:
                pass

    def _take_up(self) -> None:
        """Start the oldest waiting message of every session that has no turn running.

        Turns that wait for a person's word do not count: they take nothing but memory, and may wait for days.

        Of those in whose earlier attempts the process died, one at a time: a message that kills must not make another,
        which only ran beside it, look as if it had killed three times as well. One that waits for a tool kills nobody.
        """
        for message in self._inbox.waiting():
            busy = sum(not turn.patient for turn, _ in self._turns.values())
            if self._stopped or self._frozen or busy >= self._folder.settings.sessions_parallel_max:
                return
            if message.session in self._turns or (
                message.deaths and any(turn.again and not turn.waiting for turn, _ in self._turns.values())
            ):
                continue
            turn = Turn(self._mind(), message)
            task = asyncio.create_task(turn.take())
            self._turns[message.session] = (turn, task)
            task.add_done_callback(functools.partial(self._turn_done, message.session, message.turn))

    def _mind(self) -> Mind:
        folder, take_up = self._folder, self._take_up
        status, purse = self._status, self._purse
        shared = (self._thinker, self._inbox, status, purse, take_up, self._histories, self._senses)
        return Mind(folder.name, folder.settings, self._bus, *shared)

    def _consolidate(self, session: str, turn: str) -> None:
        """Have written down what will leave the session's window, unless that is being done."""
        if self._stopped or self._frozen or session in self._consolidating or self._folder.settings.memory.summaries == "off":
            return
        task = asyncio.create_task(Consolidation(self._mind(), session, turn).run())
        self._consolidating[session] = task
        task.add_done_callback(functools.partial(self._consolidated, session))

    def _consolidated(self, session: str, task: asyncio.Task[None]) -> None:
        del self._consolidating[session]
        if not task.cancelled() and (error := task.exception()):
            _log.error("the window of %s cannot be consolidated: that is a bug", session, exc_info=error)

    def _turn_done(self, session: str, turn: str, task: asyncio.Task[None]) -> None:
        del self._turns[session]
        if not task.cancelled() and not task.exception():
            self._consolidate(session, turn)
        if not task.cancelled() and (error := task.exception()):
            if self._bug.done():
                _log.error("another turn met a bug", exc_info=error)
            else:
                self._bug.set_exception(error)
        else:
            self._take_up()
        if not self._turns:
            self._status(self.status)

    async def _put_down(self, grace_s: float) -> None:
        """Let running turns end by themselves for `grace_s`, then have them written down as paused.

        Those that wait for a tool are put down at once: the call goes on without them, and they are taken up where they were.
        """
        for turn, task in self._turns.values():
            if turn.waiting:
                task.cancel()
        for consolidating in self._consolidating.values():
            consolidating.cancel()  # nothing is lost by it: it is due again after the next turn
        running = {task for _, task in self._turns.values()}
        if running and grace_s:
            _, running = await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=turn_grace_s)  # without a journal, not even that can be written down
