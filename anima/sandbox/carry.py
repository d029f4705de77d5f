"""One call, carried from where the journal left it to where it must wait or has its response.

The order is the promise. What is written in capitals is acknowledged by the journal before the next thing happens:

    TOOL_CALL -> the gate -> (APPROVAL_ASKED ... APPROVAL_GIVEN) -> prepare -> TOOL_STARTED -> the jail -> TOOL_RESPONSE

No acknowledgement, no effect: a journal that is away is waited for. Every event's id derives from the call's own, so that one
which is sent again, by this life of the sandbox or the next, is stored once.
"""

import asyncio
import dataclasses
import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from anima.bus.bus import Bus, Stored
from anima.clock import Clock
from anima.errors import AnimaError, BadMessage, ConfigError, Refused
from anima.ids import derived_id
from anima.limits import KIB, call_attempts_max, call_grace_s
from anima.log.log import log_context
from anima.process.crash import Reach
from anima.sandbox.catalogue import Catalogue
from anima.sandbox.endings import foregone, given_up, in_doubt, interrupted
from anima.sandbox.gate import Allowed, Ask, Check, Denied, Wrong, judge, why_not
from anima.sandbox.intents import Intent, Intents, Step, next_step
from anima.sandbox.memory import Memory
from anima.sandbox.policies import Policies, Rules
from anima.sandbox.turnstile import Turnstile
from anima.sandbox.work import Ending, Work, capped, redacted
from anima.sandbox.workshop import Workshop
from anima.wire.cards import Card
from anima.wire.events import (
    ApprovalAsked,
    Body,
    Event,
    QuestionAsked,
    ToolResponse,
    ToolStarted,
    decode_event,
    event,
)
from anima.wire.frames import Query

SOURCE = "sandbox"
#: Tools that are a question to mneme; nobody else's may become one.
MEMORY_TOOLS = frozenset(
    {"remember", "recall", "view_around", "forget", "pin", "set_goal", "update_goal", "finish_goal"},
)
_NAP_S = 60.0  # a timer looks at the clock again, which may have leapt
_LAST_PATIENCE_S = 5 * call_grace_s  # an interrupted call that still runs after this is dropped
_TEXT_LEFT = 8 * KIB  # of a response the journal does not take as it is
_log = logging.getLogger(__name__)

Phase = Literal["before", "running", "after"]


@dataclass(frozen=True)
class Kit:
    """What every call of one life of the sandbox shares."""

    bus: Bus
    boot: str
    workshop: Workshop
    catalogue: Catalogue
    policies: Policies
    memory: Memory
    intents: Intents
    turnstile: Turnstile
    check: Check
    reach: Reach
    clock: Clock
    redact: Callable[[str], str]  #: takes the secrets of the house out of a text
    stored: Callable[[Event], None]  #: told of every event of our own, as soon as it is acknowledged


