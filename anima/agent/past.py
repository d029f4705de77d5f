"""A turn that is over, as the journal knows it: what was asked, what the model was shown and said, what came of its calls.

Where no record is kept of a call, what was said is made up from the events of the turn: the words and the calls, not how
they came.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anima.agent.shelf import Finder
from anima.agent.spelling import digest, packed, parts_of, read_deltas, unpacked, whole
from anima.bus.bus import Bus
from anima.errors import BadMessage, Refused
from anima.nous.model import Call, Delta, Done, Request, Text, Thinking
from anima.wire.events import (
    AgentMessage,
    BroughtToMind,
    Event,
    ModelCalled,
    ModelRecorded,
    Reflected,
    ToolCall,
    ToolResponse,
    TurnEnded,
    TurnStarted,
)
from anima.wire.frames import Query

EARLIER_EVENTS_MAX = 20_000  # of the session, before the turn; no window holds more
USAGE_EVENTS = 50  # calls of models, of all sessions
ID_CHARS_MIN = 6  # a shorter beginning of an id is mostly a slip


@dataclass(frozen=True)
class Played:
    """One call of a model, as it was."""

    step: int
    round: int  #: 0 for thinking; n for the judgement of draft n
    deltas: tuple[Delta, ...]
    model: str
    error: str = ""  #: class and sentence, if the call failed
    request: Request | None = None  #: None: not recorded, or the record is gone
    digest: str = ""  #: of the request
    about: dict[str, Any] = field(default_factory=dict)
    missing: str = ""  #: why there is no request, a sentence


@dataclass
class Past:
    """One turn."""

    message: Event
    earlier: list[Event] = field(default_factory=list)  #: of its session, up to where it began, itself included
    own: list[Event] = field(default_factory=list)  #: of the turn
    ended: TurnEnded | None = None
    answer: str = ""

    def calls(self) -> dict[str, ToolCall]:
        """Its tool calls by intent, in order."""
        found = {each.id: body for each in self.own if isinstance(body := each.body, ToolCall)}
        return dict(sorted(found.items(), key=lambda item: (item[1].step, item[1].place)))

    def responses(self) -> dict[str, ToolResponse]:
        """What came of them, by intent."""
        return {body.intent: body for each in self.own if isinstance(body := each.body, ToolResponse) and body.intent}

    def minds(self) -> list[BroughtToMind]:
        """What was in mind, in the order it was stored."""
        return [body for each in self.own if isinstance(body := each.body, BroughtToMind)]

    def played(self, records: Path) -> list[Played]:
        """Its calls of models, in the order they were made; `records` is where the agent's parts lie."""
        bodies = [each.body for each in self.own]
        recorded = {(body.step, body.round): body for body in bodies if isinstance(body, ModelRecorded)}
        called = {body.step: body for body in bodies if isinstance(body, ModelCalled)}
        judged = {(body.step, body.round): body for body in bodies if isinstance(body, Reflected)}
        finder, found = Finder(records), []
        for step, round_ in sorted({*recorded, *((step, 0) for step in called), *judged}):
            why = "nothing was recorded of it ([record] on in anima.toml)"
            if record := recorded.get((step, round_)):
                try:
                    found.append(_as_recorded(record, finder))
                    continue
                except Refused as error:
                    why = str(error)
            if round_:
                found.append(_judgement(judged[step, round_], why))
            elif step in called:
                found.append(_as_told(self, called[step], why))
        return found


def _as_recorded(record: ModelRecorded, finder: Finder) -> Played:
    """The call from its parts. Raises Refused if they are gone, damaged or not those of the digest."""
    try:
        listed = unpacked(finder.get(record.shelf, record.request))
        names = {name for value in listed.values() for name in (value if isinstance(value, list) else [value])}
        parts = {name: finder.get(record.shelf, name) for name in names}
        request = whole(listed, parts)
        deltas = read_deltas(finder.get(record.shelf, record.frames))
        about = unpacked(parts[listed["about"]])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Refused(f"the record of step {record.step} in {record.shelf} makes no sense ({error!r})") from None
    if digest_of(request, listed["about"]) != record.request:
        raise Refused(f"step {record.step}: the request put together again has another digest than the one that was sent")
    return Played(record.step, record.round, deltas, record.model, record.error, request, record.request, about)


def digest_of(request: Request, about: str) -> str:
    """The digest a request is recorded under."""
    return digest(packed({**parts_of(request)[0], "about": about}))


