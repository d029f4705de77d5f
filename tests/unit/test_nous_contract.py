"""One contract for every provider that runs offline: what an agent may rely on, whoever answers."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nous_messages_server import Line, Server, closing, opening, says

from anima.nous.choose import Access, open_model
from anima.nous.model import Call, Done, Message, Model, Reply, Request, Text, ToolSpec
from anima.nous.retry import Policy

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


async def _play(line: Line) -> None:
    last = line.body["messages"][-1]["content"][-1].get("text", "")
    if last.startswith("run"):
        await line.begin()
        await opening(line)
        await line.event(
            "content_block_start", index=0, content_block={"type": "tool_use", "id": "t1", "name": "exec", "input": {}}
        )
        await line.event(
            "content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"command": "ls"}'}
        )
        await line.event("content_block_stop", index=0)
        await closing(line, "tool_use")
    elif "slow" in last:
        await line.begin()
        await opening(line)
        await line.gone()
    else:
        await says(UNICODE[:3], UNICODE[3:])(line)


@asynccontextmanager
async def claude(folder: Path):
    async with Server(_play) as server:
        access = Access({"ANTHROPIC_API_KEY": "k"}, anthropic_base_url=server.url, policy=Policy(0.01, 0.02, 5))
        model = open_model("anthropic:claude-test", access)
        yield model
        await model.close()


@pytest.fixture(params=[scripted, reflex, claude])
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

    assert asyncio.run(go()) in ("scripted:play.jsonl", "reflex", "anthropic:claude-test")
