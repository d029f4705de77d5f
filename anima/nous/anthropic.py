"""Claude through the official SDK, streaming. Opens connections, asks, closes; what things mean is in anthropic_wire.

The SDK's own retries are off: they cannot know what was shown already. See nous.retry.
"""

import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anima.clock import SYSTEM
from anima.errors import ConfigError, Refused
from anima.nous.anthropic_wire import Reading, judge, read_failure, render
from anima.nous.model import Delta, Done, Request
from anima.nous.retry import Policy, Transient, read_retry_after, stream_with_retries

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DEFAULT_MODEL = "claude-sonnet-5-5"  #: the vendor's "best combination of speed and intelligence", November 2026
MODULES = ("anthropic", "anthropic.resources.messages")  #: heavy (about a second); the root imports them before it forks

_DEFAULT_URL = "https://api.anthropic.com"
_CONNECT_S = 10.0
_SILENCE_S = 120.0  # the API pings a quiet stream every few seconds; this long without a byte, the line is dead


class Anthropic:
    """One model of Anthropic. The key is held by the SDK's client alone and appears in no text this class makes."""

    def __init__(self, model: str, client: "AsyncAnthropic", url: str, policy: Policy) -> None:
        self._model = model
        self._client = client
        self._url = url
        self._policy = policy
        self._failures = failures()

    @property
    def name(self) -> str:
        """anthropic:MODEL."""
        return f"anthropic:{self._model}"

    def __repr__(self) -> str:
        return f"<{self.name} at {self._url}>"

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model."""
        return stream_with_retries(lambda: self._attempt(request), self._policy)

    async def close(self) -> None:
        """Close the pool of connections."""
        await self._client.close()

    async def _attempt(self, request: Request) -> AsyncGenerator[Delta, None]:
        body = render(request, self._model)
        if not body["messages"]:  # the API refuses a request without a message; nobody asked, so nothing is answered
            yield Done("end_turn", 0, 0)
            return
        reading = Reading()
        try:
            async with await self._client.messages.create(stream=True, **body) as events:
                self._check_content(events.response.headers.get("content-type", ""))
                async for event in events:
                    for delta in reading.read(event):
                        yield delta
        except self._failures as error:
            raise self._read_error(error) from None  # the SDK's errors carry the request, and with it the key
        if not reading.whole:
            raise Transient("Anthropic broke off in the middle of the answer")

    def _check_content(self, content_type: str) -> None:
        if "event-stream" not in content_type:
            said = content_type.split(";", maxsplit=1)[0] or "something unnamed"
            raise Refused(
                f"{self._url} answered with {said} where the Anthropic API sends a stream; "
                "correct anthropic_base_url in anima.toml, or the proxy in between",
            )

    def _read_error(self, error: Exception) -> Transient | Refused:
        """What an exception out of the SDK means."""
        import anthropic

        if isinstance(error, anthropic.APIStatusError):
            after_s = read_retry_after(error.response.headers.get("retry-after"), SYSTEM.now())
            return judge(read_failure(error.status_code, self._redact(error.body), after_s), self._model, self._url)
        cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return Refused(f"the certificate of {self._url} cannot be verified; correct the address or install its authority")
        if isinstance(error, anthropic.APITimeoutError):
            return Transient(f"{self._url} stayed silent for too long")
        if isinstance(error, json.JSONDecodeError):
            return Transient("Anthropic sent a chunk that is not JSON")
        return Transient(f"the connection to {self._url} failed ({self._redact(str(cause)) or type(cause).__name__})")

    def _redact(self, said: Any) -> Any:
        """`said` without the key, should the other side have repeated it."""
        key = self._client.api_key
        if isinstance(said, str):
            return said.replace(key, "***") if key else said
        if isinstance(said, dict):
            return {name: self._redact(value) for name, value in said.items()}
        return said


def failures() -> tuple[type[Exception], ...]:
    """What may come out of the SDK when the network or the API fails; anything else is a mistake of ours.

    While a stream is read the SDK lets errors of its HTTP library through unchanged. Which library that is (httpx, later
    httpx2) is the SDK's affair, so it is found through the client class that the SDK derives from it.
    """
    import anthropic

    library = sys.modules[anthropic.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]]
    return (anthropic.APIError, library.HTTPError, library.StreamError, json.JSONDecodeError)


def open_anthropic(model: str, api_key: str, base_url: str, policy: Policy) -> Anthropic:
    """Claude, ready to be asked; nothing is sent yet. Raises ConfigError for a key or an address that cannot be right."""
    import anthropic

    key, url = api_key.strip(), (base_url or _DEFAULT_URL).rstrip("/")
    model = model or DEFAULT_MODEL
    if not key:
        raise ConfigError(
            f"the model anthropic:{model} needs a key: set ANTHROPIC_API_KEY in the environment of `animactl up`, "
            "or models.anthropic_api_key in anima.toml, or choose the model `reflex`, which needs none",
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError("the Anthropic key contains characters no key has; copy it again from the Anthropic console")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"'{url}' is no address for anthropic_base_url in anima.toml; write it as {_DEFAULT_URL}")
    timeout = anthropic.Timeout(_SILENCE_S, connect=_CONNECT_S)
    return Anthropic(model, anthropic.AsyncAnthropic(api_key=key, base_url=url, max_retries=0, timeout=timeout), url, policy)
