"""What the Messages API is sent: conversations, cache breakpoints, thinking, pictures."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import Refused
from anima.nous.anthropic_request import render
from anima.nous.model import Call, Image, Message, Request, Thinking, ToolSpec

CACHED = {"type": "ephemeral"}
NAME = "anthropic:claude-sonnet-4-5"
SIGNED = Thinking("let me see", "sig-1", NAME)


def unmarked(value: Any) -> Any:
    """`value` without its cache breakpoints."""
    if isinstance(value, list):
        return [unmarked(each) for each in value]
    if isinstance(value, dict):
        return {name: unmarked(each) for name, each in value.items() if name != "cache_control"}
    return value


def blocks(body: dict) -> list[dict]:
    """Every block the API hashes, in its order: tools, system, messages."""
    return [*body.get("tools", ()), *body.get("system", ()), *(each for m in body["messages"] for each in m["content"])]


def turn(*steps: tuple[str, ...], thoughts: tuple[Thinking, ...] = ()) -> tuple[Message, ...]:
    """A person's question, and for each step the calls of the model with the answers of the tools."""
    messages = [Message("user", "a question")]
    for step in steps:
        messages.append(Message("assistant", "", tuple(Call(each, "x", {}) for each in step), thoughts=thoughts))
        messages += [Message("tool", f"answer to {each}", call_id=each) for each in step]
    return tuple(messages)


def test_tool_results_follow_their_calls_and_neighbours_of_one_role_are_joined():
    request = Request(
        "",
        (
            Message("assistant", "from before the window"),
            Message("user", "a"),
            Message("user", " "),
            Message("assistant", "", (Call("1", "x", {}), Call("2", "y", {"k": 1}))),
            Message("tool", "r1", call_id="1"),
            Message("tool", "r2", call_id="2", ok=False),
            Message("user", "b"),
        ),
        tools=(ToolSpec("x", "does x", {"type": "object"}),),
    )
    body = render(request, "m")
    assert "system" not in body
    assert unmarked(body["tools"]) == [{"name": "x", "description": "does x", "input_schema": {"type": "object"}}]
    assert unmarked(body["messages"]) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "(an empty message)"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "1", "name": "x", "input": {}},
                {"type": "tool_use", "id": "2", "name": "y", "input": {"k": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "r1", "is_error": False},
                {"type": "tool_result", "tool_use_id": "2", "content": "r2", "is_error": True},
                {"type": "text", "text": "b"},
            ],
        },
    ]


def test_the_reminder_stands_last_and_apart_from_the_persons_words():
    body = render(
        Request("", (Message("user", "a"), Message("assistant", "b"), Message("user", "c")), reminder="Be kind."), "m"
    )
    assert unmarked(body["messages"][-1]["content"]) == [
        {"type": "text", "text": "c"},
        {"type": "text", "text": "<reminder>\nBe kind.\n</reminder>"},
    ]
    assert "Be kind." not in str(body["messages"][:-1])
    assert render(Request("", (), reminder="Be kind."), "m")["messages"] == []


@given(
    st.lists(
        st.builds(
            Message,
            st.sampled_from(["user", "assistant", "tool"]),
            st.text(max_size=5),
            st.lists(st.builds(Call, st.text(max_size=3), st.text(max_size=3), st.just({})), max_size=2).map(tuple),
        ),
        max_size=12,
    ),
)
def test_any_history_renders_to_alternating_roles_without_empty_blocks(messages):
    rendered = render(Request("", tuple(messages)), "m")["messages"]
    assert [each["role"] for each in rendered] == ["user", "assistant"] * (len(rendered) // 2) + ["user"] * (len(rendered) % 2)
    blocks = [block for each in rendered for block in each["content"]]
    assert all(each["content"] for each in rendered)
    assert all(block["text"].strip() for block in blocks if block["type"] == "text")


# -- cache breakpoints -------------------------------------------------------------------------------------------------


def test_the_breakpoints_stand_behind_the_prefix_the_previous_request_and_this_one():
    many = tuple(f"c{number}" for number in range(50))
    tools = (ToolSpec("x", "does x", {}),)
    body = render(Request("Be brief.", turn(("c",), many), tools, reminder="Be kind."), "m")
    marked = [block for block in blocks(body) if "cache_control" in block]
    assert [block.get("text") or block["content"] for block in marked] == ["Be brief.", "answer to c", "answer to c49"]
    assert len(marked) <= 4, "the API refuses more"
    assert body["messages"][-1]["content"][-1]["text"].startswith("<reminder>"), "what moves stands behind the last mark"


@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4), max_size=6), st.booleans())
def test_what_one_request_marks_is_the_beginning_of_the_next(steps, reminded):
    """A prompt cache lives on identical bytes: what stood before a mark stands there in the next step of the turn too."""
    tools, reminder = (ToolSpec("x", "does x", {}),), "Be kind." if reminded else ""
    sent = [
        render(Request("Be brief.", turn(*map(tuple, steps[:count])), tools, reminder=reminder), "m")
        for count in range(len(steps) + 1)
    ]
    for before, after in pairwise(sent):
        last = max(at for at, block in enumerate(blocks(before)) if "cache_control" in block)
        assert unmarked(blocks(before)[: last + 1]) == unmarked(blocks(after)[: last + 1])
        assert any("cache_control" in block for block in blocks(after)[max(0, last - 19) : last + 20]), "within the API's reach"


