"""Scripts: read with line numbers, chosen from the conversation alone, and the faults they play."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import ConfigError, Refused, Unavailable
from anima.nous.model import Call, Message, Reply, Request, Restart
from anima.nous.script import choose_entry, read_script
from anima.nous.scripted import open_scripted


def said(*texts: str) -> tuple[Message, ...]:
    """A conversation; odd places are the assistant's."""
    return tuple(Message("assistant" if at % 2 else "user", text) for at, text in enumerate(texts))


def script(*rows: dict) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def play(folder: Path, rows: list[dict], messages: tuple[Message, ...], facts: dict | None = None) -> tuple[list, Reply]:
    (folder / "s.jsonl").write_text(script(*rows))
    model = open_scripted("s.jsonl", folder)

    async def go():
        deltas, reply = [], Reply()
        async with asyncio.timeout(10):
            async for delta in model.stream(Request("", messages, facts=facts or {})):
                deltas.append(delta)
                reply.add(delta)
        return deltas, reply

    return asyncio.run(go())


def answer(text: str, messages: tuple[Message, ...], name: str = "s.jsonl") -> str | None:
    entry = choose_entry(read_script(text, name), messages)
    return entry and entry.text


def test_entries_are_used_in_order_and_the_last_repeats():
    text = script({"text": "one"}, {"text": "two"})
    assert answer(text, said("a")) == "one"
    assert answer(text, said("a", "one", "b")) == "two"
    assert answer(text, said("a", "one", "b", "two", "c")) == "two"


def test_a_last_entry_that_says_once_does_not_repeat(tmp_path):
    rows = [{"text": "one", "once": True}]
    assert play(tmp_path, rows, said("a"))[1].text == "one"
    with pytest.raises(Refused, match="no reply to this; add an entry"):
        play(tmp_path, rows, said("a", "one", "b"))


def test_a_match_on_the_last_user_message_goes_first():
    text = script({"text": "plain"}, {"match": "(?i)weather", "text": "sunny"})
    assert answer(text, said("How is the WEATHER?")) == "sunny"
    assert answer(text, said("weather", "sunny", "thanks")) == "plain"


def test_matching_entries_follow_up_on_their_own_tool_calls(tmp_path):
    rows = [{"match": "list", "calls": [{"tool": "exec", "args": {"command": "ls"}}]}, {"match": "list", "text": "two files"}]
    deltas, reply = play(tmp_path, rows, said("list files"))
    assert reply.calls == [Call("call-0-0", "exec", {"command": "ls"})]
    assert deltas[-1].stop_reason == "tool_use"
    went_on = (*said("list files"), Message("assistant", "", tuple(reply.calls)), Message("tool", "a b", call_id="call-0-0"))
    assert play(tmp_path, rows, went_on)[1].text == "two files"


@given(
    st.lists(st.sampled_from([{"text": "a"}, {"text": "b", "match": "x"}, {"text": "c", "once": True}]), min_size=1),
    st.lists(st.text(max_size=3)),
)
def test_the_choice_depends_on_the_conversation_alone(rows, texts):
    first = choose_entry(read_script(script(*rows), "s"), said(*texts))
    again = choose_entry(read_script(script(*rows), "s"), said(*texts))
    assert first == again


def test_a_toml_script_says_the_same():
    toml = (
        '# a comment\n[[reply]]\ntext = "one"\n\n[[reply]]\nmatch = "x"\ncalls = [{tool = "exec", args = {command = "ls"}}]\n'
    )
    entries = read_script(toml, "s.toml")
    assert [each.line for each in entries] == [2, 5]
    assert entries[1].calls == (("exec", {"command": "ls"}),)


def test_comments_and_blank_lines_in_jsonl_count_as_lines():
    assert [each.line for each in read_script('# hello\n\n{"text": "x"}\n', "s")] == [3]


