"""`approvals`, `approve`, `deny`, `answer`: what waits for a person, and the person's word."""

import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli.table import duration
from anima.cli.terminal import clean, colour, columns_of, note, width
from anima.cli.words import check_size
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus
    from anima.cli.hands import Row
    from anima.wire.events import Body

_COLOURS = {"safe": "green", "risky": "yellow", "dangerous": "red"}
_TRIES = 20  #: what was just published may not have arrived with the sandbox itself
_PAUSE_S = 0.1
_ASKED = ("approval_asked", "question_asked")
_SETTLED = ("approval_given", "question_answered", "tool_response")

Id = Annotated[str, typer.Argument(help="The call, by the beginning of its id.", show_default=False)]
Always = Annotated[bool, typer.Option("--always", help="Also for every later call of this tool by this agent.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="What the agent is told besides.", show_default=False)]


def approvals(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list; with -f one JSON object per line.")] = False,
) -> None:
    """Show what waits for a person: approvals and questions.

    Any beginning of an id that no other call has names it.

    Example: animactl approvals -f
    """
    home: Home = context.obj
    from anima.cli import hands, live

    hands.check(home)
    if follow:
        live.run(home, lambda bus: _follow(bus, as_json=as_json))
        return
    rows = live.run(home, _waiting)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, default=repr))
    elif not rows:
        note("nothing waits for a person")
    else:
        names = hands.shorten((row["id"] for row in rows), hands.LONG)
        print("\n".join(line for row in rows for line in lines(row, names[row["id"]], width(), time.time())))
        note("decide with `animactl approve ID` or `animactl deny ID`, answer with `animactl answer ID TEXT`")


def approve(context: typer.Context, id: Id, always: Always = False, reason: Reason = "") -> None:  # noqa: A002
    """Let a call that waits for you be carried out.

    Example: animactl approve 0193a1b2 --always
    """
    _decide(context.obj, id, granted=True, always=always, reason=reason)


def deny(context: typer.Context, id: Id, always: Always = False, reason: Reason = "") -> None:  # noqa: A002
    """Refuse a call that waits for you.

    Example: animactl deny 0193a1b2 --reason "not on a Sunday"
    """
    _decide(context.obj, id, granted=False, always=always, reason=reason)


def answer(
    context: typer.Context,
    id: Id,  # noqa: A002 - as in all commands
    text: Annotated[str, typer.Argument(help="What to answer.", show_default=False)],
) -> None:
    """Answer a question that an agent has asked you.

    Example: animactl answer 0193a1b2 "the blue one"
    """
    home: Home = context.obj
    if not text.strip():
        raise Refused("an empty text is no answer; the agent goes on waiting")
    check_size(len(text.encode(errors="replace")))
    from anima.cli import live
    from anima.wire.events import QuestionAnswered

    async def do(bus: "Bus") -> "Row":
        row = await _find(bus, id, "question")
        await settle(bus, row, QuestionAnswered(row["id"], text.encode(errors="replace").decode()))
        return row

    _check(home)
    row = live.run(home, do)
    print(f"answered {row['agent']} in session {clean(row['session'])}; it goes on")


def lines(row: "Row", name: str, columns: int, now: float) -> list[str]:
    """What is asked, by whom, how long ago, and what would be done, for a terminal of that width."""
    from anima.cli.demands import question_lines
    from anima.cli.readable import in_full

    place = clean(f"{row['agent']}/{row['session']}")
    since = f"for {duration(now - row['since'])}" if row["since"] else "for a moment"
    question = row["kind"] == "question"
    wanted = "question" if question else f"{clean(row['tool'])}, {row['risk']}"
    painted = wanted if question else f"{clean(row['tool'])}, {colour(row['risk'], _COLOURS.get(row['risk'], 'grey'))}"
    head = f"{name}  {wanted}  {place}  {since}"
    fits = columns_of(head) <= columns
    shown = [f"{name}  {painted}  {place}  {since}"] if fits else [f"{name}  {painted}", f"  {place} {since}"]
    body = question_lines(row["question"], row["choices"], columns) if question else in_full(row["args"], columns)
    return [*shown, *body]


