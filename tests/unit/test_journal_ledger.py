"""The ledger: dense numbers, no duplicate, all of a batch or nothing, and every query the same as on a plain list."""

import json
import sqlite3
import string
import uuid
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anima.clock import FakeClock
from anima.errors import BadMessage, ConfigError, Unavailable
from anima.ids import new_id
from anima.journal.admission import admit, read_batch
from anima.journal.ledger import Ledger
from anima.journal.numbering import Tip, plan
from anima.journal.queries import KINDS_MAX, walks
from anima.limits import batch_events_max, page_bytes_max, page_events_max
from anima.wire.chain import START, link
from anima.wire.events import AgentMessage, SessionCleared, UserMessage, decode_event, event
from anima.wire.frames import Query, pack

KINDS = ("user_message", "agent_message", "session_cleared")
BODIES = {"user_message": UserMessage("hello"), "agent_message": AgentMessage("hi"), "session_cleared": SessionCleared()}


def entry(kind="user_message", agent="arya", session="main", name="", text=""):
    body = UserMessage(text) if text else BODIES[kind]
    return admit([event(body, agent=agent, session=session, source="cli", id=name).encode()])[0]


@contextmanager
def ledger_in(folder, clock=None):
    ledger = Ledger.open(folder / "journal.db", clock or FakeClock())
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def ledger(tmp_path):
    with ledger_in(tmp_path) as opened:
        yield opened


def test_events_are_numbered_densely_from_one(ledger):
    commit = ledger.append([[entry(), entry()], [entry(agent="bran")]])
    assert commit.places == [[(1, True), (2, True)], [(3, True)]]
    assert [(told.agent, told.previous, told.seq) for told in commit.told] == [("arya", 0, 1), ("arya", 1, 2), ("bran", 0, 3)]


def test_an_event_sent_again_keeps_its_first_number(ledger):
    first, second = entry(name=new_id()), entry(name=new_id())
    ledger.append([[first]])
    commit = ledger.append([[first, second], [second], [first]])
    assert commit.places == [[(1, False), (2, True)], [(2, False)], [(1, False)]]
    assert ledger.tip.seq == 2
    assert ledger.append([[first, second]]).told == []


def test_what_was_stored_is_there_after_reopening_byte_for_byte(tmp_path):
    sent = [entry(text=str(number)) for number in range(20)]
    with ledger_in(tmp_path) as ledger:
        ledger.append([sent])
        tip = ledger.tip
    with ledger_in(tmp_path) as ledger:
        assert ledger.tip == tip
        assert [row[2] for row in ledger.read(Query())[2]] == [each.blob for each in sent]


def test_time_never_goes_back_in_the_journal_even_if_the_clock_does(tmp_path):
    clock = FakeClock()
    with ledger_in(tmp_path, clock) as ledger:
        ledger.append([[entry()]])
        clock.advance(-500)
        ledger.append([[entry()]])
        (_, first, *_), (_, second, *_) = ledger.read(Query())[2]
        assert first == second == 1_700_000_000.0


def test_the_chain_covers_number_time_and_bytes(ledger):
    ledger.append([[entry(), entry()]])
    chain = START
    for seq, ts, blob, stored in ledger.read(Query())[2]:
        chain = link(chain, seq, ts, blob)
        assert chain == stored
    assert ledger.verify(0, 100) == (2, "")
    assert ledger.verify(1, 100) == (2, "")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE events SET blob = x'00' WHERE seq = 5", "event 5 was changed"),
        ("UPDATE events SET ts = ts + 1 WHERE seq = 6", "event 6 was changed"),
        ("DELETE FROM events WHERE seq = 7", "event 7 is missing"),
        ("DELETE FROM events WHERE seq > 1 AND seq < 9", "event 2 is missing"),
    ],
)
def test_a_row_changed_behind_its_back_is_found_and_the_journal_does_not_open(tmp_path, damage, complaint):
    with ledger_in(tmp_path) as ledger:
        ledger.append([[entry() for _ in range(10)]])
    with sqlite3.connect(tmp_path / "journal.db") as other:
        other.execute(damage)
    other.close()
    with pytest.raises(ConfigError, match=complaint):
        Ledger.open(tmp_path / "journal.db")


def test_an_index_that_forgot_a_row_is_found_at_the_start(tmp_path):
    with ledger_in(tmp_path) as ledger:
        ledger.append([[entry() for _ in range(10)]])
    with sqlite3.connect(tmp_path / "journal.db") as other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_schema SET sql = sql || ' WHERE seq <> 4' WHERE name = 'events_by_kind'")
        other.commit()
        other.execute("PRAGMA writable_schema = RESET")
        other.execute("REINDEX events_by_kind")
        other.execute("PRAGMA writable_schema = ON")
        other.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE seq <> 4', '') WHERE name = 'events_by_kind'",
        )
        other.commit()
    other.close()
    with pytest.raises(ConfigError, match="event 4 is missing in events_by_kind"):
        Ledger.open(tmp_path / "journal.db")