def test_a_next_turn_finds_what_the_turn_before_has_cached():
    first = turn(("c",))
    before = render(Request("s", first, reminder="r"), "m")
    after = render(Request("s", (*first, Message("assistant", "done"), Message("user", "more")), reminder="r"), "m")
    marks = [at for at, block in enumerate(blocks(before)) if "cache_control" in block]
    assert unmarked(blocks(before)[: marks[-1] + 1]) == unmarked(blocks(after)[: marks[-1] + 1])
    assert "cache_control" in blocks(after)[marks[-1]]


# -- thinking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "budget", "fields"),
    [
        ("claude-sonnet-4-5", 0, {}),
        ("claude-sonnet-4-5-20250929", 2000, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("claude-3-7-sonnet-20250219", 10, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("claude-haiku-4-5", 99_999, {}),  # no room for an answer: the API would refuse it
        ("claude-opus-4-6", 0, {}),
        ("claude-opus-4-7", 2000, {"output_config": {"effort": "low"}}),
        ("claude-sonnet-5-5", 0, {}),
        ("claude-sonnet-5-5", 10_000, {"output_config": {"effort": "medium"}}),
        ("claude-opus-5", 32_000, {}),
        ("glm-5-1", 0, {}),
    ],
)
def test_each_generation_is_told_to_think_in_its_own_words(model, budget, fields):
    body = render(Request("", (Message("user", "?"),), tokens_max=50_000, thinking_tokens_max=budget), model)
    adaptive = model in ("claude-sonnet-5-5", "claude-opus-5", "claude-opus-4-7")
    expected = fields | ({"thinking": {"type": "adaptive", "display": "summarized"}} if adaptive else {})
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == expected


def test_signed_thoughts_go_back_before_their_calls_while_their_turn_lasts():
    hidden = Thinking("", "opaque", NAME, redacted=True)
    messages = turn(("1",), thoughts=(SIGNED, hidden))
    body = render(Request("", messages, thinking_tokens_max=2000), "claude-sonnet-4-5")
    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "let me see", "signature": "sig-1"},
        {"type": "redacted_thinking", "data": "opaque"},
    ]
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    later = render(Request("", (*messages, Message("assistant", "done"), Message("user", "more"))), "claude-sonnet-4-5")
    assert "thinking" not in json.dumps(later), "another turn moves the window, and the thought is bound to what it saw"


@pytest.mark.parametrize("thought", [Thinking("unsigned"), Thinking("of another", "sig", "openai:gpt")])
def test_thoughts_of_nobody_or_of_another_model_stay_here_and_the_turn_goes_on_without_a_budget(thought):
    request = Request("", turn(("1",), thoughts=(thought,)), thinking_tokens_max=2000)
    body = render(request, "claude-sonnet-4-5")
    assert "thinking" not in body
    assert thought.text not in json.dumps(body)


def test_within_a_turn_nothing_before_a_signed_thought_changes():
    """Newer models hold a thought against everything that stood before it, the reminder included."""
    sent = [
        unmarked(blocks(render(Request("s", turn(*steps, thoughts=(SIGNED,)), reminder="Be kind."), NAME.partition(":")[2])))
        for steps in ((), (("1",),), (("1",), ("2", "3")))
    ]
    for before, after in pairwise(sent):
        assert after[: len(before)] == before


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_a_picture_follows_the_words_of_whoever_sends_it(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"\x89PNG")
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}
    messages = (
        Message("user", "what is this?", images=(Image("image/png", path=str(path)),)),
        Message("assistant", "", (Call("1", "look", {}),)),
        Message("tool", "a screenshot", call_id="1", images=(Image("image/png", b"\x89PNG"),)),
        Message("user", " ", images=(Image("image/png", b"\x89PNG"),)),
    )
    rendered = unmarked(render(Request("", messages), "m")["messages"])
    assert rendered[0]["content"] == [{"type": "text", "text": "what is this?"}, picture]
    assert rendered[2]["content"][0]["content"] == [{"type": "text", "text": "a screenshot"}, picture]
    assert rendered[2]["content"][1:] == [picture], "a picture says enough; nobody claims that it is blank"


def test_a_picture_that_is_gone_is_told_in_one_sentence():
    with pytest.raises(Refused, match=r"/nowhere cannot be read .*send it again"):
        render(Request("", (Message("user", "?", images=(Image("image/png", path="/nowhere"),)),)), "m")
