"""A stand-in for the Messages API on this machine: answers at once, remembers when it was asked and when it had answered."""

import asyncio
import json
import time
from typing import Self

_WORDS = ("Just", " as", " you", " say", ".")


class Claude:
    """Listens on 127.0.0.1 inside `async with`. Times are monotonic seconds, which all processes of a machine share."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []  #: the whole request was here
        self.answered_at: list[float] = []  #: the last byte of the answer was handed to the kernel

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """What to set anthropic_base_url to."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = next(line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:"))
                await reader.readexactly(int(size))
                self.asked_at.append(time.monotonic())
                writer.write(_ANSWER)
                await writer.drain()
                self.answered_at.append(time.monotonic())
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the agent is gone
        finally:
            writer.close()


def _events() -> list[dict[str, object]]:
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-bench", "usage": usage}
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in _WORDS]
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": len(_WORDS)}},
        {"type": "message_stop"},
    ]


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_ANSWER = b"".join(
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n",
        *(_chunk(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode()) for each in _events()),
        b"0\r\n\r\n",
    ]
)
