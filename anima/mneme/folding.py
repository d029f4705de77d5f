"""From events to memories: what each fact of the journal puts into the store, changes in it, or lets go of.

A `Batch` takes events in their order and gathers what they come to; the store takes it in one transaction with the cursor.
An event that is told again changes nothing: every memory has the id of its event, or the one it was imported with.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from anima.ids import derived_id
from anima.mneme.memory import Memory
from anima.mneme.said import SILENT, deed, outcome, speaker_of, wished
from anima.mneme.secrets import cleaned
from anima.wire.events import (
    AgentMessage,
    Event,
    GoalChanged,
    GoalFinished,
    GoalSet,
    MemoriesImported,
    MemoryChanged,
    MemoryStored,
    SessionCleared,
    SnapshotStored,
    ToolCall,
    ToolResponse,
    UserMessage,
)
from anima.wire.memories import CHANGED, MORE, check_row, check_said, key

EPISODE_CHARS_MAX = 20_000  # of what was said at once; what is longer is a document, and stands whole in the journal
DEED_IMPORTANCE = 0.2  # a tool's result is rarely what one wants to know weeks later
AGAIN = 0.1  # how much more important a fact becomes by being said again


class Shelf(Protocol):
    """What is asked of the store while events are folded."""

    def get(self, ids: Sequence[str]) -> list[Memory]:
        """The memories of these ids, those that are there."""
        ...

    def snapshots(self, agent: str, session: str) -> list[Memory]:
        """The snapshots of a session that are shown."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """A `[REMEMBER: ...]` of an answer, still to be looked at as any fact is."""

    agent: str
    session: str
    text: str
    id: str  #: of the event that it will become, the same for ever


class Batch:
    """What some events come to, in order."""

    def __init__(self, shelf: Shelf, secrets: frozenset[str] = frozenset()) -> None:
        self._shelf = shelf
        self._secrets = secrets
        self.put: dict[str, Memory] = {}
        self.change: dict[str, dict[str, Any]] = {}
        self.touched: list[tuple[str, float]] = []
        self.wishes: list[Wish] = []

    def __bool__(self) -> bool:
        return bool(self.put or self.change or self.touched)

    def take(self, event: Event) -> None:
        """Take the next event. Raises BadMessage for a malformed body."""
        match event.body if event.kind in KINDS_FOLDED else None:
            case UserMessage(text):
                self._episode(event, speaker_of(event.source), text)
            case AgentMessage(text):
                said, wishes = wished(text)
                self._episode(event, event.agent, said)
                self.wishes += [
                    Wish(event.agent, event.session, wish, derived_id(event.id, "remember", place))
                    for place, wish in enumerate(wishes)
                ]
            case ToolCall(tool=tool) as call if tool not in SILENT:
                self._episode(event, event.agent, deed(tool, call.args), importance=DEED_IMPORTANCE)
            case ToolResponse() as response:
                self._responded(event, response)
            case _:
                self._made(event)

    def _made(self, event: Event) -> None:
        """What is made of memories, rather than said or done."""
        match event.body if event.kind in KINDS_FOLDED else None:
            case MemoryStored() as stored:
                self._stored(event, stored)
            case MemoryChanged() as changed:
                self._changed(event, changed)
            case MemoriesImported(rows, origin, final):
                for row in rows:
                    self._row(event.agent, row, origin, final=final)
            case SnapshotStored() as snapshot:
                self._snapshot(event, snapshot)
            case SessionCleared():
                for old in self._shelf.snapshots(event.agent, event.session):
                    self._alter(old.id, {"state": "superseded"})
            case _:
                self._goal(event)

    def find(self, id_: str) -> Memory | None:
        """A memory as this batch will leave it."""
        found = [self.put[id_]] if id_ in self.put else self._shelf.get([id_])
        return dataclasses.replace(found[0], **self.change.get(id_, {})) if found else None

    # -- what was said and done ------------------------------------------------------------------------------------------

    def _episode(self, event: Event, speaker: str, text: str, importance: float = 0.5) -> None:
        clean = cleaned(text[:EPISODE_CHARS_MAX], self._secrets)
        if not clean.text.strip():
            return
        data = {"secrets": list(clean.found)} if clean.found else {}
        self._add(event, "episode", clean.text, speaker=speaker, importance=importance, data=data)

    def _responded(self, event: Event, response: ToolResponse) -> None:
        recalled = response.data.get("recalled", []) if response.tool in ("recall", "view_around") else []
        self._touch(event, recalled)
        known = self.find(key(event.agent, response.intent)) if response.intent else None
        if known is not None and known.state == "live":
            word = response.outcome or ("done" if response.ok else "failed")
            clean = cleaned(outcome(str(known.data.get("deed", known.text)), word, response.text), self._secrets)
            data = {**known.data, "deed": known.data.get("deed", known.text)}
            self._alter(known.id, {"text": clean.text, "data": data})

    def _touch(self, event: Event, ids: Any) -> None:
        if isinstance(ids, list):
            self.touched += [(key(event.agent, each), event.ts) for each in ids if isinstance(each, str) and each]

    # -- what is made of memories ----------------------------------------------------------------------------------------

    def _stored(self, event: Event, stored: MemoryStored) -> None:
        check_said({"importance": stored.importance})
        data = {"about": stored.about} if stored.about else {}
        about = {"speaker": stored.speaker, "importance": stored.importance, "shared": stored.shared, "data": data}
        self._add(event, stored.sort if stored.sort in ("fact", "pin") else "fact", stored.text, **about)
        if stored.replaces:
            old = key(event.agent, stored.replaces)
            self._alter(old, {"state": "superseded", "by": key(event.agent, event.id)})

    def _changed(self, event: Event, changed: MemoryChanged) -> None:
        known = self.find(key(event.agent, changed.memory))
        if known is None:
            return
        changes = {name: value for name, value in changed.changes.items() if name in CHANGED}
        check_said(changes)
        if changes.get("state") == "forgotten":
            changes |= {"text": "", "mood": {}, "data": {}}
        if changed.changes.get("again"):
            self.touched.append((known.id, event.ts))
            changes["importance"] = min(1.0, known.importance + AGAIN)
        self._alter(known.id, changes)

    def _row(self, agent: str, row: Any, origin: str, *, final: bool) -> None:
        check_row(row)
        more: dict[str, Any] = {name: row.get(name, usual) for name, (_, usual) in MORE.items()}
        by, kind = more.pop("by"), more.pop("sort")
        memory = Memory(
            id=key(agent, row["id"]),
            agent=agent,
            kind=kind,
            session=row["session"],
            speaker=row["speaker"],
            text=row["text"],
            ts=row["ts"],
            source=origin,
            by=key(agent, by) if by else "",
            **more,
        )
        if final and (known := self.find(memory.id)):
            self.touched = [each for each in self.touched if each[0] != memory.id]  # counted in what it says
            told = {name: getattr(memory, name) for name in ("text", "by", *(set(MORE) - {"by", "sort"}))}
            self._alter(memory.id, {name: value for name, value in told.items() if getattr(known, name) != value})
        else:
            self.put.setdefault(memory.id, memory)

    def _snapshot(self, event: Event, snapshot: SnapshotStored) -> None:
        data = {"since": snapshot.since, "until": snapshot.until, "turns": snapshot.turns, "model": snapshot.model}
        self._add(event, f"snapshot{min(max(snapshot.level, 1), 2)}", snapshot.text, speaker=event.agent, data=data)
        for part in snapshot.of:
            self._alter(key(event.agent, part), {"state": "superseded", "by": key(event.agent, event.id)})

    def _goal(self, event: Event) -> None:
        if event.kind == "brought_to_mind":
            self._touch(event, event.data.get("recalled"))
            return
        match event.body if event.kind.startswith("goal_") else None:
            case GoalSet(text, level, parent):
                data = {"parent": parent} if parent else {}
                self._add(event, f"goal{min(max(level, 1), 2)}", text, speaker=event.agent, importance=0.8, data=data)
            case GoalChanged(goal, text, note) if known := self.find(key(event.agent, goal)):
                noted = [*known.data.get("notes", []), note][-_NOTES_MAX:] if note else known.data.get("notes", [])
                self._alter(known.id, {"data": {**known.data, "notes": noted}, **({"text": text} if text else {})})
            case GoalFinished(goal, how, note) if known := self.find(key(event.agent, goal)):
                self._alter(known.id, {"data": {**known.data, "outcome": how, "end": note}, "importance": 0.5})
            case _:
                pass

    # -- how -------------------------------------------------------------------------------------------------------------

    def _add(self, event: Event, kind: str, text: str, **more: Any) -> None:
        id_ = key(event.agent, event.id)
        about: dict[str, Any] = {"session": event.session, "ts": event.ts, "seq": event.seq}
        about["source"] = event.source if kind == "episode" else event.cause or event.source
        self.put.setdefault(id_, Memory(id=id_, agent=event.agent, kind=kind, text=text, **about, **more))

    def _alter(self, id_: str, changes: dict[str, Any]) -> None:
        if changes:
            self.change.setdefault(id_, {}).update(changes)


_NOTES_MAX = 20  # of a goal; older ones are in the journal

#: Kinds whose body is read here; what brings a memory to mind is known by its kind alone.
KINDS_FOLDED = frozenset(
    {
        "user_message",
        "agent_message",
        "tool_call",
        "tool_response",
        "memory_stored",
        "memory_changed",
        "memories_imported",
        "snapshot_stored",
        "session_cleared",
    }
)
