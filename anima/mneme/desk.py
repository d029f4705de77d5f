"""Who asks about memories, or wants them changed, asks here: commands, the sandbox for the tools, the agent before a turn.

Whatever is wished becomes an event first and a memory when it comes back from the journal; the answer waits for that, so
whoever was answered finds what it told.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from anima.bus.bus import Answer, Bus
from anima.errors import BadMessage, Refused
from anima.ids import derived_id, new_id
from anima.mneme.facts import compare
from anima.mneme.folding import Wish
from anima.mneme.importing import batch_id, read_row
from anima.mneme.memory import Lens, Memory
from anima.mneme.scribe import Scribe
from anima.mneme.secrets import cleaned
from anima.mneme.store import Store
from anima.mneme.views import full, number, row, text
from anima.mneme.weaver import Weaver
from anima.wire.events import Body, Event, MemoriesImported, MemoryChanged, MemoryStored, event
from anima.wire.frames import pack
from anima.wire.memories import CHANGED, bare, check_said, key

SOURCE = "mneme"
SETTLED_S = 5.0  # so long an answer waits at most until what it tells of can be found
FACT_CHARS_MAX = 4_000
_PACK_BYTES = 48 * 1024  # of an event with imported memories: published whole, see limits.doorbell_bytes_min
_PAGE_MAX = 1_000
_PAGE_BYTES_MAX = 1_000_000
_NEAR = 12  # facts a new one is compared with
_log = logging.getLogger(__name__)


class Desk:
    """Answers, and makes events of wishes."""

    def __init__(self, bus: Bus, store: Store, scribe: Scribe, weaver: Weaver) -> None:
        self._bus = bus
        self._store = store
        self._scribe = scribe
        self._weaver = weaver
        scribe.grant = self.grant

    def verbs(self) -> dict[str, Answer]:
        """What is answered here; searching and recalling is anima/mneme/finder.py's."""
        return {
            "page": self.page,
            "show": self.show,
            "import": self.import_lines,
            "remember": self.remember,
            "change": self.change,
            "pin": self.pin,
        }

    # -- looking ---------------------------------------------------------------------------------------------------------

    async def page(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Memories in the order of time: {"rows", "more"}; the next page is asked for with the last id as `after`."""
        agent, after = text(asked, "agent"), text(asked, "after", "")
        limit = int(number(asked, "limit", 100, _PAGE_MAX))
        session = asked.get("session") or None
        lens = Lens(session, only_session=True, kinds=tuple(asked.get("sorts") or ()), since=asked.get("since"))
        await self._scribe.reached(int(number(asked, "seen", 0)), SETTLED_S)
        found = self._store.page(agent, lens, after_id=key(agent, after) if after else "", limit=limit)
        make = full if asked.get("full") else row
        rows: list[dict[str, Any]] = []
        size = 0
        for memory in found:
            size += len(memory.text.encode()) + 300
            if rows and size > _PAGE_BYTES_MAX:
                break
            rows.append({**make(memory), "state": memory.state} if memory.state == "forgotten" else make(memory))
        return {"rows": rows, "more": len(rows) == limit or len(rows) < len(found)}

    async def show(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One memory, what it superseded or was superseded by, and what was said around it. Raises Refused if there is none."""
        await self._scribe.reached(int(number(asked, "seen", 0)), SETTLED_S)
        memory = self._memory(text(asked, "agent"), text(asked, "id"))
        trail = self._store.get([memory.by]) if memory.by else []
        around = self._store.around(memory.id, int(number(asked, "around", 2, 50))) if memory.kind == "episode" else []
        return {"memory": full(memory), "by": [full(each) for each in trail], "around": [full(each) for each in around]}

    # -- wishes ----------------------------------------------------------------------------------------------------------

    async def remember(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Keep a fact: {"id", "how", "old"}; `how` is new, again or instead. Raises Refused if it is a secret, or empty."""
        agent, session = text(asked, "agent"), text(asked, "session", "")
        said = cleaned(" ".join(text(asked, "text").split()), self._scribe.secret_values)
        if not said.text:
            raise Refused("there is nothing to remember in an empty text")
        if len(said.text) > FACT_CHARS_MAX:
            raise Refused(f"a fact has at most {FACT_CHARS_MAX:,} characters, not {len(said.text):,}; keep it shorter")
        if said.found:
            self._scribe.secrets += len(said.found)
        if said.bare:
            raise Refused(f"that is a secret ({', '.join(said.found)}) and is not kept; keep secrets in secrets.toml")
        id_, cause = text(asked, "key", "") or new_id(), text(asked, "cause", "")
        if told := self._store.get([key(agent, id_)]):  # the answer got lost, the wish did not
            return {"id": id_, "how": "new", "old": "", "kept": told[0].text, "seq": told[0].seq}
        importance, shared = number(asked, "importance", 0.5, 1.0), bool(asked.get("shared", False))
        old, how = text(asked, "replaces", ""), "instead"
        if old:
            old = bare(self._memory(agent, old).id)
        else:
            known = compare(said.text, self._near(agent, session, said.text))
            old, how = bare(known.memory), {"against": "instead", "new": "new"}.get(known.sort, "again")
        body: Body = MemoryStored(said.text, "fact", importance, shared, text(asked, "speaker", ""), old)
        if how == "again":
            body = MemoryChanged(old, {"again": True}, f"said again: {said.text[:200]}")
        hurried = bool(asked.get("hurried"))
        stored = await self._store_event(body, agent, session, cause, id_, hurried=hurried)
        found = self._store.get([key(agent, old)]) if old else []
        left = {"id": old if how == "again" else id_, "how": how, "old": found[0].text if found else "", "kept": said.text}
        return {**left, "seq": stored}

    async def grant(self, wish: Wish) -> None:
        """Keep what an answer wished to have kept; what cannot be is said in the log."""
        about = {"agent": wish.agent, "session": wish.session, "text": wish.text, "key": wish.id, "speaker": wish.agent}
        try:
            await self.remember({**about, "cause": wish.id, "hurried": True})
        except (Refused, BadMessage) as error:
            _log.warning("what %s wished to remember is not kept: %s", wish.agent, error)

    async def change(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Edit, share or forget a memory: `changes` as in memory_changed. Raises Refused if there is none such."""
        agent = text(asked, "agent")
        memory, changes = self._memory(agent, text(asked, "id")), _changes(asked.get("changes"))
        self._may(memory, asked)
        if "text" in changes:
            said = cleaned(changes["text"], self._scribe.secret_values)
            if not said.text.strip() or said.bare:
                raise Refused("the new text is empty, or a secret; to let go of a memory, forget it")
            changes["text"] = said.text
        body = MemoryChanged(bare(memory.id), changes, text(asked, "reason", ""))
        about = (agent, memory.session, text(asked, "cause", ""))
        seq = await self._store_event(body, *about, text(asked, "key", "") or new_id())
        return {"id": bare(memory.id), "text": memory.text, "seq": seq}

    async def pin(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Always show a memory, or a text of its own, to the model; with `off` no longer."""
        agent, session = text(asked, "agent"), text(asked, "session", "")
        key_, cause = text(asked, "key", "") or new_id(), text(asked, "cause", "")
        wanted = text(asked, "id", "")
        if asked.get("off"):
            return await self._unpin(agent, session, wanted, key_, cause)
        memory = self._memory(agent, wanted) if wanted else None
        told = cleaned(memory.text if memory else text(asked, "text"), self._scribe.secret_values)
        if not told.text.strip() or told.bare:
            raise Refused("what is pinned has a text, and is no secret")
        shared = memory.shared if memory else bool(asked.get("shared", False))
        body = MemoryStored(told.text, "pin", 1.0, shared, about=bare(memory.id) if memory else "")
        await self._store_event(body, agent, memory.session if memory else session, cause, key_)
        return {"id": key_, "text": told.text}

    async def _unpin(self, agent: str, session: str, wanted: str, key_: str, cause: str) -> dict[str, Any]:
        memory = self._memory(agent, wanted)
        pins = [each for each in self.pins(agent) if each.data.get("about") == bare(memory.id) or each.id == memory.id]
        if not pins:
            raise Refused(f"{wanted} is not pinned")
        for place, each in enumerate(pins):
            forgotten = MemoryChanged(bare(each.id), {"state": "forgotten"}, "no longer pinned")
            await self._store_event(forgotten, agent, session, cause, derived_id(key_, "unpin", place))
        return {"id": bare(memory.id), "text": memory.text}

    def pins(self, agent: str) -> list[Memory]:
        """What is pinned for an agent, oldest first."""
        return [each for each in self._store.page(agent, Lens(kinds=("pin",)), limit=_PAGE_MAX) if each.state == "live"]

    # -- a life lived elsewhere ------------------------------------------------------------------------------------------

    async def import_lines(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take lines of a file, [[number, line], ...]: {"new", "known", "secrets", "wrong": [[number, sentence]], "seq"}.

        They are durable when this answers, and searchable by words unless this process is behind by more than SETTLED_S.
        """
        agent, origin, shared = text(asked, "agent"), text(asked, "origin", ""), bool(asked.get("shared", True))
        lines = asked.get("lines")
        if not isinstance(lines, list):
            raise BadMessage('"lines" is a list of [number, line]')
        with self._weaver.hurried():
            return await self._import(agent, lines, origin, shared=shared)

    async def _import(self, agent: str, lines: Sequence[Any], origin: str, *, shared: bool) -> dict[str, Any]:
        rows, wrong, secrets = self._read(lines, shared=shared)
        known = {bare(each.id) for each in self._store.get([key(agent, id_) for id_ in rows])}
        new = [each for id_, each in rows.items() if id_ not in known]
        seq = 0
        for packed in _packed(new):
            body = MemoriesImported(packed, origin)
            (stored,) = await self._bus.append(_said(body, agent, "", "", batch_id(agent, [each["id"] for each in packed])))
            seq = max(seq, stored.seq)
        self._scribe.secrets += secrets
        settled = await self._scribe.reached(seq, SETTLED_S)
        told = {"new": len(new), "known": len(lines) - len(new) - len(wrong), "secrets": secrets, "wrong": wrong}
        return {**told, "seq": seq, "settled": settled}

    def _read(self, lines: Sequence[Any], *, shared: bool) -> tuple[dict[str, dict[str, Any]], list[list[Any]], int]:
        rows: dict[str, dict[str, Any]] = {}
        wrong: list[list[Any]] = []
        secrets = 0
        for number_, line in lines:
            try:
                found = read_row(str(line), shared=shared)
            except BadMessage as error:
                wrong.append([number_, str(error)])
                continue
            said = cleaned(found["text"], self._scribe.secret_values)
            secrets += len(said.found)
            rows.setdefault(found["id"], {**found, "text": said.text})
        return rows, wrong, secrets

    # -- how -------------------------------------------------------------------------------------------------------------

    def _near(self, agent: str, session: str, said: str) -> list[tuple[str, str]]:
        """The facts in view of the session that have words in common with this one."""
        lens = Lens(session or None, kinds=("fact",))
        return [(hit.memory.id, hit.memory.text) for hit in self._store.search(agent, said, _NEAR, lens)]

    def _memory(self, agent: str, wanted: str) -> Memory:
        found = self._store.get([key(agent, wanted)])
        if not found or found[0].state == "forgotten":
            raise Refused(f"{agent} has no memory '{wanted[:60]}'; `animactl memory list {agent}` shows those there are")
        return found[0]

    def _may(self, memory: Memory, asked: Mapping[str, Any]) -> None:
        """Refuse a model what is not in view of its conversation."""
        session = asked.get("within")
        if session is not None and memory.session not in ("", session) and not memory.shared:
            raise Refused(f"there is no memory '{bare(memory.id)[:60]}' in this conversation")

    async def _store_event(self, body: Body, agent: str, session: str, cause: str, id_: str, *, hurried: bool = False) -> int:
        """Store it; found by whoever looks for it when this returns, unless this process is far behind."""
        (stored,) = await self._bus.append(_said(body, agent, session, cause, id_))
        await self._scribe.reached(0 if hurried else stored.seq, SETTLED_S)
        return stored.seq


def _said(body: Body, agent: str, session: str, cause: str, id_: str) -> Event:
    return event(body, agent=agent, source=SOURCE, session=session, cause=cause, id=id_)


def _packed(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows in lists that fit one event each."""
    lists: list[list[dict[str, Any]]] = []
    size = _PACK_BYTES
    for each in rows:
        weight = len(pack(each))
        if size + weight > _PACK_BYTES:
            lists.append([])
            size = 0
        lists[-1].append(each)
        size += weight
    return lists


def _changes(told: Any) -> dict[str, Any]:
    """The changes somebody asks for. Raises BadMessage for what cannot be changed."""
    if not isinstance(told, dict) or not told or set(told) - set(CHANGED):
        raise BadMessage(f"what can be changed is {', '.join(CHANGED)}")
    check_said(told)
    if told.get("state", "forgotten") != "forgotten":
        raise BadMessage("state can only become forgotten")
    return dict(told)
