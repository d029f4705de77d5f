"""One contract for every model, over each dialect of the wire too: what an agent may rely on, whoever answers."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from nous_dialects import DIALECTS, Dialect, args_of
from nous_messages_server import Line, Server

from anima.errors import Refused
from anima.nous.choose import Access, open_model
from anima.nous.model import Call, Done, Image, Message, Model, Reply, Request, Text, ToolSpec

UNICODE = "Grüße, 日本語 👩‍👩‍👧 — ∑ é"
TOOLS = (ToolSpec("exec", "runs a command", {"type": "object", "properties": {"command": {"type": "string"}}}),)


@asynccontextmanager
async def scripted(folder: Path):
    rows = [
        {"match": "^run", "calls": [{"tool": "exec", "args": {"command": "ls"}}]},
        {"match": "slow", "text": "one two three", "delay_s": 30},
        {"text": UNICODE},
    ]
    (folder / "play.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    yield open_model("scripted:play.jsonl", Access(folder=folder))


@asynccontextmanager
async def reflex(folder: Path):
    yield open_model("reflex", Access())


def wired(dialect: Dialect):
    """The adapter of a dialect, against a server that plays what the other models of this suite do."""

    async def play(line: Line) -> None:
        last = dialect.last(line.body)
        if any(each.startswith("run") for each in last.splitlines()):
            await dialect.calls(("t1", "exec", '{"command": "ls"}'))(line)
        elif "slow" in last:
            await dialect.slow()(line)
        else:
            await dialect.says(UNICODE[:3], UNICODE[3:])(line)

    @asynccontextmanager
    async def opened(folder: Path):
        async with Server(play) as server:
            model = dialect.open(server.url)
            yield model
            await model.close()

    return opened


MODELS = {"scripted": scripted, "reflex": reflex, **{each.name: wired(each) for each in DIALECTS}}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def opened(request: pytest.FixtureRequest, tmp_path: Path):
    return lambda: request.param(tmp_path)


def asking(*texts: str, **more) -> Request:
    return Request("Be brief.", tuple(Message("user", text) for text in texts), tools=TOOLS, **more)


async def gather(model: Model, request: Request) -> tuple[list, Reply]:
    deltas, reply = [], Reply()
    async with asyncio.timeout(20):
        async for delta in model.stream(request):
            deltas.append(delta)
            reply.add(delta)
    return deltas, reply


def run(opened, request: Request) -> tuple[list, Reply]:
    async def go():
        async with opened() as model:
            return await gather(model, request)

    return asyncio.run(go())


def test_a_stream_ends_with_exactly_one_done(opened):
    deltas, reply = run(opened, asking("hello"))
    assert [type(each) for each in deltas].count(Done) == 1
    assert isinstance(deltas[-1], Done)
    assert reply.done.stop_reason == "end_turn"
    assert reply.done.tokens_in > 0
    assert reply.done.tokens_out > 0


def test_the_texts_of_a_stream_are_the_answer_in_pieces(opened):
    deltas, reply = run(opened, asking("hello"))
    texts = [each.text for each in deltas if isinstance(each, Text)]
    assert len(texts) > 1
    assert all(texts), "an empty delta says nothing"
    assert "".join(texts) == reply.text != ""


def test_characters_of_every_script_arrive_whole(opened):
    _, reply = run(opened, asking(f"say: {UNICODE}"))
    assert reply.text == UNICODE


def test_an_empty_history_is_no_error(opened):
    deltas, _ = run(opened, asking())
    assert isinstance(deltas[-1], Done)


def test_a_blank_message_is_no_error(opened):
    deltas, _ = run(opened, asking(" \n "))
    assert isinstance(deltas[-1], Done)


def test_a_call_is_whole_and_stops_for_the_tool(opened):
    deltas, reply = run(opened, asking("run `ls`"))
    assert [(each.tool, each.args) for each in reply.calls] == [("exec", {"command": "ls"})]
    assert reply.calls[0].id
    assert deltas[-1].stop_reason == "tool_use"


def test_a_conversation_with_a_finished_call_is_answered(opened):
    request = Request(
        "",
        (
            Message("user", "run `ls`"),
            Message("assistant", "", (Call("c1", "exec", {"command": "ls"}),)),
            Message("tool", "README.md", call_id="c1"),
        ),
        tools=TOOLS,
    )
    _, reply = run(opened, request)
    assert reply.text
    assert reply.calls == []


def test_two_turns_may_ask_the_same_model_at_once(opened):
    async def go():
        async with opened() as model:
            return await asyncio.gather(*(gather(model, asking("hello")) for _ in range(20)))

    results = asyncio.run(go())
    assert len({reply.text for _, reply in results}) == 1


def test_a_cancelled_call_ends_at_once_and_the_model_stays_usable(opened):
    async def go():
        async with opened() as model:
            task = asyncio.create_task(gather(model, asking("be slow " + "please " * 50)))
            await asyncio.sleep(0.05)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            assert done, "the call outlived its cancellation"
            _, reply = await gather(model, asking("hello"))
            return reply

    assert asyncio.run(go()).text


def test_closing_the_stream_early_leaves_nothing_behind(opened):
    async def go():
        async with opened() as model:
            stream = model.stream(asking("hello"))
            first = await anext(stream)
            await stream.aclose()
            async with asyncio.timeout(5):
                while [
                    task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "_serve" not in repr(task)
                ]:
                    await asyncio.sleep(0.01)
            return first

    assert isinstance(asyncio.run(go()), Text)


def test_the_name_is_what_was_configured(opened):
    async def go():
        async with opened() as model:
            return model.name

    assert asyncio.run(go()) in ("scripted:play.jsonl", "reflex", "anthropic:claude-test", "mine")


# -- what only goes wrong over a wire ------------------------------------------------------------------------------------------


@pytest.fixture(params=DIALECTS, ids=lambda each: each.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param


def ask(dialect: Dialect, *plays, request: Request | None = None) -> tuple[list, Reply, Server]:
    """Ask once; what came, folded, and the server that was asked."""

    async def go():
        async with Server(*plays) as server:
            model = dialect.open(server.url)
            try:
                return *await gather(model, request or asking("hello")), server
            finally:
                await model.close()

    return asyncio.run(go())


CONVERSATION = Request(
    "Be brief, and mind the SYSTEM-MARK.",
    (
        Message("user", "FIRST-MARK"),
        Message("assistant", "SECOND-MARK", (Call("c1", "exec", {"command": "CALL-MARK"}), Call("c2", "exec", {}))),
        Message("tool", "THIRD-MARK", call_id="c1"),
        Message("tool", "FOURTH-MARK", call_id="c2", ok=False),
        Message("assistant", "FIFTH-MARK"),
        Message("user", "SIXTH-MARK"),
    ),
    tools=TOOLS,
    reminder="REMINDER-MARK",
)


def test_the_system_prompt_arrives_once_and_in_its_own_place(dialect):
    _, _, server = ask(dialect, dialect.says("ok"), request=CONVERSATION)
    assert dialect.system(server.requests[0]) == CONVERSATION.system
    assert dialect.told(server.requests[0], "SYSTEM-MARK") == 1


def test_each_message_arrives_exactly_once_and_in_order(dialect):
    _, _, server = ask(dialect, dialect.says("ok"), request=CONVERSATION)
    marks = ["FIRST", "SECOND", "CALL", "THIRD", "FOURTH", "FIFTH", "SIXTH", "REMINDER"]
    sent = json.dumps(server.requests[0].get("messages") or server.requests[0]["input"])
    assert [dialect.told(server.requests[0], f"{mark}-MARK") for mark in marks] == [1] * len(marks)
    assert sorted(marks, key=lambda mark: sent.index(f"{mark}-MARK")) == marks


def test_a_call_and_its_answer_stay_a_pair(dialect):
    _, _, server = ask(dialect, dialect.says("ok"), request=CONVERSATION)
    assert dialect.pairs(server.requests[0]) == (["c1", "c2"], ["c1", "c2"])


def test_tools_and_limits_are_sent(dialect):
    _, _, server = ask(dialect, dialect.says("ok"), request=CONVERSATION)
    assert dialect.told(server.requests[0], "runs a command") == 1
    assert CONVERSATION.tokens_max in server.requests[0].values()
    assert server.requests[0]["stream"] is True


def test_usage_is_counted_and_so_is_the_cache(dialect):
    deltas, _, _ = ask(dialect, dialect.says("ok"))
    done = deltas[-1]
    assert (done.tokens_in, done.tokens_out, done.cache_read) == (22, 9, 7)
    assert done.model


def test_characters_split_between_packets_arrive_whole(dialect):
    assert ask(dialect, dialect.bytewise(UNICODE))[1].text == UNICODE


def test_a_malformed_chunk_begins_the_answer_anew(dialect):
    deltas, reply, server = ask(dialect, dialect.malformed(), dialect.says("whole"))
    assert reply.text == "whole"
    assert len(server.requests) == 2
    assert [type(each) for each in deltas].count(Done) == 1


def test_an_empty_answer_is_an_end_and_no_error(dialect):
    deltas, reply, server = ask(dialect, dialect.empty())
    assert (reply.text, deltas[-1].stop_reason, len(server.requests)) == ("", "end_turn", 1)


def test_a_refusal_is_one_sentence_and_is_not_tried_again(dialect):
    with pytest.raises(Refused, match=r"declined to answer \(too dangerous\)") as refused:
        ask(dialect, dialect.refuses("too dangerous"), dialect.says("no"))
    assert "\n" not in str(refused.value)


def test_a_call_with_broken_json_is_asked_for_again(dialect):
    _, reply, server = ask(dialect, dialect.calls(("c1", "exec", '{"command": ')), dialect.calls(("c2", "exec", "{}")))
    assert [(each.id, dict(each.args)) for each in reply.calls] == [("c2", {})]
    assert len(server.requests) == 2


def test_fifty_parallel_calls_arrive_whole_and_in_order(dialect):
    calls = [(f"c{number}", "exec", args_of(number)) for number in range(50)]
    deltas, reply, _ = ask(dialect, dialect.calls(*calls))
    assert [(each.id, each.tool, dict(each.args)) for each in reply.calls] == [(i, t, json.loads(a)) for i, t, a in calls]
    assert deltas[-1].stop_reason == "tool_use"


def test_a_key_is_sent_and_appears_in_no_text(dialect):
    async def go():
        async with Server(dialect.says("ok")) as server:
            model = dialect.open(server.url)
            await gather(model, asking("hello"))
            await model.close()
            return repr(model), server

    shown, server = asyncio.run(go())
    assert "secret" in json.dumps(server.headers).lower()
    assert "SECRET" not in shown
    assert "SECRET" not in json.dumps(server.requests)


def test_a_picture_is_sent_with_the_message_it_belongs_to(dialect):
    request = replace(asking(), messages=(Message("user", "what is this?", images=(Image("image/png", b"PNG-BYTES"),)),))
    _, _, server = ask(dialect, dialect.says("a dot"), request=request)
    assert dialect.told(server.requests[0], base64.b64encode(b"PNG-BYTES").decode()) == 1


def test_a_picture_that_is_none_is_refused_before_anything_is_sent(dialect):
    for image, complaint in ((Image("text/html", b"x"), "convert it"), (Image("image/png", path="/nowhere"), "cannot be read")):
        request = replace(asking(), messages=(Message("user", "look", images=(image,)),))
        with pytest.raises(Refused, match=complaint):
            ask(dialect, dialect.says("no"), request=request)
