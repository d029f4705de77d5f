"""The three dialects of the wire behind one face, so that one contract can be held against each of them.

A dialect plays an answer on the server's side (`says`, `calls`, ...) and looks into a recorded request (`told`, `pairs`).
"""

import json
from collections.abc import Iterable
from typing import Any

import nous_messages_server as claude
from nous_chat_server import chats, chunk, data, piece, plays, responds, usage
from nous_messages_server import Line, Play

from anima.config.schema import Definition, Models
from anima.nous.choose import Access, open_model
from anima.nous.model import Model
from anima.nous.retry import Policy

QUICK = Policy(delay_s=0.01, delay_max_s=0.02, total_s=5)
CUT = b'data: {"half": \n\n'


def _texts(value: Any) -> Iterable[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


class Dialect:
    """What the dialects have in common."""

    name: str

    def open(self, url: str) -> Model:
        """The adapter, pointed at the test's server."""
        definition = Definition(base_url=url, model="m", api_key="sk-SECRET-key", dialect=self.name)
        return open_model("mine", Access(definitions={"mine": definition}, policy=QUICK))

    def told(self, body: dict, text: str) -> int:
        """How often `text` stands in the request."""
        return sum(each.count(text) for each in _texts(body))

    def last(self, body: dict) -> str:
        """All text of the newest message."""
        messages = body.get("messages") or body["input"]
        return "\n".join(_texts(messages[-1].get("content") or messages[-1].get("output")))

    def slow(self) -> Play:
        """The beginning of an answer, and then nothing."""

        async def play(line: Line) -> None:
            await line.begin()
            await line.chunk(data(chunk(content="one")))
            await line.gone()

        return play

    def bytewise(self, text: str) -> Play:
        """An answer whose bytes come one by one."""
        whole = self.says(text)

        async def play(line: Line) -> None:
            chunked = line.chunk

            async def split(piece: bytes) -> None:
                for byte in piece:
                    await chunked(bytes([byte]))

            line.chunk = split
            await whole(line)

        return play

    def malformed(self) -> Play:
        """A chunk that is cut JSON, in the middle of an answer."""

        async def play(line: Line) -> None:
            await line.begin()
            await line.chunk(CUT)
            await line.end()

        return play


class Chat(Dialect):
    """Chat completions."""

    name = "chat"
    says = staticmethod(chats)

    def system(self, body: dict) -> str:
        assert [each["role"] for each in body["messages"]].count("system") == 1
        return body["messages"][0]["content"]

    def pairs(self, body: dict) -> tuple[list[str], list[str]]:
        called = [call["id"] for each in body["messages"] for call in each.get("tool_calls", [])]
        return called, [each["tool_call_id"] for each in body["messages"] if each["role"] == "tool"]

    def calls(self, *calls: tuple[str, str, str], stop: str = "tool_calls") -> Play:
        pieces = []
        for at, (call_id, tool, args) in enumerate(calls):
            pieces.append(chunk(tool_calls=[piece(at, call_id, tool)]))
            pieces += [chunk(tool_calls=[piece(at, args=args[cut : cut + 5])]) for cut in range(0, len(args), 5)]
        return plays([*pieces, chunk(stop), usage()])

    def empty(self) -> Play:
        return chats()

    def refuses(self, why: str) -> Play:
        return plays([chunk(refusal=why), chunk("stop"), usage()])


class Responses(Dialect):
    """Responses."""

    name = "responses"
    says = staticmethod(responds)

    def system(self, body: dict) -> str:
        return body["instructions"]

    def pairs(self, body: dict) -> tuple[list[str], list[str]]:
        kinds = ("function_call", "function_call_output")
        called, answered = ([each["call_id"] for each in body["input"] if each.get("type") == kind] for kind in kinds)
        return called, answered

    def calls(self, *calls: tuple[str, str, str]) -> Play:
        items = [{"type": "function_call", "call_id": each, "name": tool, "arguments": args} for each, tool, args in calls]
        return responds(output=items)

    def empty(self) -> Play:
        return responds()

    def refuses(self, why: str) -> Play:
        refusal = [{"type": "response.refusal.delta", "delta": why}]
        return plays([*refusal, {"type": "response.completed", "response": {"status": "completed"}}], done=False)

    def slow(self) -> Play:
        async def play(line: Line) -> None:
            await line.begin()
            await line.chunk(data({"type": "response.output_text.delta", "delta": "one"}))
            await line.gone()

        return play


class Claude(Dialect):
    """The Messages API."""

    name = "anthropic"
    says = staticmethod(claude.says)

    def open(self, url: str) -> Model:
        models = Models(anthropic_api_key="sk-SECRET-key", anthropic_base_url=url)
        return open_model("anthropic:claude-test", Access(models=models, policy=QUICK))

    def system(self, body: dict) -> str:
        return body["system"] if isinstance(body["system"], str) else "".join(each["text"] for each in body["system"])

    def pairs(self, body: dict) -> tuple[list[str], list[str]]:
        blocks = [block for each in body["messages"] if isinstance(each["content"], list) for block in each["content"]]
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        return called, [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]

    def calls(self, *calls: tuple[str, str, str]) -> Play:
        async def play(line: Line) -> None:
            await line.begin()
            await claude.opening(line)
            for at, (call_id, tool, args) in enumerate(calls):
                block = {"type": "tool_use", "id": call_id, "name": tool, "input": {}}
                await line.event("content_block_start", index=at, content_block=block)
                for cut in range(0, len(args), 5):
                    delta = {"type": "input_json_delta", "partial_json": args[cut : cut + 5]}
                    await line.event("content_block_delta", index=at, delta=delta)
                await line.event("content_block_stop", index=at)
            await claude.closing(line, "tool_use")

        return play

    def empty(self) -> Play:
        return claude.says()

    def refuses(self, why: str) -> Play:
        async def play(line: Line) -> None:
            await line.begin()
            await claude.opening(line)
            delta = {"stop_reason": "refusal", "stop_details": {"explanation": why}}
            await line.event("message_delta", delta=delta, usage={"output_tokens": 1})
            await line.event("message_stop")
            await line.end()

        return play

    def slow(self) -> Play:
        async def play(line: Line) -> None:
            await line.begin()
            await claude.opening(line)
            await line.gone()

        return play

    def malformed(self) -> Play:
        async def play(line: Line) -> None:
            await line.begin()
            await claude.opening(line)
            await line.chunk(b"event: content_block_delta\n" + CUT)
            await line.end()

        return play


DIALECTS = (Chat(), Responses(), Claude())


def args_of(number: int) -> str:
    """Arguments of a call, as JSON with characters of several scripts."""
    return json.dumps({"command": f"ls {number} 日本 👩‍👧"}, ensure_ascii=number % 2 == 0)
