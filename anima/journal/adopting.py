"""The history of an agent that lived elsewhere, made rows of this journal: its ids and times stay, its numbers are given anew.

Events speak of each other by id, but for a few that name a seq; those are the ones rewritten here. A number that is none of
the agent's own events becomes the one nearest before it, or for what begins somewhere, nearest after. Pure, but for reading.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack

from anima.errors import BadMessage
from anima.ids import derived_id
from anima.journal.admission import admit
from anima.journal.numbering import NewRow, Tip
from anima.limits import event_bytes_max
from anima.wire.chain import link
from anima.wire.events import AgentAdopted, Event, decode_event, event
from anima.wire.memories import SORTS, check_row

Rewrite = Callable[[dict[str, Any], "Numbers"], dict[str, Any]]
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Numbers:
    """From the seqs of the old house, rising, to those of this one, dense from `start`. 0 means none and stays."""

    old: Sequence[int]
    start: int

    def until(self, seq: int) -> int:
        """The new seq of the agent's event at `seq`, or of the last one before."""
        return self.start + bisect_right(self.old, seq) - 1 if seq > 0 else seq

    def since(self, seq: int) -> int:
        """The new seq of the agent's event at `seq`, or of the first one after."""
        return self.start + bisect_left(self.old, seq) if seq > 0 else seq


def read_history(path: Path, agent: str) -> list[Event]:
    """The events in a file of msgpack [seq, ts, blob], oldest first. Raises BadMessage if they are not one agent's life."""
    events: list[Event] = []
    for row in _rows(path):
        if type(row) is not list or [type(each) for each in row] != [int, float, bytes]:
            raise BadMessage("a history is a row of [seq, ts, blob]")
        seq, ts, blob = row
        admit([blob])
        each = decode_event(blob, seq, ts)
        if each.agent != agent:
            raise BadMessage(f"event {seq} of the history is of '{each.agent}', not of {agent}")
        if not math.isfinite(ts):
            raise BadMessage(f"event {seq} of the history has no time")
        if events and (seq <= events[-1].seq or ts < events[-1].ts):
            raise BadMessage(f"event {seq} of the history stands before an earlier one")
        events.append(each)
    if not events:
        raise BadMessage("an empty history")
    return events


def _rows(path: Path) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(max_buffer_size=4 * event_bytes_max, strict_map_key=True)
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                unpacker.feed(data)
                yield from unpacker
    except (OSError, ValueError, msgpack.UnpackException) as error:
        raise BadMessage(f"the history cannot be read: {error}") from error


def mark(first: str) -> str:
    """The id of the `agent_adopted` event of a history that begins with the event of that id."""
    return derived_id(first, "adopted")


def adopted_rows(events: Sequence[Event], tip: Tip, now: float) -> Iterable[NewRow]:
    """The rows of a history after `tip`, one before it that says so; no time lies after `now`."""
    start = tip.seq + 2
    numbers = Numbers([each.seq for each in events], start)
    first, body = events[0], AgentAdopted(len(events), start + len(events) - 1)
    told = event(body, agent=first.agent, source="journal", cause=first.id, id=mark(first.id))
    chain = tip.chain
    for seq, each in enumerate((replace(told, ts=first.ts), *events), start - 1):
        ts, blob = min(each.ts, now), renumbered(each, numbers).encode()
        chain = link(chain, seq, ts, blob)
        yield seq, each.id, ts, each.kind, each.agent, each.session, blob, chain


def renumbered(each: Event, numbers: Numbers) -> Event:
    """The event with every seq that it names told anew. Raises BadMessage if a body that names one is malformed."""
    rewrite = _REWRITTEN.get(each.kind)
    try:
        return replace(each, data=rewrite(each.data, numbers)) if rewrite else each
    except (BadMessage, TypeError, ValueError, KeyError, AttributeError) as error:  # it came from outside: nothing is sure
        raise BadMessage(f"event {each.seq} of the history, {each.kind}, is malformed ({error})") from error


def _turn(data: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    return _changed(data, message_seq=numbers.until, settled_seq=numbers.until)


def _snapshot(data: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    return _changed(data, since=numbers.since, until=numbers.since)  # both are the first of what comes then


def _soul(data: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    return _changed(data, basis=numbers.until)


def _window(data: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    layout = data.get("layout")
    if not layout:
        return data
    if any(type(number) is not int for number in layout):
        raise BadMessage("a layout is whole numbers")
    since, brief, turn, *rest = layout  # see agent/viewport.py
    return {**data, "layout": [numbers.since(since), numbers.until(brief), numbers.until(turn), *rest]}


def _memories(data: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    """Snapshots among them say what they stand for. Whoever keeps memories stumbles over one that is none: see check_row."""
    for row in data["rows"]:
        check_row(row)
    told = [
        {**row, "data": _snapshot(row["data"], numbers)} if row.get("sort") in SORTS[2:4] and row.get("data") else row
        for row in data["rows"]
    ]
    return {**data, "rows": told}


def _changed(data: dict[str, Any], **how: Callable[[int], int]) -> dict[str, Any]:
    return {**data, **{name: new(data[name]) for name, new in how.items() if name in data}}


_REWRITTEN: dict[str, Rewrite] = {
    "turn_started": _turn,
    "turn_ended": _turn,
    "snapshot_stored": _snapshot,
    "soul_changed": _soul,
    "model_called": _window,
    "memories_imported": _memories,
}
