"""What makes a function a tool, what every tool must say of itself, and the one door through which all are called."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import BadMessage
from anima.limits import tool_result_bytes_max
from anima.tools.context import Context, Web
from anima.tools.registry import BUILT_IN, built_in, load
from anima.tools.run import answer, catalogue, perform, prepare, probe, run, wrong_with
from anima.tools.schema import DIALECT, Within, check_args
from anima.tools.text import cut, plain
from anima.tools.tool import How, Result, Tool, ToolError, declared, flaw, tool
from anima.wire.cards import Card

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "anima-tool-example"
ALL = list(built_in().tools.values())


def context(folder: Path, **more) -> dict:
    return Context(folder, call="call-1", **more).fields()


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_tool_lacks_anything_it_must_say(name):
    card = built_in().tools[name]
    assert card.name == name
    assert flaw(card) == ""
    first = card.summary.split(". ")[0]
    assert 10 <= len(first) <= 250, "the first sentence is what a model chooses by"
    assert card.schema["$schema"] == DIALECT
    assert card.schema["additionalProperties"] is False
    for parameter, shape in card.schema["properties"].items():
        assert "type" in shape, parameter
        assert len(shape["description"]) >= 5, parameter
    assert card.effect in ("pure", "idempotent", "checkable", "unsafe")
    assert card.risk in ("safe", "risky", "dangerous")
    assert 0 < card.wall_s <= 600
    assert 0 < card.output_bytes <= 512 * 1024
    assert card.keywords, "without keywords a model with a small window never sees it"
    module, _, function = card.function.partition(":")
    assert declared(getattr(__import__(module, fromlist=["x"]), function)) is card


def test_the_table_of_the_documentation_is_that_of_the_code():
    """To renew it, put in place what this test expects."""
    rows = ["| tool | what it does | risk | effect | wall |", "|---|---|---|---|---|"]
    for card in ALL:
        first = re.split(r"(?<=[.!?:]) ", card.summary)[0].rstrip(".:")
        rows.append(f"| `{card.name}` | {first} | {card.risk} | {card.effect} | {card.wall_s:.0f} s |")
    assert "\n".join(rows) in (ROOT / "docs" / "tools.md").read_text(), "\n".join(rows)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "Read File"}, "its name"),
        ({"summary": " "}, "docstring"),
        ({"schema": {"type": "object"}}, "closed object"),
        ({"effect": "maybe"}, "effect is 'maybe'"),
        ({"risk": ""}, "risk is ''"),
        ({"wall_s": 0}, "wall_s"),
        ({"wall_s": 1e9}, "wall_s"),
        ({"output_bytes": 0}, "output_bytes"),
        ({"output_bytes": 1 << 30}, "output_bytes"),
        ({"effect": "checkable"}, "has a probe"),
        ({"probe": "a:b"}, "has a probe"),
        ({"prepare": "a:b"}, "no probe"),
        ({"place": "moon"}, "place is 'moon'"),
    ],
)
def test_a_declaration_that_lacks_something_is_refused(change, complaint):
    whole = built_in().tools["read_file"]
    assert flaw(whole) == ""
    assert complaint in flaw(replace(whole, **change))


def test_the_risk_of_what_acts_is_never_safe_and_what_is_pure_changes_nothing():
    for card in ALL:
        if card.effect in ("checkable", "unsafe"):
            assert card.risk != "safe", card.name


def test_every_tool_crosses_a_process_boundary_and_comes_back():
    for card in ALL:
        assert replace(Tool(**msgpack.unpackb(msgpack.packb(card.fields()))), keywords=card.keywords) == card
        fields = msgpack.unpackb(msgpack.packb(card.card().fields()))
        assert Card(**fields) == card.card()


@tool(risk="safe", effect="pure")
def sample(  # noqa: PLR0917
    ctx: Context,
    text: str,
    number: Annotated[int, Within(min=1, max=9)] = 1,
    part: float = 0.5,
    words: Annotated[list[str], Within(max=2)] = [],  # noqa: B006
    choice: Literal["a", "b"] = "a",
    maybe: int | None = None,
    table: dict[str, int] = {},  # noqa: B006
) -> Result:
    """Do nothing in particular. It says what it was given.

    The second paragraph is for the model too.

    Args:
        text: any text; a colon: is no new entry
        number: from 1
            to 9
        part: a part
        words: some words
        choice: one of two
        maybe: may be left out
        table: names and numbers
    """
    return Result(ok=True, text=f"{ctx.call} {text} {number} {part} {words} {choice} {maybe} {table}")


def test_annotations_and_docstring_become_the_schema():
    card = declared(sample)
    assert card.summary.startswith("Do nothing in particular. It says")
    assert card.summary.endswith("The second paragraph is for the model too.")
    assert card.schema["required"] == ["text"]
    shapes = card.schema["properties"]
    assert "ctx" not in shapes
    assert shapes["text"] == {"type": "string", "description": "any text; a colon: is no new entry"}
    assert shapes["number"] == {"type": "integer", "minimum": 1, "maximum": 9, "description": "from 1 to 9", "default": 1}
    assert shapes["part"]["type"] == "number"
    assert shapes["words"] == {
        "type": "array", "items": {"type": "string"}, "maxItems": 2, "description": "some words", "default": [],
    }  # fmt: skip
    assert shapes["choice"]["enum"] == ["a", "b"]
    assert shapes["maybe"] == {"type": "integer", "description": "may be left out"}
    assert shapes["table"]["additionalProperties"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({}, "'text' is missing"),
        ({"text": 5}, "'text' must be a string, not an integer"),
        ({"text": "x", "txt": 1}, "may not have 'txt'"),
        ({"text": "x", "number": True}, "'number' must be an integer, not a boolean"),
        ({"text": "x", "number": "1"}, "'number' must be an integer, not a string"),
        ({"text": "x", "number": 10}, "'number' is 10; at most 9"),
        ({"text": "x", "number": 1.5}, "'number' must be an integer, not a number"),
        ({"text": "x", "part": "much"}, "'part' must be a number"),
        ({"text": "x", "words": ["a", 1]}, r"'words'[1] must be a string"),
        ({"text": "x", "words": ["a", "b", "c"]}, "number of entries of 'words' is 3; at most 2"),
        ({"text": "x", "choice": "c"}, "must be one of 'a', 'b', not 'c'"),
        ({"text": "x", "table": {"k": "v"}}, "'table'.k must be an integer"),
        ({"text": "\ud800"}, "half of a character"),
        ("text", "must be an object, not a string"),
        (None, "must be an object, not null"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence_with_the_schema(args, complaint):
    card = declared(sample)
    assert complaint in wrong_with(card, args)
    assert wrong_with(card, args).endswith(json.dumps({k: v for k, v in card.schema.items() if k != "$schema"}))


def test_right_arguments_pass_and_a_whole_float_is_an_integer():
    card = declared(sample)
    given, complaint = check_args(card.schema, {"text": "x", "number": 5.0, "part": 1, "maybe": None})
    assert complaint == ""
    assert given == {"text": "x", "number": 5, "part": 1}
    assert type(given["number"]) is int


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(ALL), JSON | st.dictionaries(st.sampled_from(["path", "pattern", "url", "x"]), JSON))
def test_no_arguments_whatsoever_break_the_check(card, args):
    given, complaint = check_args(card.schema, args)
    assert complaint or set(given) <= set(card.schema["properties"])


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        ("def f(a): 'Do it.'", "'a' needs an annotation"),
        ("def f(a: int): 'Do it.'", "a line under Args"),
        ("def f(*a: int): 'Do it.'", "given by name"),
        ("def f(a: set):\n    '''Do it.\n\n    Args:\n        a: it\n    '''", "not a type a tool can take"),
        ("def f():\n    '''Do it.\n\n    Args:\n        a: it\n    '''", "describes a, which it does not take"),
        ("def f(): pass", "its docstring"),
    ],
)
def test_a_function_that_leaves_something_unsaid_is_no_tool(write, complaint):
    there: dict = {"__name__": "there"}
    exec(write, there)
    with pytest.raises(TypeError, match=complaint):
        tool(risk="safe", effect="pure")(there["f"])


def test_a_tool_that_a_child_could_not_find_by_name_is_refused():
    with pytest.raises(TypeError, match="top of its module"):

        @tool(risk="safe", effect="pure")
        def inner() -> str:
            """Do it."""
            return ""


# -- the door ------------------------------------------------------------------------------------------------------------

HOUSE_TOOL = '''
import sys
from anima.tools.tool import Result, ToolError, tool

@tool(risk="safe", effect="pure")
def greet(name: str) -> str:
    """Greet someone.

    Args:
        name: whom
    """
    return f"hello, {name}"

@tool(risk="safe", effect="pure")
def break_down(how: str) -> dict:
    """Break in one of several ways.

    Args:
        how: the way
    """
    if how == "refuse":
        raise ToolError("it will not do that; do this instead")
    if how == "exit":
        sys.exit(3)
    if how == "os":
        open("/no/such/file")
    if how == "memory":
        raise MemoryError
    if how == "recursion":
        return break_down(how)
    if how == "data":
        return Result(ok=True, text="said", data={"thing": object()})
    if how == "much":
        return Result(ok=True, text="said", data={"thing": "x" * 2_000_000})
    if how == "surrogate":
        return Result(ok=True, text="a\\ud800b")
    if how == "map":
        return {"a": [1, 2]}
    return 1 / 0
'''


@pytest.fixture
def house(tmp_path: Path) -> dict:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "greeting.py").write_text(HOUSE_TOOL)
    return context(tmp_path, extra=tmp_path / "tools")


def test_a_tool_of_the_house_is_called_like_any_other(house):
    assert run("greet", {"name": "arya"}, house) == {"ok": True, "text": "hello, arya", "data": {}}


def test_an_edited_tool_of_the_house_is_read_anew(house, tmp_path):
    assert run("greet", {"name": "a"}, house)["text"] == "hello, a"
    path = tmp_path / "tools" / "greeting.py"
    path.write_text(HOUSE_TOOL.replace("hello", "howdy"))
    os.utime(path, ns=(1, 1))
    assert run("greet", {"name": "a"}, house)["text"] == "howdy, a"


@pytest.mark.parametrize(
    ("how", "ok", "text"),
    [
        ("refuse", False, "it will not do that; do this instead"),
        ("exit", False, "the tool broke (SystemExit)"),
        ("zero", False, "the tool broke (ZeroDivisionError); that is a mistake in the tool, not in the call"),
        ("os", False, "/no/such/file does not exist"),
        ("memory", False, "more memory than it may have"),
        ("recursion", False, "the tool broke (RecursionError)"),
        ("data", True, "said"),
        ("much", True, "said"),
        ("surrogate", True, "a?b"),
        ("map", True, '{\n "a": [\n  1,\n  2\n ]\n}'),
    ],
)
def test_whatever_a_tool_does_the_answer_is_a_map_with_a_sentence(house, caplog, how, ok, text):
    with caplog.at_level(logging.CRITICAL, "anima.tools"):
        found = run("break_down", {"how": how}, house)
    assert found["ok"] is ok
    assert text in found["text"]
    assert "Traceback" not in found["text"]
    assert len(msgpack.packb(found)) <= tool_result_bytes_max


def test_the_traceback_of_a_broken_tool_goes_to_the_log(house, caplog):
    run("break_down", {"how": "zero"}, house)
    assert "ZeroDivisionError" in caplog.text


def test_an_unknown_tool_is_told_with_what_may_have_been_meant(tmp_path):
    found = run("readfile", {}, context(tmp_path))
    assert not found["ok"]
    assert "there is no tool 'readfile'; did you mean read_file" in found["text"]


def test_wrong_arguments_come_back_with_the_expected_schema(tmp_path):
    found = run("read_file", {"file": "x"}, context(tmp_path))
    assert "'path' is missing" in found["text"]
    assert '"path": {"type": "string"' in found["text"]


def test_only_the_tools_an_agent_may_use_are_there_and_none_means_none(tmp_path):
    assert run("now", {}, context(tmp_path, tools=("now",)))["ok"]
    assert "not among those this agent may use" in run("think", {"thought": "x"}, context(tmp_path, tools=("now",)))["text"]
    assert not run("now", {}, context(tmp_path, tools=()))["ok"]
    listed = run("list_tools", {}, context(tmp_path, tools=("now", "list_tools")))
    assert listed["data"]["tools"] == ["now", "list_tools"]


@pytest.mark.parametrize("wrong", [{}, {"workdir": 5}, {"workdir": "/", "colour": "red"}, {"workdir": "/", "web": {"x": 1}}])
def test_a_context_that_is_none_is_answered_not_raised(wrong):
    found = run("now", {}, wrong)
    assert not found["ok"]
    assert "the call could not be made" in found["text"]


def test_a_context_crosses_the_boundary_and_keeps_its_key_to_itself(tmp_path):
    whole = Context(
        tmp_path, "arya", "main", "c", 5.0, 1000, tmp_path, ("now",), None, "UTC", "n", "o/r", live=True,
        web=Web("hosts", ("a.org",), "brave", "", "SECRET"),
    )  # fmt: skip
    assert Context.read(msgpack.unpackb(msgpack.packb(whole.fields()))) == whole
    assert "SECRET" not in repr(whole)
    with pytest.raises(BadMessage):
        Context.read({"workdir": str(tmp_path), "tools": "now"})


def test_a_long_answer_is_cut_in_the_middle_and_the_whole_is_kept(tmp_path):
    (tmp_path / "spill").mkdir()
    ctx = Context(
        tmp_path, call="c7", spill=tmp_path / "spill", output_bytes=2_000, notes="\n".join(f"line {n}" for n in range(2_000))
    )
    found = perform("notes", {}, ctx)
    assert len(found.text.encode()) < 2_300
    assert found.text.startswith("line 0\n")
    assert found.text.endswith("line 1999")
    assert "bytes left out; the whole is in" in found.text
    assert (tmp_path / "spill" / "c7.txt").read_text() == ctx.notes
    without = perform("notes", {}, replace(ctx, spill=None))
    assert "ask for less at once" in without.text


@given(st.text(), st.integers(60, 400))
def test_a_cut_text_is_valid_and_never_longer_than_it_was_allowed_and_a_line(text, limit):
    whole = (text * 50).encode()
    found = cut(whole, limit, "there")
    found.encode()
    if len(whole) > limit:
        assert len(found.encode()) <= limit + 120


@given(st.binary(max_size=300))
def test_what_a_program_prints_becomes_text_without_terminal_commands(output):
    assert not any(ord(char) < 32 and char not in "\n\t" for char in plain(output))


def test_colours_titles_and_overwritten_lines_are_gone():
    assert plain(b"\x1b[31mred\x1b[0m \x1b]0;title\x07done\r\n10%\r50%\r100%\n") == "red done\n100%\n"


def test_a_tool_of_the_house_may_not_take_a_name_that_is_taken(tmp_path):
    (tmp_path / "a.py").write_text(HOUSE_TOOL.replace("greet", "read_file"))
    (tmp_path / "b.py").write_text("this is no python")
    (tmp_path / "c.py").write_text("x = 1")
    (tmp_path / "d.py").write_text(HOUSE_TOOL)
    found = catalogue(context(tmp_path, extra=tmp_path))
    assert found["ok"] is False
    told = "\n".join(found["data"]["problems"])
    assert "brings a tool 'read_file', which anima.tools.files.reading:read_file is already" in told
    assert "b.py cannot be loaded: SyntaxError" in told
    assert "c.py holds no function with the decorator" in told
    assert "brings a tool 'break_down'" in told, "the second file with the same tool"
    names = [each["name"] for each in found["data"]["tools"]]
    assert "greet" in names
    assert names[: len(BUILT_IN)] == list(BUILT_IN)
    assert next(t for t in found["data"]["tools"] if t["name"] == "read_file")["function"].startswith("anima.tools.files")


def test_a_package_brings_tools_through_its_entry_point(tmp_path, monkeypatch):
    """The example package, laid out as pip would install it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "anima_tool_example.py").write_text((EXAMPLE / "anima_tool_example.py").read_text())
    info = site / "anima_tool_example-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anima-tool-example\nVersion: 0.1.0\n")
    import tomllib

    points = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]["anima.tools"]
    (info / "entry_points.txt").write_text("[anima.tools]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()))
    monkeypatch.syspath_prepend(str(site))
    found = load()
    assert found.problems == []
    assert "word_count" in found.tools
    (tmp_path / "f.txt").write_text("a b  c\n")
    assert "3 words" in run("word_count", {"path": "f.txt"}, context(tmp_path))["text"]


def test_importing_the_door_imports_no_network_library():
    code = (
        "import sys, anima.tools.run, anima.tools.registry as r; r.built_in()\n"
        "print([m for m in ('httpx', 'httpcore', 'bs4') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# -- what checkable means ------------------------------------------------------------------------------------------------


def verdict(name, args, ctx, prepared):
    found = probe(name, args, ctx, prepared)
    assert found["ok"], found["text"]
    return found["data"]["verdict"]


CHECKABLE = {
    "write_file": ({"path": "new.txt", "content": "hello\n"}, None),
    "edit_file": ({"path": "a.txt", "old_text": "two", "new_text": "2"}, "a.txt"),
    "copy_lines": ({"source": "a.txt", "lines": "1-2", "destination": "b.txt"}, "b.txt"),
    "apply_patch": ({"patch": "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n"}, "a.txt"),
    "delete_file": ({"path": "a.txt"}, None),
    "move_file": ({"source": "a.txt", "destination": "c.txt"}, None),
    "copy_file": ({"source": "a.txt", "destination": "c.txt"}, "c.txt"),
}


def test_every_checkable_tool_is_tried_below():
    assert {card.name for card in ALL if card.effect == "checkable"} == set(CHECKABLE)


@pytest.mark.parametrize("name", CHECKABLE)
def test_a_probe_tells_whether_the_call_took_place_and_admits_when_it_cannot(tmp_path, name):
    args, spoiled = CHECKABLE[name]
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "b.txt").write_text("b\n")
    ctx = context(tmp_path)
    found = prepare(name, args, ctx)
    assert found["ok"], found["text"]
    prepared = msgpack.unpackb(msgpack.packb(found["data"]))
    assert verdict(name, args, ctx, prepared) == "undone"
    assert run(name, args, ctx)["ok"]
    assert verdict(name, args, ctx, prepared) == "done"
    if found["data"]:
        assert verdict(name, args, ctx, {}) == "unknown", "what was found before the call is lost"
    if spoiled:
        (tmp_path / spoiled).write_text("someone was here\n")
        assert verdict(name, args, ctx, prepared) == "unknown"


def test_preparing_a_call_that_cannot_succeed_says_so(tmp_path):
    assert "does not exist" in prepare("edit_file", {"path": "x", "old_text": "a", "new_text": "b"}, context(tmp_path))["text"]
    assert not probe("exec", {"command": "true"}, context(tmp_path), {})["ok"]


def test_a_call_that_is_told_to_end_answers_with_what_it_has(tmp_path):
    def kill_soon():
        deadline = time.monotonic() + 10
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=kill_soon)
    before = signal.getsignal(signal.SIGTERM)
    killer.start()
    found = run("exec", {"command": "echo so far; touch begun; sleep 60"}, context(tmp_path))
    killer.join()
    assert not found["ok"]
    assert "interrupted; this is its output so far" in found["text"]
    assert "so far\n" in found["data"]["stdout"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_answer_is_plain_whatever_is_put_in():
    assert answer(lambda: Result(ok=1, text=5)) == {"ok": True, "text": "5", "data": {}}  # type: ignore[arg-type]


def test_how_a_tool_is_found_out_about_is_declared_with_it():
    assert How() == How(place="call", network=False, prepare=None, probe=None)
    assert [card.name for card in ALL if card.network] == ["web_fetch", "http_request", "web_search", "report_issue"]
    with pytest.raises(ToolError):
        raise ToolError("one sentence")
