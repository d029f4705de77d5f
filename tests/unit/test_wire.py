"""Whatever crosses a process boundary comes out as it went in, and nothing else comes through."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import BadMessage, Refused, Unavailable
from anima.ids import new_id
from anima.limits import event_bytes_max
from anima.wire import frames
from anima.wire.chain import START, link
from anima.wire.events import KINDS, VERSION, TurnEnded, UserMessage, decode_event, event, read_body
from anima.wire.whispers import Whisper, decode_whisper

GOLDEN = Path(__file__).parent / "golden" / f"wire_v{VERSION}.json"


@given(st.text(), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_an_event_survives_the_wire(text: str, agent: str, session: str, source: str) -> None:
    made = event(UserMessage(text), agent=agent, session=session, source=source, cause=new_id())
    assert decode_event(made.encode()) == made
    assert decode_event(made.encode()).body == UserMessage(text)


@given(st.binary(max_size=300))
def test_garbage_is_a_bad_message_and_nothing_worse(garbage: bytes) -> None:
    for decode in (decode_event, decode_whisper, frames.unpack):
        with contextlib.suppress(BadMessage):
            decode(garbage)


LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3))


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(["text", "turn", "name", "step", "args", "ok"]), VALUES))
def test_a_malformed_body_is_a_bad_message(kind: str, data: dict[str, object]) -> None:
    with contextlib.suppress(BadMessage):
        read_body(kind, data)


def test_an_unknown_kind_and_a_newer_version_are_bad_messages() -> None:
    with pytest.raises(BadMessage, match="unknown kind"):
        read_body("telepathy", {})
    packed = frames.pack({**frames.unpack(event(UserMessage("x"), agent="a", source="cli").encode()), "v": VERSION + 1})
    with pytest.raises(BadMessage, match="version"):
        decode_event(packed)


def test_a_key_of_a_newer_producer_is_left_out() -> None:
    assert read_body("user_message", {"text": "hi", "mood": "sunny"}) == UserMessage("hi")


def test_an_event_larger_than_a_mebibyte_is_not_encoded() -> None:
    with pytest.raises(BadMessage, match="exceeds"):
        event(UserMessage("x" * event_bytes_max), agent="a", source="cli").encode()


def test_half_a_character_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadMessage, match="half a character"):
        event(UserMessage("a \ud800"), agent="a", source="cli").encode()


def test_a_refusal_arrives_as_the_error_it_was() -> None:
    _, _, packed = frames.refusal(b"12345678", Refused("no, because"))
    assert isinstance(error := frames.refused(packed), Refused)
    assert str(error) == "no, because"
    assert isinstance(frames.refused(frames.pack(["SystemExit", "x"])), Unavailable), "only our own errors can be named"


def test_a_whisper_survives_the_wire() -> None:
    whisper = Whisper("arya", "main", new_id(), 1000, "text", "hé")
    assert decode_whisper(whisper.encode()) == whisper


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=10), st.integers(0, 100))
def test_the_chain_notices_a_changed_moved_or_missing_row(blobs: list[bytes], place: int) -> None:
    def head(rows: list[tuple[int, bytes]]) -> bytes:
        value = START
        for seq, blob in rows:
            value = link(value, seq, 1.0, blob)
        return value

    rows = list(enumerate(blobs, 1))
    index = place % len(rows)
    changed = [*rows[:index], (rows[index][0], rows[index][1] + b"!"), *rows[index + 1 :]]
    missing = [*rows[:index], *rows[index + 1 :]]
    assert len({head(rows), head(changed), head(missing)}) == 3


def test_the_shapes_of_all_kinds_are_those_of_this_version() -> None:
    """A changed or removed field needs a new VERSION and a new golden file; an added optional one only the file."""
    shapes = {
        kind: {name: [accepted[0].__name__, required] for name, accepted, required in body._shape}
        for kind, body in KINDS.items()
    }
    golden = json.loads(GOLDEN.read_text())
    for kind, fields in golden.items():
        for name, shape in fields.items():
            assert shapes[kind][name] == shape, f"{kind}.{name} changed: raise VERSION in wire/events.py"
    for kind, fields in shapes.items():
        for name, (_, required) in fields.items():
            known = name in golden.get(kind, {}) or kind not in golden
            assert known or not required, f"{kind}.{name} is new and required: raise VERSION"
    assert shapes == golden, f"write the new kinds and optional fields into {GOLDEN.name}"


def test_a_query_survives_the_wire_and_a_malformed_one_does_not() -> None:
    query = frames.Query(since=3, agent="arya", session="main", kinds=("user_message",), limit=5, newest=True)
    assert frames.read_query(frames.unpack(frames.pack(query.fields()))) == query
    for bad in ({"since": -1}, {"since": "x"}, {"session": "main"}, {"colour": 1}, [], None, {"kinds": 5}, {"limit": 1 << 70}):
        with pytest.raises(BadMessage):
            frames.read_query(bad)


def test_an_end_says_where_everything_was_settled() -> None:
    ended = TurnEnded(new_id(), 5, "answered", settled_seq=9)
    assert read_body("turn_ended", ended.fields()) == ended
