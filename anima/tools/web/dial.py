"""The dialler under httpcore: connects to addresses that were checked, whatever name it is given, and minds one deadline."""

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

_READ_BYTES_MAX = 65_536


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the first of `addresses` that takes it. The deadline (monotonic) binds every single operation."""

    def __init__(self, addresses: list[str], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the name was looked up and its addresses checked; it is not looked up again
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline decides
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to one of the pinned addresses."""
        last: Exception = httpcore.ConnectError("no address")
        for index, address in enumerate(self._addresses):
            share_s = _left(self._deadline) / (len(self._addresses) - index)  # a silent address leaves time for the next
            try:
                stream = self._tcp.connect_tcp(address, port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
            else:
                return _Timed(stream, self._deadline)
        raise last

    def connect_unix_socket(self, *_args: Any, **_more: Any) -> httpcore.NetworkStream:
        """Never."""
        raise httpcore.ConnectError("no Unix sockets")


class _Timed(httpcore.NetworkStream):
    """A stream whose every read and write ends by the deadline: a server that drips a byte a second gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(min(max_bytes, _READ_BYTES_MAX), _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left
