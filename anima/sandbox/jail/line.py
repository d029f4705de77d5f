"""A conversation with a long-lived jailed child: bytes both ways, until one side has enough."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Self

from anima.sandbox.jail.spec import Outcome

_CHUNK_BYTES = 64 * 1024


class Line:
    """One child that listens on its standard input and answers on its standard output. `Jails.converse` makes it."""

    def __init__(
        self,
        id: str,  # noqa: A002 - the word of the contract
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        end: "asyncio.Task[Outcome]",
    ) -> None:
        self.id = id  #: of its order, for `Jails.interrupt`
        self._reader = reader
        self._writer = writer
        self._end = end

    @classmethod
    async def open(cls, link: socket.socket, id: str, end: "asyncio.Task[Outcome]") -> Self:  # noqa: A002
        """Over a connected socket; `end` is what becomes of the child."""
        link.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=link)
        return cls(id, reader, writer, end)

    @property
    def over(self) -> bool:
        """Whether the child is gone."""
        return self._end.done()

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises ConnectionError if the child is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def read(self, size: int = _CHUNK_BYTES) -> bytes:
        """What has come, at most `size` bytes; b"" when the child has closed its side."""
        try:
            return await self._reader.read(size)
        except ConnectionError:
            return b""

    async def read_exactly(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises asyncio.IncompleteReadError if the child ends before."""
        return await self._reader.readexactly(size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    def close(self) -> None:
        """Send no more and read no more: the child sees the end of its input."""
        self._writer.close()

    async def wait(self) -> Outcome:
        """Wait for the child's end. Cancelling this does not end it; `Jails.interrupt(line.id, 0)` does."""
        try:
            return await asyncio.shield(self._end)
        finally:
            if self._end.done():
                with contextlib.suppress(ConnectionError):
                    self._writer.close()
