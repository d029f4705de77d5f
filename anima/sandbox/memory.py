"""What earlier events say that a call needs to know: a person's `always`, and a session's notes. Read when first asked for."""

from collections import OrderedDict

from anima.bus.bus import Bus, Page
from anima.errors import BadMessage
from anima.sandbox.intents import Intents
from anima.wire.events import ApprovalGiven, Event, ToolResponse
from anima.wire.frames import Query

_SESSIONS_MAX = 1_024
_NOTES = "notes"


class Memory:
    """Kept up to date by `apply` once something was asked for; until then the journal is not read for it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._always: dict[str, dict[str, bool]] = {}
        self._notes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._overtaken: dict[str | tuple[str, str], bool] = {}  # by what is read now: whether news of it came meanwhile

    def apply(self, event: Event, intents: Intents) -> None:
        """Take the next event of the journal, before `intents` does. Raises BadMessage for a malformed body."""
        if event.kind == "approval_given":
            if event.agent in self._always:
                _learn(self._always[event.agent], event, intents)
            elif event.agent in self._overtaken:
                self._overtaken[event.agent] = True
        elif event.kind == "tool_response" and (notes := _notes_in(event)) is not None:
            key = (event.agent, event.session)
            if key in self._notes:
                self._notes[key] = notes
            elif key in self._overtaken:
                self._overtaken[key] = True

    async def always(self, agent: str) -> dict[str, bool]:
        """The tools of `agent` a person has decided about for good: True for allowed. The newest word counts."""
        while agent not in self._always:
            self._overtaken[agent] = False
            found = await self._words(agent)
            if not self._overtaken.pop(agent, True):
                self._always[agent] = found
        return self._always[agent]

    async def notes(self, agent: str, session: str) -> str:
        """The scratchpad of a session; "" if nothing was ever written there."""
        key = (agent, session)
        while key not in self._notes:
            self._overtaken[key] = False
            found = await self._newest_notes(agent, session)
            if not self._overtaken.pop(key, True):
                self._notes[key] = found
        self._notes.move_to_end(key)
        if len(self._notes) > _SESSIONS_MAX:
            self._notes.popitem(last=False)
        return self._notes[key]

    async def _words(self, agent: str) -> dict[str, bool]:
        found: dict[str, bool] = {}
        since, more = 0, True
        while more:
            page = await self._read(Query(since=since, agent=agent, kinds=("approval_given",)))
            for event in page.events:
                _learn(found, event, None)
            since, more = page.events[-1].seq if page.events else since, page.more
        return found

    async def _newest_notes(self, agent: str, session: str) -> str:
        before, more = 0, True
        while more:
            query = Query(agent=agent, session=session, kinds=("tool_response",), newest=True, before=before)
            page = await self._read(query)
            for event in reversed(page.events):
                if (notes := _notes_in(event)) is not None:
                    return notes
            before, more = page.events[0].seq if page.events else 0, page.more and bool(page.events)
        return ""

    async def _read(self, query: Query) -> Page:
        return await self._bus.read(query, timeout_s=float("inf"))


def _learn(found: dict[str, bool], event: Event, intents: Intents | None) -> None:
    try:
        word = event.body
    except BadMessage:
        return
    if not isinstance(word, ApprovalGiven) or not word.always:
        return
    intent = intents.find(word.intent) if intents else None
    if tool := word.tool or (intent.call.tool if intent and intent.agent == event.agent else ""):
        found[tool] = word.granted


def _notes_in(event: Event) -> str | None:
    try:
        response = event.body
    except BadMessage:
        return None
    if not isinstance(response, ToolResponse) or response.tool != _NOTES or not response.ok:
        return None
    notes = response.data.get("notes")
    return notes if isinstance(notes, str) else None