def _as_told(past: Past, called: ModelCalled, why: str) -> Played:
    """What a call came to, from its event and those of its tool calls."""
    calls = {call.place: call for call in past.calls().values() if call.step == called.step}
    placed = {int(each.get("place", 0)): each for each in called.refused if each.get("tool")}
    passed = iter([calls[place] for place in sorted(calls)])
    deltas: list[Delta] = [Thinking(**each) for each in called.thoughts]
    last = not calls and not called.refused
    if text := called.text or (past.answer if last else ""):
        deltas.append(Text(text))
    for place in range(len(placed) + len(calls)):
        if each := placed.get(place):
            deltas.append(Call(each["call"], each["tool"], each["args"]))
        else:
            call = next(passed)
            deltas.append(Call(call.call, call.tool, call.args, call.signature, call.by))
    deltas.append(Done(called.stop_reason or "end_turn", called.tokens_in, called.tokens_out, model=called.model))
    return Played(called.step, 0, tuple(deltas), called.model, missing=why)


def _judgement(judged: Reflected, why: str) -> Played:
    said = "good" if judged.verdict == "good" else f"revise: {judged.reason}"
    deltas = (Text(said), Done("end_turn", judged.tokens_in, judged.tokens_out, model=judged.model))
    return Played(judged.step, judged.round, deltas, judged.model, missing=why)


async def find_message(bus: Bus, turn: str) -> Event:
    """The message whose turn is meant: by its number, or by its id or the beginning of it. Raises Refused."""
    if turn.isdigit() and len(turn) < 2 * ID_CHARS_MIN:
        page = await bus.read(Query(since=int(turn) - 1, before=int(turn) + 1, limit=1)) if int(turn) else None
        found = page.events[0] if page and page.events else None
        if found is None:
            raise Refused(f"there is no event {turn}; `animactl events --kind user_message` shows the messages")
        wanted = found.id if found.kind == "user_message" else str(found.data.get("turn") or "")
        if found.kind == "user_message":
            return found
        if not wanted:
            raise Refused(f"event {turn} ({found.kind}) belongs to no turn; name a message or an event of its turn")
        turn = wanted
    if len(turn) < ID_CHARS_MIN:
        raise Refused(
            f"'{turn}' names no turn; give the number of its message, or at least {ID_CHARS_MIN} characters of its id"
        )
    matching = [each async for each in _messages(bus) if each.id.startswith(turn.lower())]
    if len(matching) != 1:
        many = f"{len(matching)} turns begin" if matching else "no turn begins"
        raise Refused(f"{many} with '{turn}'; `animactl events --kind user_message --json` shows their ids")
    return matching[0]


async def _messages(bus: Bus) -> AsyncIterator[Event]:
    before = 0
    while True:
        page = await bus.read(Query(kinds=("user_message",), newest=True, before=before))
        for each in reversed(page.events):
            yield each
        if not page.more or not page.events:
            return
        before = page.events[0].seq


async def read_past(bus: Bus, message: Event) -> Past:
    """All that the journal holds of the turn, and of its session before it. Raises Refused if it was never taken up."""
    past = Past(message)
    since, more, began = message.seq - 1, True, 0
    while more and past.ended is None:
        page = await bus.read(Query(since=since, agent=message.agent, session=message.session))
        for each in page.events:
            since = each.seq
            if each.data.get("turn") != message.id:
                continue
            past.own.append(each)
            try:
                match each.body:
                    case TurnStarted():
                        began = began or each.seq
                    case AgentMessage(text):
                        past.answer = text
                    case TurnEnded() as ended:
                        past.ended = ended
            except BadMessage as error:
                raise Refused(f"event {each.seq} makes no sense ({error}); look at `animactl audit`") from None
        more = page.more and bool(page.events)
    if not began:
        raise Refused(f"the message {message.seq} was not taken up yet; ask again when {message.agent} has answered it")
    past.earlier = await _before(bus, message, began)
    return past


async def _before(bus: Bus, message: Event, began: int) -> list[Event]:
    """The session up to where the turn began, less the turn's own beginning; and what the agent's last calls had cost.

    From their usage an agent learns how many tokens a text has, so they too decide what fits into a window.
    """
    events: list[Event] = []
    before = began
    while True:
        page = await bus.read(Query(agent=message.agent, session=message.session, newest=True, before=before))
        events[:0] = page.events
        if not page.more or not page.events or len(events) >= EARLIER_EVENTS_MAX:
            break
        before = page.events[0].seq
        if before <= message.seq and any(each.kind == "session_cleared" for each in page.events):
            break
    usage = await bus.read(Query(agent=message.agent, kinds=("model_called",), newest=True, limit=USAGE_EVENTS, before=began))
    found = {each.seq: each for each in (*usage.events, *events) if each.data.get("turn") != message.id}
    return [found[seq] for seq in sorted(found)]