@pytest.mark.parametrize(
    ("text", "name", "complaint"),
    [
        ('{"text": "a"}\n{"text": ', "s", r"s:2: not a JSON object on one line"),
        ('{"text": "a"}\n["b"]', "s", r"s:2: a reply is an object"),
        ('{"txt": "a"}', "s", r"s:1: unknown key 'txt'; a reply may have text,"),
        ('{"text": 1}', "s", r"s:1: text is int; it must be str"),
        ('{"exit": true}', "s", r"s:1: exit is bool; it must be int"),
        ('{"exit": 256}', "s", r"s:1: exit must be an exit code"),
        ('{"delay_s": -1}', "s", r"s:1: delay_s must be"),
        ('{"delay_s": NaN}', "s", r"s:1: delay_s must be"),
        ('{"match": "("}', "s", r"s:1: match is not a regular expression"),
        ('{"error": "tired"}', "s", r"s:1: unknown error 'tired'; it may be overloaded,"),
        ('{"deltas": [1]}', "s", r"s:1: deltas must be a list of texts"),
        ('{"deltas": ["a"], "text": "b"}', "s", r"s:1: text and deltas say different things"),
        ('{"calls": [{"name": "x"}]}', "s", r"s:1: a call is written"),
        ('{"calls": [{"tool": "x", "args": []}]}', "s", r"s:1: the args of a call are an object"),
        ('{"calls": [{"tool": "x", "args": {"n": 1e400, "m": 99999999999999999999}}]}', "s", r"s:1: .* cannot be stored"),
        (r'{"text": "\ud800"}', "s", r"s:1: a text holds half a character"),
        ("\n# nothing\n", "s", r"s:1: the script has no reply"),
        ('[[reply]]\ntext = "a"\n[[reply]]\ntext = 1\n', "s.toml", r"s.toml:3: text is int"),
        ('[[reply]]\ntext = "a\n', "s.toml", r"s.toml:2: not TOML"),
        ("[reply]\n", "s.toml", r"s.toml:1: a script consists of"),
        ("title = 1\n[[reply]]\n", "s.toml", r"s.toml:1: .* take out title"),
        ("reply = [1979-05-27]\n", "s.toml", r"s.toml:1: a reply is an object"),
    ],
)
def test_a_malformed_script_names_file_and_line(text, name, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_script(text, name)
    assert "\n" not in str(caught.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["text", "deltas", "thinking", "delay_s", "calls", "error", "exit", "hang", "attempts", "match", "once", "x"]
)


@given(
    st.lists(st.dictionaries(_KEYS, _JSON) | _JSON, max_size=4).map(lambda rows: "\n".join(map(json.dumps, rows))) | st.text(),
    st.sampled_from(["s.jsonl", "s.toml"]),
)
def test_any_text_is_a_script_or_a_configuration_error(text, name):
    complaint = ""
    try:
        entries = read_script(text, name)
    except ConfigError as error:
        complaint, entries = str(error), ()
    assert bool(entries) != complaint.startswith(f"{name}:")


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "text": st.text(st.characters(exclude_categories=["Cs"])),
                "delay_s": st.floats(0, 3600),
                "once": st.booleans(),
                "attempts": st.integers(0, 9),
            },
        ),
        min_size=1,
    )
)
def test_what_is_written_is_what_is_read(rows):
    entries = read_script(script(*rows), "s")
    assert [(each.line, each.text, each.delay_s, each.once, each.attempts) for each in entries] == [
        (at, row.get("text", ""), row.get("delay_s", 0.0), row.get("once", False), row.get("attempts", 0))
        for at, row in enumerate(rows, start=1)
    ]


@pytest.mark.parametrize("missing", ["", "absent.jsonl", "."])
def test_a_script_that_cannot_be_read_says_what_to_do(tmp_path, missing):
    with pytest.raises(ConfigError, match=r"scripted:FILE|correct `model`"):
        open_scripted(missing, tmp_path)


def test_a_script_that_is_not_utf_8_says_so(tmp_path):
    (tmp_path / "s").write_bytes(b'{"text": "\xff"}')
    with pytest.raises(ConfigError, match=r"not UTF-8 .byte 10"):
        open_scripted("s", tmp_path)


@pytest.mark.parametrize(("error", "raised"), [("overloaded", Unavailable), ("refused", Refused), ("bug", RuntimeError)])
def test_a_scripted_error_is_raised_after_the_words(tmp_path, error, raised):
    with pytest.raises(raised, match=r"s\.jsonl:1"):
        play(tmp_path, [{"text": "half", "error": error}], said("a"))


def test_a_fault_strikes_only_in_the_attempts_it_names(tmp_path):
    rows = [{"text": "fine", "error": "bug", "attempts": 2}]
    for attempt in ("1", "2"):
        with pytest.raises(RuntimeError):
            play(tmp_path, rows, said("a"), {"attempt": attempt})
    assert play(tmp_path, rows, said("a"), {"attempt": "3"})[1].text == "fine"


def test_a_cut_starts_over_once(tmp_path):
    deltas, reply = play(tmp_path, [{"deltas": ["a", "b"], "error": "cut"}], said("x"))
    assert sum(isinstance(each, Restart) for each in deltas) == 1
    assert reply.text == "ab"


def test_a_hanging_entry_hangs_until_cancelled(tmp_path):
    (tmp_path / "s").write_text(script({"text": "wait", "hang": True}))
    model = open_scripted("s", tmp_path)

    async def go():
        async def listen():
            async for _ in model.stream(Request("", said("a"))):
                pass

        task = asyncio.create_task(listen())
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert not done
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done

    asyncio.run(go())


def test_an_exit_entry_ends_the_process_with_its_code(tmp_path):
    (tmp_path / "s").write_text(script({"text": "bye", "exit": 42}))
    program = """
import asyncio, sys
from pathlib import Path
from anima.nous.model import Message, Request
from anima.nous.scripted import open_scripted

async def go():
    async for _ in open_scripted("s", Path(sys.argv[1])).stream(Request("", (Message("user", "a"),))):
        pass

asyncio.run(go())
"""
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, timeout=60, check=False).returncode == 42