class Carry:
    """The work on one call. `take` runs as a task of its own."""

    def __init__(self, kit: Kit, intent: Intent) -> None:
        self.intent = intent
        self.phase: Phase = "before"
        self.dirty = False  #: something was told about the call meanwhile: look at it again
        self._kit = kit
        self._task: asyncio.Task[Any] | None = None
        self._leaving = False

    async def take(self) -> None:
        """Carry it on. Ends when it has its response, or waits for a person; what goes wrong becomes its ending."""
        self._task = asyncio.current_task()
        with log_context(self.intent.session, self.intent.call.turn, self.intent.id, self.intent.seq):
            await self._take()

    async def _take(self) -> None:
        try:
            while await self._advance():
                pass
        except asyncio.CancelledError:
            if self._leaving or not self.intent.interrupted:
                raise
            await self._end(interrupted(self.intent))
        except (Refused, BadMessage) as error:
            _log.error("call %s (%s): %s", self.intent.id, self.intent.call.tool, error)
            await self._end(self._broken(str(error)))
        except Exception as error:  # noqa: BLE001 - a bug in one call must not take everybody's
            _log.exception("call %s (%s) met a bug of the sandbox", self.intent.id, self.intent.call.tool)
            await self._end(self._broken(f"the sandbox met a bug ({type(error).__name__}); its log says more"))

    def interrupt(self) -> None:
        """Someone wants the call to end: ask what runs to end, or leave off where nothing runs yet."""
        if self._task is None or self.phase == "after":
            return
        if self.phase == "running" and self._kit.workshop.interrupt(self.intent.id):
            asyncio.get_running_loop().call_later(_LAST_PATIENCE_S, self._drop)
        else:
            self._task.cancel()

    def put_down(self) -> None:
        """The sandbox stops: leave off without a response. The next life goes on by the tool's effect."""
        if self._task and self.phase != "after":
            self._leaving = True
            self._task.cancel()

    def _drop(self) -> None:
        if self._task and not self._task.done() and self.phase == "running":
            self._task.cancel()

    # -- the steps ---------------------------------------------------------------------------------------------------------

    async def _advance(self) -> bool:
        """Take the next step; whether there may be another at once."""
        kit, intent = self._kit, self.intent
        await kit.catalogue.refresh()
        card = kit.catalogue.cards.get(intent.call.tool)
        step = next_step(intent, card.effect if card else "unsafe", card.place if card else "call")
        if step in ("nothing", "wait"):
            return False
        if step == "sleep":
            return await self._sleep()
        ending = foregone(step, intent) or self._forbidden(card, step)
        if ending is not None:
            return await self._end(ending)
        rules = kit.policies.of(intent.agent)
        if step == "judge":
            return await self._judge(rules)
        assert card is not None, "an unknown tool is unsafe, so its call is in doubt and not here"
        return await (self._probe(card, rules) if step == "probe" else self._run(card))

    def _forbidden(self, card: Card | None, step: Step) -> Ending | None:
        """The ending of a call that its agent's settings do not let go on; the first look at one is the gate's."""
        try:
            rules = self._kit.policies.of(self.intent.agent)
        except ConfigError as error:
            return self._denied(f"nothing is carried out while this agent's settings are wrong: {error}", card)
        refusal = why_not(card, rules.settings.policy) if card and step != "judge" else ""
        return self._denied(refusal, card) if refusal else None

    async def _judge(self, rules: Rules) -> bool:
        kit, intent, policy = self._kit, self.intent, rules.settings.policy
        kit.reach("intent", intent.agent)
        decided = {} if policy.approve == "never" else dict(await kit.memory.always(intent.agent))
        if intent.given is not None:
            decided[intent.call.tool] = True  # this one time
        always = {tool for tool, granted in decided.items() if granted}
        verdict = judge(intent.call, kit.catalogue.cards, policy, always, kit.check)
        if isinstance(verdict, Ask) and decided.get(intent.call.tool) is False:
            verdict = Denied(f"a person said that this agent shall not use {intent.call.tool}")
        match verdict:
            case Denied(reason):
                await self._end(Ending("denied", reason))
            case Wrong(reason):
                await self._end(Ending("failed", reason))
            case Ask(reason):
                risk = kit.catalogue.cards[intent.call.tool].risk
                asked = ApprovalAsked(intent.id, intent.call.turn, intent.call.tool, risk, reason)
                await self._append(asked, "approval")
            case Allowed():
                kit.reach("approved", intent.agent)
                card = kit.catalogue.cards[intent.call.tool]
                return await (self._plan(card, rules) if card.place == "runtime" else self._run(card))
        return False

    async def _run(self, card: Card) -> bool:
        kit, intent = self._kit, self.intent
        busy = card.effect == "pure" and card.place == "call" and not card.network
        async with kit.turnstile.place(intent.agent, busy=busy):
            if changed := self._forbidden(card, "run"):  # it may have waited for long
                return await self._end(changed)
            rules = kit.policies.of(intent.agent)
            work = await self._work(card, rules)
            prepared = await kit.workshop.prepare(work) if card.prepares else {}
            if isinstance(prepared, Ending):
                return await self._end(prepared)
            if not await self._start(prepared):
                return True
            kit.reach("started", intent.agent)
            self.phase = "running"
            ending = await kit.workshop.run(work)
            self.phase = "before" if ending.lost else "after"
        kit.reach("effect", intent.agent)
        if ending.lost and not intent.interrupted:
            _log.warning("call %s (%s) was lost: %s", intent.id, card.name, ending.text)
            return True  # what follows from that is the same as after a death of the sandbox
        if ending.lost and card.effect != "pure":
            ending = dataclasses.replace(ending, outcome="unknown")
        return await self._end(ending)

    async def _probe(self, card: Card, rules: Rules) -> bool:
        intent = self.intent
        prepared = intent.started.prepared if intent.started else {}
        verdict = await self._kit.workshop.probe(await self._work(card, rules), prepared)
        if verdict == "done":
            text = f"{card.name} was done; what it would have answered was lost when the sandbox ended, and a look confirmed it"
            await self._end(Ending("done", text, {"probed": True}))
        elif verdict == "undone" and intent.interrupted:
            await self._end(interrupted(intent))
        elif verdict == "undone" and intent.attempts < call_attempts_max:
            return await self._run(card)
        elif verdict == "undone":
            await self._end(given_up(intent))
        else:
            await self._end(in_doubt(intent))
        return False

    async def _plan(self, card: Card, rules: Rules) -> bool:
        """A call that the runtime carries out itself: store what is waited for."""
        intent = self.intent
        plan = await self._kit.workshop.plan(await self._work(card, rules))
        if isinstance(plan, Ending):
            return await self._end(plan)
        if "question" in plan:
            choices = [str(each) for each in plan.get("choices", [])]
            await self._append(QuestionAsked(intent.id, intent.call.turn, str(plan["question"]), choices), "question")
            return False
        if isinstance(asked := plan.get("memory"), dict):
            return await self._end(await self._ask_memory(card, asked))
        return await self._start({"due": float(plan.get("due", 0.0))})

    async def _ask_memory(self, card: Card, args: dict[str, Any]) -> Ending:
        """What mneme says to a tool of memory. Whose call it is says the journal, never what came out of a jail."""
        if card.name not in MEMORY_TOOLS:
            return Ending("failed", f"{card.name} is no tool of memory, and none may ask in its place")
        intent, begun = self.intent, self._kit.clock.monotonic()
        asked = {"agent": intent.agent, "session": intent.session, "key": intent.id, "tool": card.name, "args": args}
        try:
            told = await self._kit.bus.ask("mneme", "call", card.wall_s, **asked)
            text, data = str(told["text"]), dict(told["data"])
        except Refused as error:
            return Ending("failed", str(error))
        except (AnimaError, KeyError, TypeError, ValueError) as error:
            return Ending("failed", f"memory does not answer now ({error}); go on without it, or try again later")
        return Ending("done", capped(text, card), data, round(self._kit.clock.monotonic() - begun, 6))

    async def _sleep(self) -> bool:
        intent, clock = self.intent, self._kit.clock
        due = float(intent.started.prepared.get("due", 0.0)) if intent.started else 0.0
        while (left_s := due - clock.now()) > 0:  # noqa: ASYNC110 - nobody sets an event when the clock leaps
            await asyncio.sleep(min(left_s, _NAP_S))
        at = dt.datetime.fromtimestamp(due, dt.UTC).isoformat(sep=" ", timespec="seconds")
        return await self._end(Ending("done", f"it is {at} now, and you go on", {"due": due}))

    async def _work(self, card: Card, rules: Rules) -> Work:
        kit, intent = self._kit, self.intent
        names = tuple(each.name for each in kit.catalogue.cards.values() if not why_not(each, rules.settings.policy))
        notes = await kit.memory.notes(intent.agent, intent.session) if card.name == "notes" else None
        return Work(intent.id, intent.agent, intent.session, intent.call, card, rules, names, notes)

    # -- what is stored ----------------------------------------------------------------------------------------------------

    async def _start(self, prepared: dict[str, Any]) -> bool:
        """Store that the effect may begin now; False if another life of the sandbox had said so before."""
        intent = self.intent
        attempt = intent.attempts + 1
        started = ToolStarted(intent.id, intent.call.turn, intent.call.tool, attempt, self._kit.boot, prepared)
        stored = await self._append(started, "started", attempt)
        if stored.new:
            return True
        page = await self._kit.bus.read(Query(since=stored.seq - 1, before=stored.seq + 1), timeout_s=float("inf"))
        theirs = page.events[0].body if page.events else None
        if isinstance(theirs, ToolStarted):
            intent.started = theirs
        return intent.started is not None and intent.started.boot == self._kit.boot  # then its first acknowledgement was lost

    async def _end(self, ending: Ending) -> bool:
        """Store the response. From here on nothing takes it back, and there is no next step."""
        self.phase = "after"
        ending = redacted(ending, self._kit.redact)
        intent = self.intent
        text, call = ending.text, intent.call
        if intent.given is not None and intent.given.granted and intent.given.reason:
            text = f"[your person allowed it and said: {intent.given.reason}]\n{text}"
        response = ToolResponse(
            call.turn, call.call, call.tool, ending.ok, text, intent.id, ending.outcome, ending.duration_s, dict(ending.data)
        )
        try:
            await self._append(_sendable(response), "response")
        except (BadMessage, Refused) as error:
            _log.warning("the response of %s (%s) cannot be stored whole: %s", intent.id, call.tool, error)
            short = dataclasses.replace(response, text=response.text[:_TEXT_LEFT], data={"left_out": str(error)})
            await self._append(short, "response")
        self._kit.reach("response", intent.agent)
        return False

    async def _append(self, body: Body, *words: object) -> Stored:
        intent = self.intent
        said = event(
            body,
            agent=intent.agent,
            session=intent.session,
            source=SOURCE,
            cause=intent.id,
            id=derived_id(intent.id, *words),
        )
        (stored,) = await self._kit.bus.append(said)
        if stored.new:
            self._kit.stored(dataclasses.replace(said, seq=stored.seq, ts=self._kit.clock.now()))
        return stored

    # -- endings -----------------------------------------------------------------------------------------------------------

    def _denied(self, reason: str, card: Card | None) -> Ending:
        """Refused now; if it may have begun in an earlier attempt, that is in doubt and not denied."""
        if self.intent.attempts and (card is None or card.effect != "pure"):
            return dataclasses.replace(
                in_doubt(self.intent), text=f"{in_doubt(self.intent).text} It is not tried again: {reason}"
            )
        return Ending("denied", reason)

    def _broken(self, reason: str) -> Ending:
        if self.phase != "before" or self.intent.attempts:
            return Ending("unknown", f"{reason}. {in_doubt(self.intent).text}")
        return Ending("failed", f"{reason}. Nothing was done.")


def _sendable(response: ToolResponse) -> ToolResponse:
    """The same without characters that no UTF-8 holds. Raises BadMessage if it would not fit an event."""
    clean = dataclasses.replace(response, text=response.text.encode(errors="replace").decode())
    try:
        decode_event(event(clean, agent="", source=SOURCE).encode())
    except (TypeError, ValueError, OverflowError) as error:
        raise BadMessage(f"the tool's data cannot be sent: {error}") from error
    return clean
