"""Server-sent events, however the network cuts them."""

from hypothesis import given
from hypothesis import strategies as st

from anima.nous.sse import Events

STREAM = (
    ": a comment\n"
    "data: one\n\n"
    "event: x\r\ndata:two\r\n\r\n"
    "id: 3\n\n"
    "data: a\ndata: b 日本 👩‍👩‍👧\n\n"
    "data:\n\n"
    "data: without an end"
).encode()
EXPECTED = ["one", "two", "a\nb 日本 👩‍👩‍👧", "", "without an end"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_cut_gives_the_same_events(cuts):
    events, found, begin = Events(), [], 0
    for end in [*sorted(cuts), len(STREAM)]:
        found += events.feed(STREAM[begin:end])
        begin = end
    assert found + events.end() == EXPECTED
    assert events.held == 0


@given(st.binary())
def test_any_bytes_are_read_without_an_error(noise):
    events = Events()
    events.feed(noise)
    events.end()
