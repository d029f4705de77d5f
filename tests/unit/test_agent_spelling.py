"""What is kept of a request or a reply is that request and that reply, and the same content is the same bytes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anima.agent.spelling import digest, packed, parts_of, read_deltas, spelled_deltas, whole
from anima.nous.model import Call, Delta, Done, Image, Message, Request, Restart, Text, Thinking, ToolSpec

WORDS = st.text(max_size=12)
ARGS = st.dictionaries(WORDS, st.none() | st.booleans() | st.integers(-9, 9) | WORDS | st.lists(WORDS, max_size=2), max_size=3)
CALLS = st.builds(Call, WORDS, WORDS, ARGS, WORDS, WORDS)
THOUGHTS = st.builds(Thinking, WORDS, WORDS, WORDS, st.booleans())
IMAGES = st.builds(Image, st.just("image/png"), st.binary(max_size=8), WORDS)
MESSAGES: Any = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool"]),
    WORDS,
    st.lists(CALLS, max_size=2).map(tuple),
    WORDS,
    st.booleans(),
    st.lists(IMAGES, max_size=2).map(tuple),
    st.lists(THOUGHTS, max_size=2).map(tuple),
)
REQUESTS = st.builds(
    Request,
    system=WORDS,
    messages=st.lists(MESSAGES, max_size=4).map(tuple),
    tools=st.lists(st.builds(ToolSpec, WORDS, WORDS, ARGS), max_size=2).map(tuple),
    facts=st.dictionaries(WORDS, WORDS, max_size=3),
    reminder=WORDS,
    streamed=st.booleans(),
    tokens_max=st.integers(1, 9),
)
DONE = st.builds(Done, WORDS, st.integers(0, 9), st.integers(0, 9))
DELTAS: st.SearchStrategy[Delta] = st.builds(Text, WORDS) | THOUGHTS | CALLS | st.builds(Restart, WORDS) | DONE


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(request: Request) -> None:
    listed, parts = parts_of(request)
    back = whole(listed, parts)
    assert back == request
    assert parts_of(back)[0] == listed
    assert all(digest(data) == name for name, data in parts.items())


@given(REQUESTS, MESSAGES)
def test_another_request_has_another_list(request: Request, more: Message) -> None:
    longer = Request(**{**{name: getattr(request, name) for name in Request.__slots__}, "messages": (*request.messages, more)})
    assert packed(parts_of(longer)[0]) != packed(parts_of(request)[0])


@given(st.lists(DELTAS, max_size=6))
def test_deltas_come_back_as_they_were(deltas: list[Delta]) -> None:
    assert list(read_deltas(spelled_deltas(deltas))) == deltas
