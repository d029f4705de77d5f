"""A stand-in for the Messages API that streams at a steady pace; each delta is the time it was written, in nanoseconds."""

import asyncio
import json
import time
from typing import Self

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


class Paced:
    """Listens on 127.0.0.1 inside `async with`. Stamps are of the monotonic clock, which all processes of a machine share."""

    def __init__(self, deltas: int, gap_s: float) -> None:
        self.deltas = deltas
        self.gap_s = gap_s
        self.most = 0  #: streams that flowed at the same time
        self._flowing = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1_000)
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
                self._flowing += 1
                self.most = max(self.most, self._flowing)
                try:
                    await self._flow(writer)
                finally:
                    self._flowing -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the one who asked is gone
        finally:
            writer.close()

    async def _flow(self, writer: asyncio.StreamWriter) -> None:
        usage = {"input_tokens": 10, "output_tokens": 1}
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "claude-bench",
            "usage": usage,
        }
        writer.write(_HEAD + _event("message_start", message=message))
        writer.write(_event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
        due = time.monotonic()
        for _ in range(self.deltas):
            due += self.gap_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            text = f"{time.monotonic_ns():019} "
            writer.write(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}))
        writer.write(_event("content_block_stop", index=0))
        writer.write(_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": self.deltas}))
        writer.write(_event("message_stop") + b"0\r\n\r\n")
        await writer.drain()


def _event(kind: str, **more: object) -> bytes:
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
