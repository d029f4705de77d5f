"""What a model asks of its memory by its tools, answered in words for it.

The sandbox passes on a call that went through the gate, with its agent, its session and its id; the id makes a wish that is
told again the same event. A model sees what its conversation may see, whatever it asks for.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from anima.bus.bus import Answer, Bus
from anima.errors import Refused
from anima.ids import derived_id
from anima.mneme.desk import SETTLED_S, SOURCE, Desk
from anima.mneme.finder import Finder, in_sight
from anima.mneme.memory import Lens, Memory
from anima.mneme.recalling import told
from anima.mneme.scribe import Scribe
from anima.mneme.secrets import cleaned
from anima.mneme.store import Store
from anima.mneme.views import text
from anima.wire.events import Body, GoalChanged, GoalFinished, GoalSet, Stimulus, event
from anima.wire.memories import bare, key

_WHOLE = 2  # on each side of the middle, told in full
_EDGE_CHARS = 160  # of what is further off
_FULL_CHARS = 8_000

Said = tuple[str, dict[str, Any]]  #: for the model; for programs


class Calls:
    """One verb, `call`: {"agent", "session", "key", "tool", "args"} -> {"text", "data"}."""

    def __init__(self, bus: Bus, store: Store, scribe: Scribe, desk: Desk, finder: Finder) -> None:
        self._bus = bus
        self._store = store
        self._scribe = scribe
        self._desk = desk
        self._finder = finder
        self._tools: dict[str, Callable[[dict[str, Any], dict[str, Any]], Awaitable[Said]]] = {
            "remember": self._remember,
            "recall": self._recall,
            "view_around": self._view_around,
            "forget": self._forget,
            "pin": self._pin,
            "set_goal": self._set_goal,
            "update_goal": self._update_goal,
            "finish_goal": self._finish_goal,
        }

    def verbs(self) -> dict[str, Answer]:
        """What is answered here."""
        return {"call": self.call}

    async def call(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what a tool of memory asks for. Raises Refused, a sentence for the model, if it cannot be done."""
        tool, args = text(asked, "tool"), dict(asked.get("args") or {})
        if tool not in self._tools:
            raise Refused(f"'{tool}' is no tool of memory")
        about = {"agent": text(asked, "agent"), "session": text(asked, "session"), "key": derived_id(text(asked, "key"), tool)}
        said, data = await self._tools[tool](args, {**about, "cause": text(asked, "key")})
        return {"text": said, "data": data}

    async def _remember(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        kept = await self._desk.remember({**about, **args, "speaker": about["agent"]})
        words = {
            "new": f"remembered as {kept['id']}",
            "again": f"you knew that already, as {kept['id']}: {kept['old']}",
            "instead": f"remembered as {kept['id']}; it replaces what you knew: {kept['old']}",
        }
        return words[kept["how"]], {"id": kept["id"], "how": kept["how"]}

    async def _recall(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        now = time.time()
        days, limit = float(args.get("days", 0)), int(args.get("limit", 8))
        since = now - days * 86_400 if days > 0 else None
        lens = Lens(about["session"], since=since, now=now)
        found = await self._finder.find(about["agent"], str(args["query"]), limit, lens)
        if not found:
            return f"nothing comes to mind about '{str(args['query'])[:80]}'", {"recalled": []}
        lines = [told(each.memory, now) for each in found]
        return "\n".join(lines), {"recalled": [bare(each.memory.id) for each in found]}

    async def _view_around(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        memory, now = self._in_sight(about, str(args["memory"])), time.time()
        turns = self._store.around(memory.id, int(args.get("turns", 6)))
        middle = next((place for place, each in enumerate(turns) if each.id == memory.id), 0)
        lines = [
            told(each, now, _FULL_CHARS if abs(place - middle) <= _WHOLE else _EDGE_CHARS) for place, each in enumerate(turns)
        ]
        return "\n".join(lines) or told(memory, now, _FULL_CHARS), {"recalled": [bare(memory.id)]}

    async def _forget(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        reason = str(args.get("reason", ""))
        wanted = {**about, "id": str(args["memory"]), "changes": {"state": "forgotten"}, "within": about["session"]}
        gone = await self._desk.change({**wanted, "reason": reason})
        return f"forgotten: {gone['text'][:200]}", {"id": gone["id"]}

    async def _pin(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        if args.get("memory"):
            self._in_sight(about, str(args["memory"]))
        elif not str(args.get("text", "")).strip():
            raise Refused("give `text`, or the id of a `memory`")
        wanted = {**about, "id": str(args.get("memory", "")), "text": str(args.get("text", "")), "off": bool(args.get("off"))}
        pinned = await self._desk.pin(wanted)
        word = "no longer pinned" if args.get("off") else f"pinned as {pinned['id']}; you will always see it"
        return f"{word}: {pinned['text'][:200]}", {"id": pinned["id"]}

    async def _set_goal(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        said = cleaned(" ".join(str(args["goal"]).split()), self._scribe.secret_values)
        if not said.text or said.bare:
            raise Refused("a goal has words, and is no secret")
        parent = bare(self._goal(about, str(args["parent"])).id) if args.get("parent") else ""
        await self._store_event(GoalSet(said.text, 2 if args.get("long_term") else 1, parent), about)
        return f"your goal {about['key']}: {said.text}", {"id": about["key"]}

    async def _update_goal(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        goal, new, note = self._goal(about, str(args["goal"])), str(args.get("text", "")), str(args.get("note", ""))
        if not (new.strip() or note.strip()):
            raise Refused("say what was done (`note`), or the goal in new words (`text`)")
        clean = [cleaned(" ".join(each.split()), self._scribe.secret_values).text for each in (new, note)]
        await self._store_event(GoalChanged(bare(goal.id), *clean), about)
        return f"noted: {clean[0] or goal.text}{': ' if clean[1] else ''}{clean[1]}", {"id": bare(goal.id)}

    async def _finish_goal(self, args: dict[str, Any], about: dict[str, Any]) -> Said:
        goal, reached = self._goal(about, str(args["goal"])), bool(args.get("reached", True))
        outcome = "reached" if reached else "given_up"
        note = cleaned(str(args.get("note", "")), self._scribe.secret_values).text
        felt = [Stimulus("goal_reached", 1.0, goal.text[:200])] if reached else []
        await self._store_event(GoalFinished(bare(goal.id), outcome, note), about, *felt)
        return f"{'reached' if reached else 'given up'}: {goal.text}", {"id": bare(goal.id), "outcome": outcome}

    # -- how -------------------------------------------------------------------------------------------------------------

    def _in_sight(self, about: dict[str, Any], wanted: str) -> Memory:
        found = self._store.get([key(about["agent"], wanted.strip("[] "))])
        if not found or found[0].state == "forgotten" or not in_sight(found[0], about["session"]):
            raise Refused(f"there is no memory '{wanted[:60]}' in this conversation; recall shows ids in brackets")
        return found[0]

    def _goal(self, about: dict[str, Any], wanted: str) -> Memory:
        goals = self._finder.goals(about["agent"], about["session"])
        found = [each for each in goals if bare(each.id) == wanted.strip("[] ")]
        if not found:
            named = "; ".join(f"{bare(each.id)}: {each.text[:60]}" for each in goals) or "you have none"
            raise Refused(f"you have no open goal '{wanted[:60]}'; your goals: {named}")
        return found[0]

    async def _store_event(self, body: Body, about: dict[str, Any], *beside: Body) -> None:
        """Store it, and what goes with it, in one transaction; found by whoever looks for it when this returns."""
        ids = [about["key"], *(derived_id(about["key"], each.kind) for each in beside)]
        where = {"agent": about["agent"], "session": about["session"], "source": SOURCE, "cause": about["cause"]}
        stored = await self._bus.append(*(event(each, id=id_, **where) for each, id_ in zip((body, *beside), ids, strict=True)))
        await self._scribe.reached(stored[-1].seq, SETTLED_S)
