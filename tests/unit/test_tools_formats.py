"""Calls written as text, tools recalled by keywords, calls repeated without end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.tools.formats import CALLS_MAX, Asked, Parsed, parse_calls, teach
from anima.tools.recall import ALWAYS, matching, recall
from anima.tools.registry import built_in
from anima.tools.repeat import Done, fingerprint, repeated

TOOLS = built_in().tools
READ = '<tool>{"name": "read_file", "args": {"path": "a.txt"}}</tool>'
WRITE = (
    "<function=write_file>\n<parameter=path>a.txt</parameter>\n<parameter=content>\nline 1\n  line 2\n</parameter>\n</function>"
)


def test_a_json_block_is_a_call_and_the_rest_is_text():
    assert parse_calls(f"I will look.\n{READ}\n", TOOLS) == Parsed("I will look.", (Asked("read_file", {"path": "a.txt"}),))


def test_an_xml_block_is_a_call_with_its_text_to_the_letter():
    assert parse_calls(WRITE, TOOLS) == Parsed("", (Asked("write_file", {"path": "a.txt", "content": "line 1\n  line 2"}),))


def test_several_blocks_of_both_forms_come_in_order():
    found = parse_calls(f"a {READ} b {WRITE} c {READ}", TOOLS)
    assert [call.tool for call in found.calls] == ["read_file", "write_file", "read_file"]
    assert found.text == "a  b  c"


def test_values_of_xml_parameters_follow_the_schema():
    numbered = "<parameter=offset>-3</parameter><parameter=numbered>true</parameter>"
    text = f"<function=read_file><parameter=path>5</parameter>{numbered}</function>"
    assert parse_calls(text, TOOLS).calls == (Asked("read_file", {"path": "5", "offset": -3, "numbered": True}),)


def test_a_value_may_hold_anything_but_its_own_end():
    for content in (
        "</tool>",
        "<tool>{}</tool>",
        "a </parameter> b",
        "</function>",
        "```",
        '\\u0041 "quoted"',
        "<parameter=x>",
    ):
        block = json.dumps({"name": "write_file", "args": {"path": "p", "content": content}})
        assert parse_calls(f"<tool>{block}</tool>", TOOLS).calls[0].args["content"] == content
        if content != "</function>":
            block = f"<function=write_file><parameter=path>p</parameter><parameter=content>{content}</parameter></function>"
            assert parse_calls(block, TOOLS).calls[0].args["content"] == content


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_what_stands_in_a_fence_is_shown_and_not_called(fence):
    text = f"Like this:\n{fence}json\n{READ}\n{fence}\ndone"
    assert parse_calls(text, TOOLS) == Parsed(text)
    assert parse_calls(f"{text}\n{READ}", TOOLS).calls == (Asked("read_file", {"path": "a.txt"}),)
    assert parse_calls(f"{fence}\n{READ}", TOOLS).calls == (), "a fence that is never closed goes to the end"


def test_a_text_without_blocks_is_a_text():
    assert parse_calls("just <b>text</b> with 1 < 2", TOOLS) == Parsed("just <b>text</b> with 1 < 2")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<tool>", "is not JSON"),
        ("<tool>{}</tool>", "exactly 'name' and 'args'"),
        ('<tool>{"name": "read_file"}</tool>', "exactly 'name' and 'args'"),
        ('<tool>{"name": "read_file", "args": {"path": "a"}, "x": 1}</tool>', "exactly 'name' and 'args'"),
        ('<tool>{"name": 5, "args": {}}</tool>', "exactly 'name' and 'args'"),
        ("<tool>[1]</tool>", "exactly 'name' and 'args'"),
        ('<tool>{"name": "read_file", "args": {"path": "a"}}', "instead of </tool>"),
        ('<tool>{"name": "read_file", "args": {"path": "a"}} x</tool>', "instead of </tool>"),
        ('<tool>{"name": "read_file", "args": {"path": "a", "path": "b"}}</tool>', "same key twice"),
        ('<tool>{"name": "read_file", "args": {"path": NaN}}</tool>', "NaN is no JSON"),
        ("<tool>{'name': 'read_file'}</tool>", "is not JSON"),
        ('<tool>{"name": "read_fil", "args": {}}</tool>', "there is no tool 'read_fil'; there are: read_file"),
        ('<tool>{"name": "read_file", "args": {}}</tool>', "'path' is missing. It expects: "),
        ('<tool>{"name": "read_file", "args": "a"}</tool>', "must be an object"),
        ("<tool>" + "[" * 100_000, "nested too deeply"),
        ("</tool>", "without its beginning"),
        ("x </function>", "without its beginning"),
        ("<function=read_file>", "where <parameter=...> or </function> belongs"),
        ("<function=read_file>path</function>", "where <parameter=...> or </function> belongs"),
        ("<function=read_file><parameter=path>a</function>", "is not closed"),
        ("<function=read_file><parameter=path>a</parameter><parameter=path>a</parameter></function>", "given twice"),
        ("<function=read_file><parameter=offset>x</parameter></function>", "must be of type integer, written as JSON"),
        ("<function=nothing></function>", "there is no tool 'nothing'"),
        ("<function=></function>", "there is no tool ''"),
        (READ * (CALLS_MAX + 1), f"more than {CALLS_MAX} calls"),
    ],
)
def test_a_bad_block_calls_nothing_and_says_what_is_wrong(text, complaint):
    for reply in (text, f"{READ} {text}"):
        found = parse_calls(reply, TOOLS)
        assert found.calls == ()
        assert found.error.startswith("no tool was called: ")
        assert complaint in found.error
        assert found.text == reply


SOUP = st.lists(
    st.sampled_from(
        ["<tool>", "</tool>", "<function=read_file>", "</function>", "<parameter=path>", "</parameter>", "```", "\n", "{", "}",
         '"', "name",
         '{"name": "now", "args": {}}', "a", " ", ":", "\\", READ, WRITE]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@given(SOUP | st.text())
def test_no_reply_breaks_the_parser_and_an_error_comes_without_calls(reply):
    found = parse_calls(reply, TOOLS)
    assert not (found.error and found.calls)
    for call in found.calls:
        assert call.tool in TOOLS
        assert set(call.args) <= set(TOOLS[call.tool].schema["properties"])


@given(st.text(), st.text(), st.lists(st.text(st.characters(exclude_characters="<>`~")), min_size=3, max_size=3))
def test_any_call_written_as_json_is_read_back_whatever_stands_around_it(path, content, around):
    args = {"path": path, "content": content}
    block = f"<tool>{json.dumps({'name': 'write_file', 'args': args})}</tool>"
    found = parse_calls(f"{around[0]}{block}{around[1]}{block}{around[2]}", TOOLS)
    assert found.calls == (Asked("write_file", args),) * 2
    assert found.text == "".join(around).strip()


PROSE = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))  # surrogates are no text


@given(PROSE.filter(lambda text: "</parameter>" not in text))
def test_any_text_without_its_own_end_passes_through_xml(content):
    block = f"<function=write_file>\n<parameter=path>p</parameter>\n<parameter=content>\n{content}\n</parameter>\n</function>"
    assert parse_calls(block, TOOLS).calls == (Asked("write_file", {"path": "p", "content": content}),)


def test_a_model_is_taught_every_tool_and_the_form_it_is_taught_is_understood():
    lesson = teach(TOOLS.values())
    for name in TOOLS:
        assert f"- {name}: " in lesson
    assert "<tool>" in lesson


# -- recall --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("please read the file notes.txt", "read_file"),
        ("what time is it?", "now"),
        ("search the web for cats", "web_search"),
        ("find every TODO below ./src", "grep"),
        ("run the tests with pytest", "exec"),
        ("rename the folders", "move_file"),
        ("start the server in the background", "background_start"),
        ("fix the bug by editing main.py", "edit_file"),
        ("use apply_patch", "apply_patch"),
        ("calculate 6*7", "python"),
    ],
)
def test_tools_that_have_to_do_with_a_text_are_recalled(text, among):
    names = [card.name for card in recall(list(TOOLS.values()), text, 8)]
    assert among in names
    assert ALWAYS in names
    assert len(names) <= 8


def test_a_text_about_nothing_recalls_only_the_list():
    assert [card.name for card in recall(list(TOOLS.values()), "hm", 8)] == [ALWAYS]
    assert matching(list(TOOLS.values()), "") == []


@given(st.text(), st.integers(1, 40))
def test_recall_never_gives_more_than_it_may_nor_one_twice(text, most):
    names = [card.name for card in recall(list(TOOLS.values()), text, most)]
    assert len(names) <= most
    assert len(set(names)) == len(names)
    assert names[-1] == ALWAYS


# -- repetition ----------------------------------------------------------------------------------------------------------


def test_the_same_call_with_the_same_answer_three_times_is_broken_by_a_sentence():
    call = Done("read_file", {"path": "a", "offset": 1}, "same")
    other = Done("read_file", {"path": "b"}, "same")
    assert repeated([call, other, call], "read_file", {"path": "a", "offset": 1}) is None
    told = repeated([call, other, call, call], "read_file", {"offset": 1, "path": "a"})
    assert told.startswith("not run: you have called read_file with these very arguments 3 times")
    assert repeated([call, call, call], "read_file", {"path": "c"}) is None
    moving = Done("read_file", {"path": "a", "offset": 1}, "changed")
    assert repeated([call, call, moving], "read_file", {"path": "a", "offset": 1}) is None, "something moved"
    assert repeated([call, call, moving, call, call, call], "read_file", {"path": "a", "offset": 1})


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats())))
def test_the_order_of_arguments_makes_no_difference(args):
    assert fingerprint("t", args) == fingerprint("t", dict(reversed(args.items())))
    assert fingerprint("t", args) != fingerprint("u", args)
