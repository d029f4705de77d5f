"""Finding: for a person who searches, and for an agent to whom something comes to mind before it thinks."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from anima.bus.bus import Answer, Bus
from anima.errors import AnimaError, Refused
from anima.ids import derived_id
from anima.limits import recall_behind_s
from anima.mneme.desk import SETTLED_S, SOURCE, Desk
from anima.mneme.memory import Hit, Lens, Memory
from anima.mneme.moods import Moods, felt
from anima.mneme.recalling import AROUND_MAX, Occasion, chosen, recalled, standing
from anima.mneme.scribe import Scribe, snapshots
from anima.mneme.store import Store
from anima.mneme.views import hit, number, text
from anima.mneme.weaver import Weaver
from anima.wire.events import Stimulus, event
from anima.wire.memories import bare

QUERY_CHARS_MAX = 2_000  # what stands behind them is a document, not a question
_HITS_MAX = 200
_RECALLED_MAX = 12  # hits that are looked at before a turn
_GOALS_MAX = 2  # goals that bring something to mind, the newest
_GOAL_WEIGHT = 0.6  # of what a goal brings to mind, beside what the message does
_EPISODIC = ("episode", "fact")
_ALL_BUT_SNAPSHOTS = (*_EPISODIC, "goal1", "goal2", "pin")  # these say again, in fewer words, what is found where it was said
_log = logging.getLogger(__name__)


class Finder:
    """Asks the store, by words and by vectors."""

    def __init__(self, bus: Bus, store: Store, scribe: Scribe, weaver: Weaver, moods: Moods, desk: Desk) -> None:
        self._bus = bus
        self._store = store
        self._scribe = scribe
        self._weaver = weaver
        self._moods = moods
        self._desk = desk
        self._loading = asyncio.Lock()

    def verbs(self) -> dict[str, Answer]:
        """What is answered here."""
        return {"search": self.search, "recall": self.recall, "stats": self.stats, "reached": self.reached} | {
            "reindex": self.reindex
        }

    async def search(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The memories that fit a query best: {"query", "hits", "behind", "words_only"}. With `only` those of the session."""
        agent, query = text(asked, "agent"), text(asked, "query")
        k, session = int(number(asked, "k", 10, _HITS_MAX)), text(asked, "session", "") or None
        reached = await self._scribe.reached(int(number(asked, "seen", 0)), SETTLED_S)
        explain = bool(asked.get("explain"))
        only = bool(asked.get("only", True))
        lens = Lens(session, only, _ALL_BUT_SNAPSHOTS, since=asked.get("since"), now=time.time())
        hits = await self.find(agent, query, k, lens, explain=explain)
        around = {each.memory.id: self._around(each.memory) for each in hits} if explain else {}
        told = [hit(each.memory, each.score, each.parts if explain else None, around.get(each.memory.id, ())) for each in hits]
        return {"query": query, "hits": told, "behind": not reached, "words_only": self._weaver.why}

    async def find(self, agent: str, query: str, k: int, lens: Lens, *, explain: bool = False) -> list[Hit]:
        """Hits, best first; none for an empty query."""
        shown = query[:QUERY_CHARS_MAX]
        if not shown.strip() or k < 1:
            return []
        with self._weaver.hurried():
            async with self._loading:
                for _ in self._store.load(agent):
                    await asyncio.sleep(0)
            vector = await self._weaver.vector(self._store.asked(agent, shown).meant)
            return self._store.search(agent, shown, k, lens, vector=vector, explain=explain)

    async def recall(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What stands beside the conversation of a message: {"inserts": [[place, name, text]...], "ids"}.

        Waits, `recall_behind_s` at most, until all is remembered that the asker has seen.
        """
        agent = text(asked, "agent")
        occasion = Occasion(
            text(asked, "session"),
            text(asked, "turn", ""),
            int(number(asked, "since", 0)),
            int(number(asked, "tokens_max", 32_000)),
            number(asked, "share", 1.0, 3.0),
        )
        if not await self._scribe.reached(int(number(asked, "seen", 0)), recall_behind_s):
            _log.info("%s is answered from what is remembered so far; %d is not read yet", agent, int(asked["seen"]))
        goals = self.goals(agent, occasion.session)
        found = chosen(await self._hits(agent, text(asked, "text"), goals, occasion), occasion)
        around = {each.id: self._around(each) for each in found[:AROUND_MAX]}
        shown = recalled(found, around, occasion, time.time())
        pins = [each for each in self._desk.pins(agent) if in_sight(each, occasion.session)]
        before = standing(snapshots(self._store, agent, occasion.session), pins, goals, occasion)
        await self._feel(agent, occasion, [each for each in found if bare(each.id) in shown.ids])
        return {"inserts": [*before, *shown.inserts], "ids": shown.ids}

    async def _hits(self, agent: str, said: str, goals: Sequence[Memory], occasion: Occasion) -> list[Hit]:
        """What the message brings to mind, and then what the newest goals do."""
        lens = Lens(occasion.session, kinds=_EPISODIC, mood=await self._moods.of(agent), now=time.time())
        hits = {each.memory.id: each for each in await self.find(agent, said, _RECALLED_MAX, lens)}
        for goal in goals[-_GOALS_MAX:]:
            for each in await self.find(agent, goal.text, _RECALLED_MAX // 3, lens):
                hits.setdefault(each.memory.id, replace(each, score=each.score * _GOAL_WEIGHT))
        return list(hits.values())

    async def _feel(self, agent: str, occasion: Occasion, shown: Sequence[Memory]) -> None:
        """Recalling costs feelings: the strongest mood among what came to mind is felt again, once a turn."""
        moods = [(*felt(each.mood), each) for each in shown]
        stimulus, strength, memory = max(moods, key=lambda each: each[1], default=("", 0.0, None))
        if not stimulus or not occasion.turn or memory is None:
            return
        body = Stimulus(stimulus, strength, f"it came to mind: {memory.text[:100]}")
        id_ = derived_id(occasion.turn, "came to mind")
        said = event(body, agent=agent, session=occasion.session, source=SOURCE, cause=occasion.turn, id=id_)
        try:
            await self._bus.append(said, timeout_s=recall_behind_s)
        except AnimaError as error:
            _log.warning("what %s feels about a memory is not stored: %s", agent, error)

    def goals(self, agent: str, session: str) -> list[Memory]:
        """The goals that are not finished, of this conversation or shared, oldest first."""
        found = self._store.page(agent, Lens(kinds=("goal1", "goal2")), limit=_HITS_MAX)
        return [each for each in found if each.state == "live" and not each.data.get("outcome") and in_sight(each, session)]

    async def stats(self, asked: dict[str, Any]) -> dict[str, Any]:
        """How much there is of everything."""
        agent = text(asked, "agent")
        await self._scribe.reached(int(number(asked, "seen", 0)), SETTLED_S)
        counts = self._store.counts(agent)
        secrets = self._scribe.secrets
        return {"counts": counts, "cursor": self._scribe.cursor, "secrets": secrets, "model": self._weaver.model} | {
            "words_only": self._weaver.why,
            "woven": self._weaver.idle.is_set(),
            "left": self._weaver.left(),
        }

    async def reached(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Wait until everything up to `seq` is remembered: {"reached", "cursor"}."""
        done = await self._scribe.reached(int(number(asked, "seq", 0)), SETTLED_S)
        return {"reached": done, "cursor": self._scribe.cursor}

    async def reindex(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Make all vectors of an agent anew, in the background: {"model"}. Raises Refused if there is no model to make them."""
        if self._weaver.why:
            raise Refused(f"there are no vectors to make anew: {self._weaver.why}")
        if (wanted := text(asked, "model", "")) not in ("", self._weaver.model):
            raise Refused(f"this house runs the embedding model {self._weaver.model}, not {wanted}; choose it in anima.toml")
        self._store.unweave(text(asked, "agent"))
        self._scribe.grown.set()
        return {"model": self._weaver.model}

    def _around(self, memory: Memory) -> list[Memory]:
        """What was said right before and after it."""
        return self._store.around(memory.id, 1) if memory.kind == "episode" else []


def in_sight(memory: Memory, session: str) -> bool:
    """Whether a conversation may know of it."""
    return memory.shared or memory.session in ("", session)
