"""A small real HTTP server that speaks the Messages API's stream, for the tests of the anthropic provider.

Each request is served by the next of `plays` (the last one repeats): a function that writes to the raw connection.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Self

Play = Callable[["Line"], Awaitable[None]]


class Line:
    """One connection while one request is answered."""

    def __init__(self, body: dict, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.body = body
        self.headers = headers
        self.reader = reader
        self.writer = writer

    async def raw(self, data: bytes) -> None:
        """Send exactly these bytes, at once."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """Send one HTTP chunk."""
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def begin(self, content_type: str = "text/event-stream; charset=utf-8") -> None:
        """Status 200 and the headers of a stream."""
        await self.raw(f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    async def event(self, kind: str, **data: object) -> None:
        """One server-sent event in one chunk."""
        await self.chunk(sse(kind, **data))

    async def end(self) -> None:
        """The last chunk."""
        await self.raw(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Return when the other side has closed the connection."""
        while await self.reader.read(1024):
            pass


def sse(kind: str, **data: object) -> bytes:
    """The bytes of one server-sent event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, ensure_ascii=False)}\n\n".encode()


class Server:
    """Listens on 127.0.0.1 while inside `async with`; remembers every request it got."""

    def __init__(self, *plays: Play) -> None:
        self.plays = plays
        self.requests: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.closed_by_peer = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
                play = self.plays[min(len(self.requests), len(self.plays) - 1)]
                self.requests.append(body)
                self.headers.append({"line": lines[0], **headers})
                await play(Line(body, headers, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed_by_peer.set()
        finally:
            writer.close()


def says(*texts: str, stop_reason: str = "end_turn") -> Play:
    """A whole answer, one event per text."""

    async def play(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for text in texts:
            await line.event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        await line.event("content_block_stop", index=0)
        await closing(line, stop_reason)

    return play


async def opening(line: Line) -> None:
    """message_start, with 10 fresh, 5 written and 7 cached tokens of input, and a ping."""
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 7,
        "output_tokens": 1,
    }
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-test", "usage": usage}
    await line.event("message_start", message=message)
    await line.event("ping")


async def closing(line: Line, stop_reason: str, tokens_out: int = 9) -> None:
    """message_delta, message_stop and the last chunk."""
    await line.event("message_delta", delta={"stop_reason": stop_reason}, usage={"output_tokens": tokens_out})
    await line.event("message_stop")
    await line.end()


def fails(status: int, kind: str, message: str = "no", *, retry_after: str = "", details: dict | None = None) -> Play:
    """An error answer of the API."""

    async def play(line: Line) -> None:
        error = {"type": kind, "message": message} | ({"details": details} if details else {})
        body = json.dumps({"type": "error", "error": error}).encode()
        extra = f"retry-after: {retry_after}\r\n" if retry_after else ""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
        await line.raw(head.encode() + body)

    return play


def cut_after(*texts: str) -> Play:
    """The beginning of an answer, then the connection breaks."""

    async def play(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for text in texts:
            await line.event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        line.writer.close()

    return play
