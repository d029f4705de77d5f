"""An agent's life from another house in this journal: the same events at the same times, and numbers that say the same."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.clock import FakeClock
from anima.errors import BadMessage, Refused
from anima.ids import new_id
from anima.journal.admission import Entry, admit
from anima.journal.adopting import Numbers, adopted_rows, mark, read_history, renumbered
from anima.journal.ledger import Ledger
from anima.journal.numbering import Tip
from anima.limits import page_events_max
from anima.wire.chain import START
from anima.wire.events import (
    AgentAdopted,
    Body,
    Event,
    MemoriesImported,
    ModelCalled,
    SnapshotStored,
    SoulChanged,
    TurnEnded,
    TurnStarted,
    UserMessage,
    decode_event,
    event,
)
from anima.wire.frames import Query

KEPT: dict[str, Any] = {"id": "D1", "ts": 1.0, "session": "", "speaker": "arya", "text": "so it went"}


def life(bodies: Sequence[Body], seqs: Sequence[int], agent: str = "arya") -> list[Event]:
    made = [event(body, agent=agent, session="main", source="cli") for body in bodies]
    return [
        Event(each.id, each.kind, agent, "main", "cli", "", each.data, seq, 100.0 + seq)
        for each, seq in zip(made, seqs, strict=True)
    ]


def entry(text: str, agent: str = "bran") -> Entry:
    return admit([event(UserMessage(text), agent=agent, session="main", source="cli").encode()])[0]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(tmp_path / "journal.db", FakeClock())
    ledger.append([[entry("first"), entry("second")]])
    yield ledger
    ledger.close()


def rows(ledger: Ledger, agent: str = "arya") -> list[Event]:
    _, _, found = ledger.read(Query(agent=agent, limit=page_events_max))
    return [decode_event(blob, seq, ts) for seq, ts, blob, _ in found]


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 1_000), st.integers(0, 70), st.integers(0, 70))
def test_what_lies_between_two_numbers_lies_between_the_new_ones(old: set[int], start: int, since: int, until: int) -> None:
    """A range of seqs means the same events of the agent before and after, whether or not its ends are events of it."""
    seqs = sorted(old)
    numbers = Numbers(seqs, start)
    fresh = {seq: start + place for place, seq in enumerate(seqs)}
    assert [numbers.until(seq) for seq in seqs] == [numbers.since(seq) for seq in seqs] == list(fresh.values())
    if since:  # from here on
        assert [seq for seq in seqs if seq >= since] == [seq for seq in seqs if fresh[seq] >= numbers.since(since)]
    if until:  # up to here
        assert [seq for seq in seqs if seq <= until] == [seq for seq in seqs if fresh[seq] <= numbers.until(until)]
    assert numbers.since(0) == numbers.until(0) == 0, "none stays none"


def test_every_number_in_an_event_is_told_anew() -> None:
    numbers = Numbers([3, 7, 20, 21, 40], 101)  # 3 -> 101, 7 -> 102, 20 -> 103, 21 -> 104, 40 -> 105

    def told(body: Body) -> dict[str, Any]:
        return renumbered(life([body], [40])[0], numbers).data

    assert told(TurnStarted("t", 7, 1))["message_seq"] == 102
    ended = told(TurnEnded("t", 7, "answered", settled_seq=19))  # the seq before the next message, of somebody else
    assert (ended["message_seq"], ended["settled_seq"]) == (102, 102)
    stored = told(SnapshotStored(1, "so it went", 4, 22, "extract"))
    assert (stored["since"], stored["until"]) == (102, 105)
    assert told(SoulChanged({}, "because", basis=21))["basis"] == 104
    assert told(ModelCalled("t", 1, "m", 1, 1, 0.1, layout=[7, 0, 20, 2, 500]))["layout"] == [102, 0, 103, 2, 500]
    assert told(ModelCalled("t", 1, "m", 1, 1, 0.1))["layout"] == []
    snapshot = KEPT | {"sort": "snapshot1", "data": {"since": 3, "until": 40}}
    imported = MemoriesImported([snapshot, KEPT | {"data": {"since": 3}}, KEPT])
    assert [row.get("data") for row in told(imported)["rows"]] == [{"since": 101, "until": 105}, {"since": 3}, None]
    assert told(UserMessage("7 is a number")) == {"text": "7 is a number"}


def test_a_life_is_taken_whole_with_its_ids_and_times_and_the_journal_goes_on(ledger: Ledger) -> None:
    events = life([UserMessage("hi"), TurnStarted("t", 5, 1), TurnEnded("t", 5, "answered", settled_seq=9)], [5, 6, 9])
    newest = ledger.adopt(events)
    assert newest is not None
    assert (newest.seq, newest.previous) == (6, 5)
    told = rows(ledger)
    assert [each.seq for each in told] == [3, 4, 5, 6]
    assert told[0].body == AgentAdopted(3, 6)
    assert told[0].id == mark(events[0].id)
    assert [(each.id, each.ts, each.kind) for each in told[1:]] == [(each.id, each.ts, each.kind) for each in events]
    assert told[3].body == TurnEnded("t", 4, "answered", settled_seq=6)
    commit = ledger.append([[entry("third"), entry("here", "arya")]])
    assert commit.told[0].ts >= 1_700_000_000, "the clock of this house goes on"
    assert commit.told[1].previous == 6
    assert ledger.verify(0, 100) == (8, "")
    ledger.close()
    again = Ledger.open(ledger.path, FakeClock())
    assert (again.tip.seq, again.tip.heads) == (8, {"arya": 8, "bran": 7})
    again.close()


def test_a_life_that_is_here_is_not_taken_twice_nor_mixed_with_another(ledger: Ledger) -> None:
    events = life([UserMessage("hi"), UserMessage("ho")], [5, 6])
    ledger.adopt(events)
    assert ledger.adopt(events) is None
    assert ledger.tip.seq == 5
    with pytest.raises(Refused, match="at another time; two lives"):
        ledger.adopt([*events, *life([UserMessage("and then")], [7])])
    with pytest.raises(Refused, match="bran has lived in this house already; two lives"):
        ledger.adopt(life([UserMessage("hi")], [1], "bran"))
    known = event(UserMessage("x"), agent="carl", session="main", source="cli", id=events[1].id)
    other = Event(known.id, known.kind, "carl", "main", "cli", "", known.data, 9, 1.0)
    with pytest.raises(Refused, match="in this journal already"):
        ledger.adopt([*life([UserMessage("hi")], [8], "carl"), other])
    assert ledger.tip.seq == 5, "all or nothing"
    assert ledger.append([[entry("next")]]).places == [[(6, True)]]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("model_called", {"layout": [1]}),
        ("model_called", {"layout": ["a", 0, 1, 2, 500]}),
        ("model_called", {"layout": 7}),
        ("turn_started", {"message_seq": "7"}),
        ("turn_ended", {"settled_seq": None}),
        ("snapshot_stored", {"since": []}),
        ("soul_changed", {"basis": {}}),
        ("memories_imported", {}),
        ("memories_imported", {"rows": 1}),
        ("memories_imported", {"rows": [1]}),
        ("memories_imported", {"rows": [{}]}),
        ("memories_imported", {"rows": [KEPT | {"text": 5}]}),
        ("memories_imported", {"rows": [KEPT | {"ts": float("nan")}]}),
        ("memories_imported", {"rows": [KEPT | {"ts": 2**64 - 1}]}),
        ("memories_imported", {"rows": [KEPT | {"id": ""}]}),
        ("memories_imported", {"rows": [KEPT | {"sort": []}]}),
        ("memories_imported", {"rows": [KEPT | {"mood": {"dopamine": "high"}}]}),
        ("memories_imported", {"rows": [KEPT | {"sort": "snapshot1", "data": {"since": "3"}}]}),
        ("memories_imported", {"rows": [KEPT | {"data": {"secrets": 5}}]}),
        ("memories_imported", {"rows": [KEPT | {"data": {"x": b"bytes"}}]}),
    ],
    ids=str,
)
def test_a_history_with_a_malformed_event_is_refused_and_the_journal_lives_on(
    kind: str, data: dict[str, Any], ledger: Ledger
) -> None:
    events = life([UserMessage("hi"), UserMessage("ho")], [5, 6])
    events[1] = Event(events[1].id, kind, "arya", "main", "cli", "", data, 6, 106.0)
    with pytest.raises(BadMessage, match=f"event 6 of the history, {kind}, is malformed"):
        ledger.adopt(events)
    assert ledger.tip.seq == 2, "all or nothing"
    assert ledger.append([[entry("next")]]).places == [[(3, True)]]


def test_no_time_lies_in_the_future() -> None:
    events = life([UserMessage("hi")], [5])
    (_, told) = adopted_rows(events, Tip(7, 50.0, START), now=60.0)
    assert told[2] == 60.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\xc1 nonsense", "cannot be read|is a row"),
        (msgpack.packb([1, 2.0]), "is a row"),
        (msgpack.packb([1, 2.0, b"nonsense"]), "not an event"),
        (msgpack.packb({"a": 1}), "is a row"),
    ],
)
def test_a_file_that_is_no_history_is_a_bad_message(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(content)
    with pytest.raises(BadMessage, match=said):
        read_history(tmp_path / "history", "arya")


def test_a_history_is_of_one_agent_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "history"

    def packed(events: Sequence[Event]) -> Path:
        file.write_bytes(b"".join(msgpack.packb([each.seq, each.ts, each.encode()]) for each in events))
        return file

    events = life([UserMessage(new_id()) for _ in range(3)], [2, 5, 6])
    assert read_history(packed(events), "arya") == events
    with pytest.raises(BadMessage, match="of 'arya', not of bran"):
        read_history(file, "bran")
    with pytest.raises(BadMessage, match="stands before an earlier one"):
        read_history(packed([events[1], events[0]]), "arya")
    with pytest.raises(BadMessage, match="cannot be read"):
        read_history(tmp_path / "away", "arya")
    file.write_bytes(msgpack.packb([2, float("nan"), events[0].encode()]))
    with pytest.raises(BadMessage, match="event 2 of the history has no time"):
        read_history(file, "arya")
