"""One address of a provider and what goes over the wire to it: a request out, JSON documents back, streamed or not.

Not in here: what the documents mean (openai_chat, openai_responses), what an error answer means (openai_errors), and
trying again (retry). The key is held by the HTTP client's headers alone and is taken out of every text this makes.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anima.clock import SYSTEM
from anima.errors import ConfigError, Refused
from anima.limits import MIB
from anima.nous.openai_errors import Failure, judge, read_failure
from anima.nous.retry import Transient, network, read_retry_after
from anima.nous.sse import Events

if TYPE_CHECKING:
    import httpx

MODULES = ("httpx",)  #: heavy (0.2 s); the root imports it before it forks

_CONNECT_S = 10.0
_ANSWER_BYTES_MAX = 64 * MIB  # frames of a stream weigh some hundred bytes for each token; this is beyond any answer
_EVENT_BYTES_MAX = 16 * MIB  # one event, or a whole answer that is not streamed
_ERROR_BYTES_MAX = MIB // 4  # of an error page
_PINGS = 5  # so many times the silence may last while a server shows by comments that it still works
_SECRET_CHARS_MIN = 6  # a shorter value of a header is a word, not a secret
_OK = 200
_DONE = "[DONE]"

END: dict[str, Any] = {}  #: stands for the word of a server that this was all; known by identity


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is reached, under which name, with which key, and what is sent with every request."""

    name: str  #: as configured: provider:model, or the name of a definition
    who: str  #: the provider, for sentences
    model: str  #: the provider's own name of it
    url: str  #: what the paths of the API are put behind
    key: str = field(default="", repr=False)
    key_place: str = ""  #: where a wrong key is to be corrected
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)  #: fields of the body that win over ours
    silence_s: float = 120.0  #: so long without a byte, and the line is dead


class Exchange:
    """An open endpoint with its pool of connections."""

    def __init__(self, endpoint: Endpoint) -> None:
        import httpx

        headers = {"accept": "text/event-stream, application/json", **endpoint.headers}
        if endpoint.key:
            headers["authorization"] = f"Bearer {endpoint.key}"
        timeout = httpx.Timeout(endpoint.silence_s, connect=_CONNECT_S)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self.endpoint = endpoint
        self._secrets = [each for each in (endpoint.key, *endpoint.headers.values()) if len(each) >= _SECRET_CHARS_MIN]
        self._failures = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)
        self._silences = (httpx.TimeoutException,)
        # no proxy of the environment leads to a server on this machine
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits, trust_env=not is_here(endpoint.url))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def ask(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """POST `body`; the documents of the answer: one, or if the body says `stream`, as many as there are events.

        Raises Transient, Refused or Overflow.
        """
        async with self._response("POST", path, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")) as response:
            if _sort(response) == "text/event-stream":
                async for document in self._events(response):
                    yield document
            else:
                yield await self._whole(response)

    async def get(self, path: str) -> dict[str, Any]:
        """GET one JSON document. Raises Transient or Refused."""
        async with self._response("GET", path, None) as response:
            return await self._whole(response)

    @asynccontextmanager
    async def _response(self, method: str, path: str, content: bytes | None) -> AsyncIterator["httpx.Response"]:
        """An answer with status 200; anything else is raised as what it means."""
        headers = {"content-type": "application/json"} if content is not None else {}
        url = self.endpoint.url + path
        try:
            async with self._client.stream(method, url, content=content, headers=headers) as response:
                if response.status_code != _OK:
                    raise self._judge(response, await self._body(response, _ERROR_BYTES_MAX, cut=True))
                yield response
        except self._silences:
            raise Transient(f"{self.endpoint.url} stayed silent for too long") from None
        except self._failures as error:
            raise network(error, self.endpoint.url, self._redact(str(error))) from None  # they carry the request and its key

    async def _events(self, response: "httpx.Response") -> AsyncGenerator[dict[str, Any], None]:
        events, total, heard_at = Events(), 0, SYSTEM.monotonic()
        async for piece in response.aiter_bytes():
            total += len(piece)
            for data in events.feed(piece):
                heard_at = SYSTEM.monotonic()
                yield self._document(data)
                if data.strip() == _DONE:
                    return
            if total > _ANSWER_BYTES_MAX or events.held > _EVENT_BYTES_MAX:
                raise self._endless()
            if SYSTEM.monotonic() - heard_at > self.endpoint.silence_s * _PINGS:
                raise Transient(f"{self.endpoint.url} kept the line open and said nothing for too long")
        for data in events.end():
            yield self._document(data)

    async def _whole(self, response: "httpx.Response") -> dict[str, Any]:
        if not _sort(response).endswith("json"):
            raise Refused(
                f"{self.endpoint.url} answered with {_sort(response)} where a model's answer belongs; "
                "correct base_url, or the proxy in between"
            )
        return self._document((await self._body(response, _EVENT_BYTES_MAX)).decode("utf-8", "replace"))

    async def _body(self, response: "httpx.Response", bytes_max: int, *, cut: bool = False) -> bytes:
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > bytes_max:
                if cut:
                    break
                raise self._endless()
        return body

    def _document(self, data: str) -> dict[str, Any]:
        if data.strip() == _DONE:
            return END
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise Transient(f"{self.endpoint.who} sent a chunk that is not JSON") from None
        if not isinstance(document, dict):
            raise Transient(f"{self.endpoint.who} sent a chunk that makes no sense")
        return document

    def _judge(self, response: "httpx.Response", body: bytes) -> Transient | Refused:
        after_s = read_retry_after(response.headers.get("retry-after"), SYSTEM.now())
        return self.judge(read_failure(response.status_code, body.decode("utf-8", "replace"), after_s))

    def judge(self, failure: Failure) -> Transient | Refused:
        """What a failure of this endpoint means."""
        place, failure = self.endpoint, replace(failure, message=self._redact(failure.message))
        return judge(failure, who=place.who, model=place.model, url=place.url, key_place=place.key_place)

    def _redact(self, said: str) -> str:
        """`said` without key and headers, should the other side have repeated them."""
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said

    def _endless(self) -> Refused:
        return Refused(f"{self.endpoint.who} answered more than anybody could read and was cut off; ask for less at once")


def is_here(url: str) -> bool:
    """Whether an address is one of this machine's own."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _sort(response: "httpx.Response") -> str:
    """What an answer says it is."""
    return str(response.headers.get("content-type", "")).split(";", maxsplit=1)[0].strip().lower() or "something unnamed"


def check_endpoint(endpoint: Endpoint) -> Endpoint:
    """The endpoint as it is. Raises ConfigError for an address or a key that cannot be right."""
    try:
        parts = urlsplit(endpoint.url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not close
        right = False
    if not right:
        raise ConfigError(f"'{endpoint.url}' is no address for {endpoint.name}; write base_url as https://HOST/v1")
    if not (endpoint.key.isascii() and endpoint.key.isprintable() and " " not in endpoint.key):
        raise ConfigError(f"the key for {endpoint.who} contains characters no key has; copy it again ({endpoint.key_place})")
    return endpoint
