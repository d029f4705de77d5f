"""What an agent feels and is reminded of when its model is asked: heard from thymos and mneme, stored as a fact, then shown.

    step 1           mneme is asked what the message brings to mind -> inserts for the prompt, which stay for the whole turn
    step 1, 2, ...   thymos is asked how the agent feels -> inserts for the prompt, means for the call
                     what changed is stored with the call's reservation (no fsync of its own), as `brought_to_mind`

A turn hardly waits for either: who does not answer within `feel_timeout_s` or `recall_timeout_s` is not asked again for a
while; the last words heard of feelings stand, and nothing comes to mind. A turn that is taken up again, or replayed, finds
what was in mind in the journal.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from anima.agent.inserts import Insert, Place
from anima.bus.bus import Bus
from anima.config.schema import Agent
from anima.errors import AnimaError
from anima.limits import feel_pause_s, feel_timeout_s, recall_timeout_s
from anima.wire.events import BroughtToMind
from anima.wire.feelings import bounded
from anima.wire.frames import Query

_log = logging.getLogger(__name__)
_PLACES = {place.name.lower(): place for place in Place}
_OF_FEELINGS = ("feeling", "voice")
_OF_MEMORY = ("snapshot", "pinned", "recalled")
_GRUMBLE_S = 60.0
_WEARY = 1.0  #: a tier below it leaves the turn to the fast model
_THINKING_SHARE = 0.75  # of an answer's tokens at most may be thinking, unless more is configured anyway


@dataclass(frozen=True, slots=True)
class Felt:
    """What thymos says: words as [place, name, text], and shares by name."""

    inserts: Sequence[Sequence[str]] = ()
    shares: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Occasion:
    """The message that is thought about: what brings memories to mind."""

    session: str
    seq: int
    text: str
    since: int  #: seq of the first question that the window shows
    room: int  #: tokens that a conversation may have, as `estimate` counts them


class Sense(Protocol):
    """Whoever knows what is in an agent's mind at a step."""

    async def at(
        self, turn: str, step: int, before: BroughtToMind | None, occasion: Occasion | None = None
    ) -> BroughtToMind | None:
        """What is in mind at this step; `before` itself if nothing changed since, None if there is nothing at all.

        An `occasion` is given at the first step: what it brings to mind stays for the turn.
        """
        ...


class Senses:
    """One agent's; asks the bus. `fast_model` is who is asked by a weary agent."""

    def __init__(self, bus: Bus, name: str, settings: Agent, fast_model: str = "") -> None:
        self._bus = bus
        self._name = name
        self._settings = settings
        self._fast_model = fast_model
        self._last: Felt | None = None
        self._asked_again_at = 0.0
        self._recalls_again_at = 0.0
        self._quiet_until = 0.0

    async def at(
        self, turn: str, step: int, before: BroughtToMind | None, occasion: Occasion | None = None
    ) -> BroughtToMind | None:
        """See Sense. Takes `feel_timeout_s` and `recall_timeout_s` at most; never raises."""
        felt = await self._feel() if self._settings.thymos.on else Felt()
        now = minded(turn, step, felt, self._settings, self._fast_model)
        ids: list[str] = []
        if before:
            now = replace(now, model=before.model)  # who thinks does not change within a turn: its cache would be lost
            kept = [each for each in before.inserts if each[0] in _OF_MEMORY]
            now = replace(now, inserts=[*kept, *now.inserts])
        else:
            remembered, ids = await self._recall(turn, occasion, now.recall_share)
            now = replace(now, inserts=[*remembered, *now.inserts])
        if before and now.inserts == before.inserts:  # providers forget what they cached of a conversation with another length
            now = replace(now, thinking_tokens_max=before.thinking_tokens_max)
        nothing = minded(turn, step, Felt(), self._settings, "")
        if now == (replace(before, step=step, recalled=[]) if before else nothing):
            return before
        return replace(now, recalled=ids)

    async def _recall(self, turn: str, occasion: Occasion | None, share: float) -> tuple[list[list[str]], list[str]]:
        """What the occasion brings to mind: inserts, and the ids of memories."""
        if occasion is None or not self._settings.memory.on or time.monotonic() < self._recalls_again_at:
            return [], []
        asked = {"agent": self._name, "session": occasion.session, "turn": turn, "text": occasion.text, "share": share}
        asked |= {"seen": occasion.seq, "since": occasion.since, "tokens_max": occasion.room}
        try:
            told = await self._bus.ask("mneme", "recall", recall_timeout_s, **asked)
            return _read(told["inserts"], _OF_MEMORY), [str(each) for each in told["ids"]]
        except (AnimaError, KeyError, TypeError, ValueError) as error:
            self._recalls_again_at = time.monotonic() + feel_pause_s
            self._grumble(f"mneme does not say what comes to mind ({error}); nothing does")
            return [], []

    async def _feel(self) -> Felt:
        if time.monotonic() < self._asked_again_at:
            return await self._last_words()
        try:
            told = await self._bus.ask("thymos", "feel", feel_timeout_s, agent=self._name)
            self._last = Felt(_read(told["inserts"]), dict(told["shares"]))
        except (AnimaError, KeyError, TypeError, ValueError) as error:
            self._asked_again_at = time.monotonic() + feel_pause_s
            self._grumble(f"thymos does not say how it feels ({error}); the last words heard stand")
            return await self._last_words()
        return self._last

    async def _last_words(self) -> Felt:
        """What was heard last, in this life or before."""
        if self._last is None:
            query = Query(agent=self._name, kinds=("brought_to_mind",), newest=True, limit=1)
            try:
                page = await self._bus.read(query, feel_timeout_s)
                heard = [_read(body.inserts) for each in page.events if isinstance(body := each.body, BroughtToMind)]
            except (AnimaError, TypeError, ValueError):
                return Felt()  # the journal is away too, and whoever asks the model next waits for it; or that is no insert
            self._last = Felt(heard[0] if heard else ())
        return self._last

    def _grumble(self, sentence: str) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _GRUMBLE_S
            _log.warning("%s", sentence)


