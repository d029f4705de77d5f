"""A turn played again: the agent's own code on a journal in memory, with recorded answers of model and tools.

Nothing here reaches a disk, a network or another process: the bus is a Loopback, the model a `Prompter` that says what was
said, the sandbox a table of what came of the calls. Only with `live` another model is asked, and its calls too are answered
from the table, or not at all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anima import errors
from anima.agent.folder import Folder
from anima.agent.history import Histories
from anima.agent.inbox import Inbox
from anima.agent.mind import Mind
from anima.agent.past import Past, Played
from anima.agent.purse import Purse
from anima.agent.senses import Remembered
from anima.agent.spelling import VOLATILE
from anima.agent.thinker import Thinker
from anima.agent.turn import Turn
from anima.bus.bus import Stored
from anima.bus.loopback import Loopback
from anima.config.schema import House
from anima.errors import AnimaError, Unavailable
from anima.nous.model import Delta, Model, Request
from anima.wire.events import Event, ToolCall, ToolResponse, event

NOT_DONE = "not carried out: this is a replay, and the recorded turn made no such call; go on with what you know"
_SETTLE = 10  # rounds of the event loop in which a question to a bus in memory is answered


@dataclass(frozen=True)
class Scene:
    """One call of a model in the turn as it goes today."""

    then: Played | None  #: the call it stands for; None: there was none
    request: Request  #: as today's code, settings and prompts make it; with the facts of then
    deltas: list[Delta] = field(default_factory=list)


class Prompter:
    """A model that says what was said, call by call, or asks another one; and keeps what it was shown."""

    def __init__(self, played: Sequence[Played], until: int, live: Model | None) -> None:
        self._played = list(played)
        self._until = until
        self._live = live
        self.scenes: list[Scene] = []
        self.over = asyncio.Event()  #: set when the record ends, or what is wanted of it

    @property
    def name(self) -> str:
        """Who is asked."""
        return self._live.name if self._live else "record"

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The recorded answer, or the living one; see nous.model.Model."""
        then = self._played.pop(0) if self._played else None
        if (then is None and self._live is None) or (self._until and self._step(then) > self._until):
            await self._leave()
        if then and then.request:
            facts = {key: then.request.facts[key] for key in VOLATILE if key in then.request.facts}
            request = replace(request, facts={**request.facts, **facts})
        scene = Scene(then, request)
        self.scenes.append(scene)
        async for delta in self._live.stream(request) if self._live else _said(then):
            scene.deltas.append(delta)
            yield delta
        if not self._live and then and not _whole(then):
            await self._leave()

    def _step(self, then: Played | None) -> int:
        return then.step if then else len(self.scenes) + 1

    async def _leave(self) -> None:
        self.over.set()
        await asyncio.get_running_loop().create_future()  # until cancelled

    async def close(self) -> None:
        """Let go of the living one."""
        if self._live:
            await self._live.close()


def _whole(then: Played) -> bool:
    return bool(then.deltas) and type(then.deltas[-1]).__name__ == "Done"


async def _said(then: Played | None) -> AsyncIterator[Delta]:
    """What was said. Raises what was raised."""
    for delta in then.deltas if then else ():
        yield delta
    if then and then.error:
        name, _, sentence = then.error.partition(": ")
        sort = getattr(errors, name, Unavailable)
        raise sort(sentence) if isinstance(sort, type) and issubclass(sort, AnimaError) else Unavailable(sentence)


class Stage(Loopback):
    """The journal of the replay; calls of tools are answered as soon as they are stored."""

    def __init__(self, past: Past, over: asyncio.Event) -> None:
        super().__init__()
        self.recall(sorted([*past.earlier, past.message], key=lambda each: each.seq))
        self._calls, self._responses = past.calls(), past.responses()
        self._used: set[str] = set()
        self._over = over
        self.hear: Callable[[Event], None] = lambda _: None

    async def append(self, *events: Event, timeout_s: float | None = None) -> list[Stored]:
        """Store, and answer what calls tools; see Bus.append."""
        stored = await super().append(*events, timeout_s=timeout_s)
        for each in events:
            if isinstance(call := each.body, ToolCall):
                asyncio.get_running_loop().call_soon(self._answer, each, call)
        return stored

    def _answer(self, made: Event, call: ToolCall) -> None:
        intent = self._recorded(made.id, call)
        then = self._responses.get(intent)
        if intent and then is None:
            self._over.set()  # it was never answered: the turn went no further
            return
        told = replace(then, call=call.call, intent=made.id) if then else _not_done(made.id, call)
        response = event(told, agent=made.agent, session=made.session, source="sandbox", cause=made.id)
        self._store(response)
        self.hear(response)

    def _recorded(self, intent: str, call: ToolCall) -> str:
        """The recorded call this one repeats: the very same, else one not yet used, else any; "" if there is none."""
        alike = [each for each, known in self._calls.items() if (known.tool, known.args) == (call.tool, call.args)]
        alike.sort(key=lambda each: (each != intent, each in self._used))
        if not alike:
            return ""
        self._used.add(alike[0])
        return alike[0]


def _not_done(intent: str, call: ToolCall) -> ToolResponse:
    return ToolResponse(call.turn, call.call, call.tool, ok=False, text=NOT_DONE, intent=intent, outcome="denied")


@dataclass(frozen=True)
class Show:
    """What a replay came to."""

    scenes: list[Scene]
    events: list[Event]  #: those of the turn as it went this time


async def rehearse(past: Past, played: Sequence[Played], folder: Folder, house: House, until: int, live: Model | None) -> Show:
    """Play the turn with the agent's folder as it is today, up to step `until` (0: to its end)."""
    prompter = Prompter(played, until, live)
    stage = Stage(past, prompter.over)
    cards: list[dict[str, Any]] = next((each.about.get("foreign", []) for each in played if each.about), [])

    async def tools(_: dict[str, Any]) -> dict[str, Any]:
        return {"tools": cards}

    await stage.serve("sandbox", {"tools": tools})
    quiet = replace(house, record=replace(house.record, on=False))
    told = folder.settings  # hooks may do anything, and how words were judged is in the record
    alone = replace(told, reflection=replace(told.reflection, hooks=()), thymos=replace(told.thymos, appraisal="lexicon"))
    folder = replace(folder, settings=alone)
    async with Thinker(folder, quiet, prompter) as thinker:
        thinker.toolbox.refresh(stage)
        for _ in range(_SETTLE):
            await asyncio.sleep(0)
        inbox = Inbox()
        inbox.apply(past.message)
        purse = Purse(thinker.means(), Loopback())  # a record costs nothing; what `live` costs is not the agent's
        senses = Remembered(past.minds())
        purse.begin(inbox.waiting()[0], 1)
        mind = Mind(
            folder.name, folder.settings, stage, thinker, inbox, lambda _: None, purse, lambda: None, Histories(), senses
        )
        turn = Turn(mind, inbox.waiting()[0])
        stage.hear = turn.hear
        begun = len(stage.events)
        await _until_over(asyncio.create_task(turn.take()), prompter.over)
    return Show(prompter.scenes, stage.events[begun:])


async def _until_over(taking: "asyncio.Task[None]", over: asyncio.Event) -> None:
    """Wait for the turn's end, or put it down when the record is over."""
    waiting = asyncio.create_task(over.wait())
    try:
        await asyncio.wait([taking, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (taking, waiting):
            task.cancel()
        await asyncio.wait([taking, waiting])
    if not taking.cancelled() and (error := taking.exception()):
        raise error
