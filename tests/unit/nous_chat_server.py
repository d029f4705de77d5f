"""OpenAI's two dialects as a server of the tests speaks them: plays for nous_messages_server.Server, one line per habit."""

import json
from collections.abc import Iterable

from nous_messages_server import Line, Play


def data(document: object) -> bytes:
    """One server-sent event."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(stop: str | None = None, **delta: object) -> dict:
    """One document of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": stop}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def usage(tokens_in: int = 22, tokens_out: int = 9, cached: int = 7) -> dict:
    """The last document before [DONE], with the usage and no choice."""
    told = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "prompt_tokens_details": {"cached_tokens": cached}}
    return {"id": "c1", "choices": [], "usage": told}


def piece(index: int, call_id: str = "", tool: str = "", args: str = "") -> dict:
    """A piece of a call."""
    named = {"id": call_id, "type": "function"} if call_id else {}
    return {"index": index, **named, "function": {**({"name": tool} if tool else {}), "arguments": args}}


def plays(documents: Iterable[object], done: bool = True) -> Play:
    """These documents, one HTTP chunk each, and [DONE]."""

    async def play(line: Line) -> None:
        await line.begin()
        for document in documents:
            await line.chunk(data(document))
        if done:
            await line.chunk(data("[DONE]"))
        await line.end()

    return play


def chats(*texts: str, stop: str = "stop") -> Play:
    """A whole answer in chat completions."""
    return plays([chunk(role="assistant", content=""), *(chunk(content=each) for each in texts), chunk(stop), usage()])


def responds(*texts: str, output: Iterable[dict] = (), status: str = "completed", **more: object) -> Play:
    """A whole answer in responses, with other items of output after the texts."""
    events: list[object] = [{"type": "response.created", "response": {"status": "in_progress"}}]
    events += [{"type": "response.output_text.delta", "output_index": 0, "delta": each} for each in texts]
    events += [{"type": "response.output_item.done", "output_index": 1, "item": each} for each in output]
    told = {"input_tokens": 22, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 7}}
    kind = "response.incomplete" if status == "incomplete" else f"response.{status}"
    events.append({"type": kind, "response": {"object": "response", "status": status, "usage": told, **more}})
    return plays(events, done=False)


def whole(document: dict) -> Play:
    """An answer that is not streamed."""

    async def play(line: Line) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        await line.raw(head.encode() + body)

    return play


def answers(status: int, body: str | dict, content_type: str = "application/json", extra: str = "") -> Play:
    """Any answer with any status."""

    async def play(line: Line) -> None:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(raw)}\r\n{extra}\r\n"
        await line.raw(head.encode() + raw)

    return play


def fails(status: int, message: str = "no", code: str = "", extra: str = "") -> Play:
    """An error answer of the API."""
    return answers(status, {"error": {"message": message, "type": "error", "code": code}}, extra=extra)