class Remembered:
    """What was in mind in a turn that is over: `bodies` in the order they were stored."""

    def __init__(self, bodies: Sequence[BroughtToMind]) -> None:
        self._bodies = bodies

    async def at(
        self,
        turn: str,  # noqa: ARG002 - known by its step
        step: int,
        before: BroughtToMind | None,  # noqa: ARG002
        occasion: Occasion | None = None,  # noqa: ARG002
    ) -> BroughtToMind | None:
        """See Sense."""
        return latest(self._bodies, step)


def latest(bodies: Sequence[BroughtToMind], step: int) -> BroughtToMind | None:
    """What was in mind at a step: the last that was stored up to it."""
    newest_first = (each for each in reversed(bodies) if each.step <= step)  # of two for one step `max` takes the first
    return max(newest_first, key=lambda each: each.step, default=None)


def minded(turn: str, step: int, felt: Felt, settings: Agent, fast_model: str) -> BroughtToMind:
    """What these feelings come to at a step: the words, and the means as far as their switches allow. Pure.

    Means stay within what is configured: no share lengthens a turn, or thinking beyond the answer it belongs to.
    """
    told, share = settings.thymos, bounded(felt.shares or {})
    thinking = settings.thinking_tokens_max
    if told.thinking and thinking:
        most = max(thinking, int(settings.answer_tokens_max * _THINKING_SHARE))
        thinking = int(min(thinking * share["thinking"], most))
    return BroughtToMind(
        turn,
        step,
        [list(each) for each in felt.inserts],
        thinking,
        max(1, int(settings.turn_steps_max * share["steps"])) if told.steps else settings.turn_steps_max,
        fast_model if told.tier and share["tier"] < _WEARY else "",
        round(share["recall"], 1) if told.recall else 1.0,  # in tenths: each other value is a fact to be stored
    )


def inserts(mind: BroughtToMind | None) -> tuple[Insert, ...]:
    """What the prompt shows of it."""
    if mind is None:
        return ()
    return tuple(Insert(_PLACES[place], name, text) for place, name, text in mind.inserts if place in _PLACES)


def _read(told: Any, places: Sequence[str] = _OF_FEELINGS) -> list[list[str]]:
    """The inserts in an answer, those of `places`. Raises TypeError or ValueError for anything else."""
    found = [[str(place), str(name), str(text)] for place, name, text in told]
    return [each for each in found if each[0] in places and each[2].strip()]
