"""What lies below Anthropic's SDK: its HTTP library, with a bound. Heavy to import; imported when a model is opened.

Which library that is (httpx, later httpx2) is the SDK's affair, so it is found through the client class that the SDK
derives from it.
"""

import json
import sys
from collections.abc import AsyncGenerator
from typing import Any

import anthropic

from anima.errors import Refused
from anima.nous.exchange import is_here

_LIBRARY: Any = sys.modules[anthropic.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]]

_SCHEMES = ("all://", "http://", "https://")

#: What may come out of the SDK when the network or the API fails; anything else is a mistake of ours. While a stream is
#: read the SDK lets errors of its HTTP library through unchanged.
FAILURES: tuple[type[Exception], ...] = (
    anthropic.APIError,
    _LIBRARY.HTTPError,
    _LIBRARY.StreamError,
    json.JSONDecodeError,
)


class _Bounded(_LIBRARY.AsyncByteStream):  # type: ignore[misc]  # its type is known when the SDK is
    """The bytes of one answer, up to a bound."""

    def __init__(self, stream: Any, bytes_max: int) -> None:
        self._stream = stream
        self._left = bytes_max

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._stream:
            self._left -= len(piece)
            if self._left < 0:
                raise Refused("the model answered more than anybody could read and was cut off; ask for less at once")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def bounded_client(bytes_max: int, url: str) -> anthropic.DefaultAsyncHttpxClient:
    """The SDK's HTTP client, which breaks off a larger answer: the SDK would collect an endless line in memory.

    Reading an answer raises Refused then; the SDK may wrap it. No proxy of the environment leads to a server on this machine.
    """

    async def bound(response: Any) -> None:
        response.stream = _Bounded(response.stream, bytes_max)

    direct: dict[str, Any] = {"mounts": dict.fromkeys(_SCHEMES)} if is_here(url) else {}  # against the environment's
    return anthropic.DefaultAsyncHttpxClient(event_hooks={"response": [bound]}, **direct)