def _decide(home: Home, wanted: str, *, granted: bool, always: bool, reason: str) -> None:
    check_size(len(reason.encode(errors="replace")))
    from anima.cli import live
    from anima.wire.events import ApprovalGiven

    async def do(bus: "Bus") -> "Row":
        row = await _find(bus, wanted, "approval")
        why = reason.encode(errors="replace").decode()
        await settle(bus, row, ApprovalGiven(row["id"], granted, always, row["tool"] if always else "", why))
        return row

    _check(home)
    row = live.run(home, do)
    tool, agent = clean(row["tool"]), row["agent"]
    said = f"approved {tool} of {agent}; it is carried out now" if granted else f"denied {tool} of {agent}; it is told so"
    later = f", and so is every later call of {tool} by {agent}" if always else ""
    print(said + later)


def _check(home: Home) -> None:
    from anima.cli import hands

    hands.check(home)


async def _waiting(bus: "Bus") -> list["Row"]:
    from anima.cli import hands

    told = await hands.ask_on(bus, "waiting")
    rows: list[Row] = sorted(told["waiting"], key=lambda row: row["since"])
    return rows


async def _find(bus: "Bus", wanted: str, kind: str) -> "Row":
    """The call that waits for this kind of word. Raises Refused with what it is instead.

    A beginning that a settled call has as well is refused: it may have been read off that one, and a word must not
    reach a call that nobody looked at.
    """
    from anima.cli import hands

    row = hands.pick(await _waiting(bus), wanted)
    if row is None or row["id"] != wanted:
        known = (await hands.ask_on(bus, "intents"))["intents"]
        if row is None:
            raise hands.nothing_named(wanted, known, "`animactl approvals`")
        hands.pick([row, *(each for each in known if each["id"] != row["id"])], wanted)
    if row["kind"] != kind:
        other = "answer ID TEXT" if row["kind"] == "question" else "approve ID` or `animactl deny ID"
        raise Refused(
            f"{hands.what(row)} is {'a question' if row['kind'] == 'question' else 'no question'}; `animactl {other}`"
        )
    return row


async def settle(bus: "Bus", row: "Row", word: "Body") -> None:
    """Store the person's word, and see that no other came before it: the first one counts. Raises Refused if one did."""
    from anima.cli import hands, live
    from anima.wire.frames import Query

    made = await live.append(bus, word, row["agent"], row["session"])
    since, more = 0, True
    while more:
        page = await bus.read(
            Query(since=since, before=made.seq, agent=row["agent"], session=row["session"], kinds=(made.kind,))
        )
        for each in page.events:
            if each.data.get("intent") == row["id"]:
                kept = f"; what you said about later calls of {clean(row['tool'])} holds" if made.data.get("always") else ""
                raise Refused(f"{hands.what(row)} was decided by somebody else a moment before{kept}")
        since, more = page.events[-1].seq if page.events else since, page.more and bool(page.events)


async def _follow(bus: "Bus", *, as_json: bool) -> None:
    """What waits, then what comes to wait, for ever; and what was decided about it."""
    from anima.cli import hands
    from anima.wire.frames import Query

    head = (await bus.read(Query(newest=True, limit=1))).head
    shown: dict[str, str] = {}

    def show(row: "Row") -> None:
        shown[row["id"]] = hands.shorten([*shown, row["id"]], hands.LONG)[row["id"]]
        if as_json:
            print(json.dumps(row, ensure_ascii=False, default=repr), flush=True)
        else:
            print("\n".join(lines(row, shown[row["id"]], width(), time.time())), flush=True)

    for row in await _waiting(bus):
        show(row)
    async for kind, intent, data in _news(bus, head):
        if kind in _ASKED and intent not in shown:
            if found := await _appears(bus, intent):
                show(found)
        elif kind in _SETTLED and (name := shown.pop(intent, "")) and not as_json:
            note(f"{name} {_outcome(kind, data)}")


async def _news(bus: "Bus", since: int) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """Kind, intent and data of every event about what waits."""
    from anima.wire.events import Event

    async for item in bus.follow(since=since):
        if isinstance(item, Event) and item.kind in (*_ASKED, *_SETTLED):
            yield item.kind, str(item.data.get("intent", "")), item.data


async def _appears(bus: "Bus", intent: str) -> "Row | None":
    """What the sandbox tells of a call that was just asked about; None if it is settled already."""
    import asyncio

    for _ in range(_TRIES):
        for row in await _waiting(bus):
            if row["id"] == intent:
                return row
        await asyncio.sleep(_PAUSE_S)
    return None


def _outcome(kind: str, data: dict[str, Any]) -> str:
    if kind == "approval_given":
        return "approved" if data.get("granted") else "denied"
    return "answered" if kind == "question_answered" else str(data.get("outcome", "settled"))
