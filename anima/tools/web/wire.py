"""One HTTP exchange with one pinned address: dialled by number, named by its host, bounded in bytes and in time.

httpcore, httpx's own engine, is used directly, because it takes the host as it is instead of parsing a URL a second time, and
lets us put our own dialler under it. It reads no environment: no proxy, no .netrc, no certificates from elsewhere.
"""

import ssl
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anima.tools.tool import ToolError
from anima.tools.web.hosts import Target

USER_AGENT = "anima/0.1 (an agent acting for a person)"
_CHUNK_BYTES = 65_536
_FORBIDDEN = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "accept-encoding",
     "proxy-authorization", "proxy-connection", "keep-alive"},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is decompressed; `cut` says that it was longer than may be."""

    status: int
    headers: Mapping[str, str]  #: names in lower case; several of one name joined by ", "
    body: bytes
    cut: bool


def exchange(
    request: Request, target: Target, addresses: list[str], deadline: float, body_bytes_max: int, certificates: str
) -> Answer:
    """Send a request to the first of the addresses that answers. Raises ToolError if none does, or it takes too long."""
    import httpcore  # costs 60 ms; only web tools pay

    from anima.tools.web.dial import PinnedBackend

    headers = [(b"host", target.authority.encode()), *_headers(request)]
    url = httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.target.encode()
    )
    extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), max(0.01, deadline - time.monotonic()))}
    backend = PinnedBackend(addresses, deadline)
    context = _tls(certificates) if target.scheme == "https" else None
    try:
        with (
            httpcore.ConnectionPool(ssl_context=context, network_backend=backend, retries=0) as pool,
            pool.stream(
                request.method.encode(), url, headers=headers, content=request.body or None, extensions=extensions
            ) as response,
        ):
            found = _joined(response.headers)
            body, cut = _read(response.iter_stream(), found.get("content-encoding", ""), body_bytes_max, deadline)
            return Answer(response.status, found, body, cut)
    except httpcore.TimeoutException as error:
        raise ToolError(f"{target.host} took too long to answer") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
        raise ToolError(f"{target.host} cannot be reached: {str(error)[:200] or type(error).__name__}") from error


def _tls(certificates: str) -> ssl.SSLContext:
    import certifi

    context = ssl.create_default_context(cafile=certificates or certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    """The given headers, checked, with our own where none is given. Raises ToolError for one that may not be given."""
    given = {"user-agent": USER_AGENT, "accept": "*/*"}
    for name, value in request.headers.items():
        low = name.lower()
        if low in _FORBIDDEN:
            raise ToolError(f"the header {name} is not yours to give; it follows from the request")
        if not low or any(not 33 <= ord(char) < 127 or char in '()<>@,;:\\"/[]?={}' for char in low):  # noqa: PLR2004
            raise ToolError(f"{name!r} is no name of a header")
        if any(char in value for char in "\r\n\0") or not value.isascii():
            raise ToolError(f"the value of the header {name} contains characters no header may")
        given[low] = value.strip(" \t")
    length = [("content-length", str(len(request.body)))] if request.body or request.method in ("POST", "PUT", "PATCH") else []
    return [(name.encode(), value.encode()) for name, value in [*given.items(), ("accept-encoding", "gzip, deflate"), *length]]


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _read(chunks: Iterable[bytes], encoding: str, most: int, deadline: float) -> tuple[bytes, bool]:
    """The body, decompressed as it comes and never further than `most`; whether there was more."""
    kind = encoding.strip().lower()
    if kind not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise ToolError(f"the answer is encoded as '{encoding[:60]}', which was not asked for")
    inflate: Any = zlib.decompressobj(wbits=47) if kind in ("gzip", "x-gzip", "deflate") else None
    body = bytearray()
    taken = 0
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise ToolError("the answer took too long to arrive")
        taken += len(chunk)
        if inflate is None:
            body += chunk[: most + 1 - len(body)]
        else:
            inflate = _inflate(inflate, chunk, body, most)
        if len(body) > most or taken > most:
            return bytes(body[:most]), True
    return bytes(body), False


def _inflate(inflate: Any, chunk: bytes, body: bytearray, most: int) -> Any:
    """Decompress one piece; a server that says deflate may send it without its header."""
    try:
        piece = inflate.decompress(chunk, most + 1 - len(body))
    except zlib.error as error:
        if body:
            raise ToolError(f"the answer is compressed wrongly: {error}") from error
        inflate = zlib.decompressobj(wbits=-15)
        try:
            piece = inflate.decompress(chunk, most + 1)
        except zlib.error:
            raise ToolError(f"the answer is compressed wrongly: {error}") from error
    body += piece
    return inflate