def test_a_journal_behind_its_witness_reports_how_much_the_disk_took(tmp_path, caplog):
    with ledger_in(tmp_path) as ledger:
        ledger.append([[entry() for _ in range(10)]])
        ledger.note_witness()
        assert ledger.lost == 0
    note = json.loads((tmp_path / "journal.head").read_text())
    assert note["seq"] == 10
    (tmp_path / "journal.head").write_text(json.dumps(note | {"seq": 17}))
    with ledger_in(tmp_path) as ledger:
        assert ledger.lost == 7
        assert "took back 7 acknowledged events" in caplog.text
        assert ledger.append([[entry()]]).places == [[(11, True)]]
    with ledger_in(tmp_path) as ledger:
        assert ledger.lost == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seq": "x", "chain": ""}', '{"seq": 1}', "\x00\xff"])
def test_an_unreadable_witness_is_said_and_does_not_stop_the_journal(tmp_path, content, caplog):
    (tmp_path / "journal.head").write_text(content)
    with ledger_in(tmp_path) as ledger:
        assert ledger.lost == 0
    assert "unreadable" in caplog.text


def test_another_journal_in_the_place_of_the_first_is_noticed(tmp_path, caplog):
    with ledger_in(tmp_path) as ledger:
        ledger.append([[entry()]])
    note = json.loads((tmp_path / "journal.head").read_text())
    (tmp_path / "journal.head").write_text(json.dumps(note | {"chain": "00" * 16}))
    with ledger_in(tmp_path):
        assert "not the journal that was here before" in caplog.text


def test_a_page_is_bounded_in_events_and_says_that_there_is_more(ledger):
    for _ in range(6):
        ledger.append([[entry() for _ in range(200)]])
    head, more, rows = ledger.read(Query())
    assert (head, more, len(rows)) == (1200, True, page_events_max)
    head, more, rows = ledger.read(Query(since=page_events_max))
    assert (more, [row[0] for row in rows]) == (False, list(range(page_events_max + 1, 1201)))


def test_a_page_is_bounded_in_bytes_at_whole_events_and_never_empty(ledger):
    large = "x" * 800_000
    for _ in range(3):
        ledger.append([[entry(text=large)]])
    _, more, rows = ledger.read(Query())
    assert (more, len(rows)) == (True, 1)
    _, more, rows = ledger.read(Query(newest=True))
    assert (more, rows[0][0]) == (True, 3)
    assert len(rows[0][2]) < page_bytes_max


MODEL_EVENT = st.tuples(st.sampled_from(KINDS), st.sampled_from(["", "arya", "bran", "b"]), st.sampled_from(["", "main", "s2"]))
QUERY = st.builds(
    Query,
    since=st.integers(0, 45),
    before=st.integers(0, 45),
    agent=st.sampled_from([None, "", "arya", "bran", "nobody"]),
    kinds=st.lists(st.sampled_from([*KINDS, "unheard_of"]), max_size=3).map(tuple),
    limit=st.integers(0, 12),
    newest=st.booleans(),
)


def naive(rows, query):
    found = [
        seq
        for seq, (kind, agent, session) in enumerate(rows, 1)
        if seq > query.since
        and (not query.before or seq < query.before)
        and query.agent in (None, agent)
        and query.session in (None, session)
        and (not query.kinds or kind in query.kinds)
    ]
    limit = query.limit or page_events_max
    return (found[-limit:] if query.newest else found[:limit]), len(found) > limit


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(MODEL_EVENT, max_size=40),
    queries=st.lists(st.tuples(QUERY, st.sampled_from([None, "", "main", "x"])), max_size=30),
)
def test_every_query_answers_as_a_plain_list_would(tmp_path_factory, rows, queries):
    with ledger_in(tmp_path_factory.mktemp("queries")) as ledger:
        for start in range(0, len(rows), 7):
            ledger.append([[entry(*row) for row in rows[start : start + 7]]])
        for query, session in queries:
            asked = query if query.agent is None else replace(query, session=session)
            head, more, found = ledger.read(asked)
            assert head == len(rows)
            assert ([row[0] for row in found], more) == naive(rows, asked)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(
        st.lists(st.lists(st.sampled_from(string.ascii_lowercase), min_size=1, max_size=4), max_size=4), max_size=8
    ),
    reopen=st.integers(0, 8),
)
def test_batches_with_duplicates_are_numbered_as_a_plain_dictionary_would(tmp_path_factory, groups, reopen):
    folder = tmp_path_factory.mktemp("batches")
    ledger = Ledger.open(folder / "journal.db", FakeClock())
    known, tells = {}, []
    for number, group in enumerate(groups):
        if number == reopen:
            ledger.close()
            ledger = Ledger.open(folder / "journal.db", FakeClock())
        expected = []
        for batch in group:
            expected.append([])
            for letter in batch:
                new = letter not in known
                known.setdefault(letter, len(known) + 1)
                expected[-1].append((known[letter], new))
        commit = ledger.append(
            [
                [
                    entry(name=str(uuid.uuid5(uuid.NAMESPACE_OID, letter)), agent=letter if letter < "f" else "z")
                    for letter in batch
                ]
                for batch in group
            ]
        )
        assert commit.places == expected
        tells += commit.told
    assert [told.seq for told in tells] == list(range(1, len(known) + 1))
    heads = {}
    for told in tells:
        assert told.previous == heads.get(told.agent, 0)
        heads[told.agent] = told.seq
    assert ledger.tip.heads == heads
    assert ledger.verify(0, 1000) == (len(known), "")
    ledger.close()
    with ledger_in(folder) as ledger:
        assert ledger.tip.heads == heads


