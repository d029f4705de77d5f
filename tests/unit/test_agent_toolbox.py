"""Which tools a model is told of, and how it is told."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.agent.dialect import OPENINGS, Curtain, spelled
from anima.agent.prompt import about_tools
from anima.agent.toolbox import Toolbox, specs
from anima.bus.loopback import Loopback
from anima.config.schema import Policy
from anima.nous.model import Call, Message
from anima.tools.formats import parse_calls
from anima.tools.registry import BUILT_IN, built_in

WEATHER: dict[str, Any] = {
    "name": "weather",
    "summary": "Tell the weather of a city.",
    "schema": {"type": "object", "properties": {}, "additionalProperties": False},
    "effect": "pure",
    "risk": "safe",
    "wall_s": 5.0,
    "output_bytes": 1000,
    "place": "call",
    "network": False,
    "prepares": False,
}


def names(policy: Policy, hint: str = "") -> list[str]:
    return [tool.name for tool in Toolbox("arya", policy).shown(hint)]


def test_an_agent_has_all_tools_but_those_that_need_a_network_unless_it_is_told_otherwise() -> None:
    assert names(Policy()) == [name for name in BUILT_IN if not built_in().tools[name].network]
    assert names(Policy(network="web")) == list(BUILT_IN)
    assert "web_fetch" not in names(Policy(network="hosts")), "no host is named, so none can be reached"
    assert "web_fetch" in names(Policy(network="hosts", hosts=("example.org",)))


def test_an_empty_list_means_none_and_patterns_mean_what_a_shell_takes_them_for() -> None:
    assert names(Policy(tools=())) == []
    assert names(Policy(tools=("read_*", "exe?", "nothing"))) == ["read_file", "exec"]


def test_a_small_window_is_shown_the_tools_whose_words_match_in_an_order_that_does_not_change() -> None:
    policy = Policy(tools_shown_max=4)
    assert "list_tools" in names(policy, "hello")
    shown = names(policy, "search the text of these files for a pattern with grep")
    assert "grep" in shown
    assert len(shown) <= 4
    assert shown == [name for name in BUILT_IN if name in shown]
    assert "delete_file" in names(policy, "hm\ndelete_file: Delete a file"), "what list_tools told of can be called"


async def served(answer: Any) -> list[str]:
    """The names shown after the sandbox answered so."""
    bus = Loopback()

    async def tools(asked: dict[str, Any]) -> Any:
        assert asked == {"agent": "arya"}
        return answer

    await bus.serve("sandbox", {"tools": tools})
    box = Toolbox("arya", Policy())
    box.refresh(bus)
    await asyncio.sleep(0.01)
    await box.close()
    return [tool.name for tool in box.shown("") if tool.name not in BUILT_IN]


async def test_tools_of_the_house_are_told_of_once_the_sandbox_knows_them() -> None:
    assert await served({"tools": [{**WEATHER, "name": "zebra"}, {**WEATHER, "why_not": ""}], "problems": []}) == [
        "weather",
        "zebra",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "read_file"},
        {"name": "Not A Name"},
        {"name": 3},
        {"summary": ""},
        {"schema": {}},
        {"schema": None},
        {"risk": "none"},
        {"network": True},
        {"why_not": "its policy does not allow it"},
    ],
)
async def test_a_tool_that_is_none_or_not_allowed_is_not_told_of(change: dict[str, Any]) -> None:
    assert await served({"tools": [{**WEATHER, **change}], "problems": []}) == []


@pytest.mark.parametrize("answer", [None, [], {}, {"tools": None}, {"tools": ["weather"]}, {"tools": [{}]}])
async def test_whatever_the_sandbox_answers_the_built_in_tools_are_there(answer: Any) -> None:
    assert await served(answer) == []


async def test_without_a_sandbox_the_built_in_tools_are_there() -> None:
    box = Toolbox("arya", Policy())
    box.refresh(Loopback())
    await asyncio.sleep(0.01)
    assert box.shown("")
    await box.close()


def test_the_prompt_says_where_the_tools_work_and_how_far_they_reach(tmp_path: Any) -> None:
    tools = Toolbox("arya", Policy(tools=("exec",))).shown("")
    told = about_tools(tools, Policy(write=("/srv/a",), network="hosts", hosts=("x.org",), approve="always"), tmp_path)
    for words in (str(tmp_path), "write /srv/a", "x.org", "until a person approves", "- exec: Run a command"):
        assert words in told
    assert "<tool>" not in told
    assert "no tools" in about_tools([], Policy(), tmp_path)


@pytest.mark.parametrize(("form", "opening"), [("tags", "<tool>"), ("functions", "<function=")])
def test_a_model_that_writes_calls_is_taught_how_and_reads_its_own_past_in_that_form(
    form: str, opening: str, tmp_path: Any
) -> None:
    tools = Toolbox("arya", Policy()).allowed()
    assert opening in about_tools(list(tools.values()), Policy(tool_format=form), tmp_path)
    call = Call("c1", "grep", {"pattern": 'a"<b>\n', "context": 2, "options": ["fixed"]})
    past = (
        Message("user", "find it"),
        Message("assistant", "I look.", (call, Call("c2", "now", {}))),
        Message("tool", "a.py", call_id="c1"),
        Message("tool", "noon?", call_id="c2", ok=False),
        Message("assistant", "there"),
    )
    told = spelled(past, form)
    assert [each.role for each in told] == ["user", "assistant", "user", "assistant"]
    assert not any(each.calls or each.call_id for each in told)
    parsed = parse_calls(told[1].text, tools)
    assert (parsed.error, parsed.text) == ("", "I look.")
    assert [(asked.tool, asked.args) for asked in parsed.calls] == [("grep", dict(call.args)), ("now", {})]
    assert told[2].text == '<result tool="grep">\na.py\n</result>\n<result tool="now" ok="false">\nnoon?\n</result>'


def test_what_a_provider_is_given_of_a_tool() -> None:
    (spec,) = specs(Toolbox("arya", Policy(tools=("now",))).shown(""))
    assert (spec.name, spec.schema["type"]) == ("now", "object")


@given(st.lists(st.sampled_from(["<", "<to", "ol>", "<tool>", "<fun", "ction=", "x", "a < b ", "<<", "\n"]), max_size=12))
def test_whatever_the_pieces_what_is_shown_is_the_text_before_the_first_call(pieces: list[str]) -> None:
    curtain = Curtain()
    shown = "".join(curtain.pass_on(piece) for piece in pieces) + curtain.rest()
    whole = "".join(pieces)
    ends = [at for opening in OPENINGS if (at := whole.find(opening)) >= 0]
    assert shown == whole[: min(ends, default=len(whole))]