def test_no_query_sorts_or_reads_a_whole_table(ledger):
    ledger.append([[entry(kind, agent, "main") for kind in KINDS for agent in ("arya", "bran")]])
    for query in (
        Query(),
        Query(newest=True, before=5),
        Query(agent="arya"),
        Query(agent="arya", newest=True, limit=2),
        Query(agent="arya", session="main", newest=True),
        Query(agent="arya", kinds=KINDS),
        Query(agent="arya", session="main", kinds=KINDS, newest=True),
        Query(kinds=KINDS, since=2),
    ):
        for text, parameters in walks(query, ledger.tip.heads):
            steps = [row[3] for row in ledger._connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
            assert len(steps) == 1
            assert steps[0].startswith("SEARCH events USING")
            if query.agent or query.kinds:
                assert "seq>?" in steps[0]
                assert "agent=?" in steps[0]


def test_a_query_by_kinds_leaves_out_agents_with_nothing_new(ledger):
    ledger.append([[entry(agent=f"a{number}") for number in range(50)]])
    assert len(walks(Query(kinds=("user_message",), since=49), ledger.tip.heads)) == 1


def test_a_query_with_too_many_kinds_is_refused(ledger):
    with pytest.raises(BadMessage, match="kinds"):
        ledger.read(Query(agent="arya", kinds=tuple(str(number) for number in range(KINDS_MAX + 1))))


def test_a_full_disk_refuses_everything_and_the_next_append_after_space_is_found_succeeds(tmp_path):
    with ledger_in(tmp_path) as ledger:
        ledger.append([[entry()]])
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        lots = [entry(text="x" * 50_000), entry()]
        with pytest.raises(Unavailable, match="nothing was changed"):
            ledger.append([[entry()], lots])
        assert ledger.tip.seq == 1
        assert ledger.read(Query())[0] == 1
        ledger._connection.execute("PRAGMA max_page_count = 1000000")
        assert ledger.append([lots]).places == [[(2, True), (3, True)]]
        assert ledger.verify(0, 10) == (3, "")


def test_folding_the_log_loses_nothing(tmp_path):
    with ledger_in(tmp_path) as ledger:
        for _ in range(50):
            ledger.append([[entry(text="x" * 100_000)]])
            ledger.tidy()
        assert ledger.size_bytes() > 50 * 100_000
        assert ledger.verify(0, 100) == (50, "")


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.builds(pack, st.recursive(st.none() | st.integers(0, 9) | st.binary(max_size=9), st.lists)))
def test_bytes_that_are_no_batch_are_refused_as_such(payload):
    try:
        blobs = read_batch(payload)
    except BadMessage:
        return
    with pytest.raises(BadMessage):
        admit(blobs)


GOOD = event(UserMessage("x"), agent="arya", source="cli")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "unheard_of"},
        {"data": {}},
        {"data": {"text": 5}},
        {"id": ""},
        {"id": "x" * 36},
        {"id": "0198C0DE-0000-7000-8000-000000000000"},
        {"id": "{0198c0de-0000-7000-8000-000000000000}"},
        {"agent": "../etc"},
        {"agent": "Arya"},
        {"agent": "a" * 64},
        {"session": "s" * 129},
        {"source": "s" * 193},
        {"cause": "c" * 65},
    ],
)
def test_a_batch_with_one_wrong_event_is_refused_as_a_whole(wrong):
    bad = replace(GOOD, **wrong)
    with pytest.raises(BadMessage):
        admit([GOOD.encode(), bad.encode()])


def test_a_batch_above_the_limits_is_refused_before_it_is_decoded():
    with pytest.raises(BadMessage, match="split it"):
        read_batch(pack([b"x"] * (batch_events_max + 1)))
    with pytest.raises(BadMessage, match="split it"):
        read_batch(pack([b"x" * 1_000_000] * 2))
    with pytest.raises(BadMessage, match="split it"):
        read_batch(pack([]))


def test_planning_touches_neither_the_tip_nor_the_known_ids():
    tip, known = Tip(heads={"arya": 0}), {}
    plan([[entry(name=new_id())]], known, tip, 5.0)
    assert tip == Tip(heads={"arya": 0})
    assert known == {}


def test_blobs_are_stored_as_they_came(ledger):
    sent = entry(text="ünïcödé \x00 ok")
    ledger.append([[sent]])
    seq, ts, blob, _ = ledger.read(Query(agent="arya"))[2][0]
    assert decode_event(blob, seq, ts).body == UserMessage("ünïcödé \x00 ok")
