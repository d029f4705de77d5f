"""Claude through the official SDK. Opens connections, asks, closes; what things mean is in its neighbours anthropic_*.

The SDK's own retries are off: they cannot know what was shown already. See nous.retry.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anima.clock import SYSTEM
from anima.errors import ConfigError, Refused, Unavailable
from anima.limits import MIB
from anima.nous.anthropic_errors import doubts_thoughts, judge, read_failure
from anima.nous.anthropic_request import render
from anima.nous.anthropic_stream import Reading
from anima.nous.model import Delta, Done, Request
from anima.nous.retry import Policy, Transient, network, read_retry_after, stream_with_retries

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DEFAULT_MODEL = "claude-sonnet-5-5"  #: the vendor's "best combination of speed and intelligence", November 2026
MODULES = (
    "anthropic",
    "anthropic.resources.messages",
    "anima.nous.anthropic_http",
)  #: heavy (about a second); the root imports them before it forks

_DEFAULT_URL = "https://api.anthropic.com"
_CONNECT_S = 10.0
_ANSWER_BYTES_MAX = 64 * MIB  # frames of a stream weigh some hundred bytes for each token; this is beyond any answer
_WHOLE_S = 600.0  # an answer that is not streamed is silent until it is complete
_WORD = 5  # a value of a header with so many characters is a word, not a secret
_SUBSCRIPTION = "sk-ant-oat"  # how tokens of a subscription begin; `claude setup-token` makes them
_SUBSCRIPTION_BETA = {"anthropic-beta": "oauth-2025-04-20"}


@dataclass(frozen=True, slots=True)
class Extra:
    """What a definition in models/ may say beyond model, key and address."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  #: sent with every request; as secret as the key
    params: Mapping[str, Any] = field(default_factory=dict)  #: fields of the body that win over ours
    silence_s: float = 120.0  #: so long without a byte, and the line is dead; the API pings a quiet stream


class Anthropic:
    """One model of Anthropic. Its secrets appear in no text this class makes."""

    def __init__(self, model: str, client: "AsyncAnthropic", policy: Policy, extra: Extra) -> None:
        from anima.nous.anthropic_http import FAILURES

        self._model = model
        self._client = client
        self._url = str(client.base_url).rstrip("/")
        self._policy = policy
        self._extra = extra
        self._secrets = [
            each for each in (client.api_key, client.auth_token, *extra.headers.values()) if each and len(each) > _WORD
        ]
        self._failures = FAILURES

    @property
    def name(self) -> str:
        """anthropic:MODEL."""
        return f"anthropic:{self._model}"

    def __repr__(self) -> str:
        return f"<{self.name} at {self._url}>"

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model."""
        call = _Call(request)
        return stream_with_retries(lambda: self._attempt(call), self._policy)

    async def count_tokens(self, request: Request) -> int:
        """How many tokens the API says this request would be read as, which costs nothing.

        Raises Refused or Unavailable as `stream` does, but tries only once: an estimate can take its place.
        """
        body = render(request, self._model)
        if not body["messages"]:
            return 0
        asked = {name: body[name] for name in ("model", "messages", "system", "tools", "thinking") if name in body}
        try:
            return int((await self._client.messages.count_tokens(**asked)).input_tokens)
        except self._failures as error:
            try:
                raise self._read_error(error) from None
            except Transient as passing:
                raise Unavailable(f"{passing}; the tokens cannot be counted now") from None

    async def close(self) -> None:
        """Close the pool of connections."""
        await self._client.close()

    async def _attempt(self, call: "_Call") -> AsyncGenerator[Delta, None]:
        body = render(call.request, self._model, thoughts=call.thoughts)
        if not body["messages"]:  # the API refuses a request without a message; nobody asked, so nothing is answered
            yield Done("end_turn", 0, 0)
            return
        reading = Reading(self.name)
        try:
            said = self._flow(body, reading) if call.request.streamed else self._whole(body, reading)
            async with aclosing(said) as deltas:
                async for delta in deltas:
                    yield delta
        except self._failures as error:
            raise self._read_error(error, call) from None  # the SDK's errors carry the request, and with it the key
        if not reading.whole:
            raise Transient("Anthropic broke off in the middle of the answer")

    async def _flow(self, body: dict[str, Any], reading: Reading) -> AsyncGenerator[Delta, None]:
        async with await self._client.messages.create(stream=True, extra_body=self._extra.params, **body) as events:
            sort = events.response.headers.get("content-type", "")
            if "json" in sort:  # a server, or a proxy, that does not stream
                for delta in reading.read_whole(_message(await events.response.aread())):
                    yield delta
                return
            self._check_content(sort, "event-stream")
            async for event in events:
                for delta in reading.read(event):
                    yield delta

    async def _whole(self, body: dict[str, Any], reading: Reading) -> AsyncGenerator[Delta, None]:
        answer = await self._client.messages.with_raw_response.create(
            stream=False, timeout=_WHOLE_S, extra_body=self._extra.params, **body
        )
        self._check_content(answer.headers.get("content-type", ""), "json")
        for delta in reading.read_whole(_message(await answer.read())):
            yield delta

    def _check_content(self, content_type: str, expected: str) -> None:
        if expected not in content_type:
            said = content_type.split(";", maxsplit=1)[0] or "something unnamed"
            raise Refused(
                f"{self._url} answered with {said} where the Anthropic API sends {expected}; "
                "correct anthropic_base_url in anima.toml, or the proxy in between",
            )

    def _read_error(self, error: Exception, call: "_Call | None" = None) -> Transient | Refused:
        """What an exception out of the SDK means."""
        import anthropic

        if isinstance(error, anthropic.APIStatusError):
            after_s = read_retry_after(error.response.headers.get("retry-after"), SYSTEM.now())
            failure = read_failure(error.status_code, self._redact(error.body), after_s)
            if call and call.thoughts and doubts_thoughts(failure):
                call.thoughts = False
                return Transient("Anthropic did not want its earlier thoughts back", after_s=0.0)
            return judge(failure, self._model, self._url)
        if isinstance(error, anthropic.APITimeoutError):
            return Transient(f"{self._url} stayed silent for too long")
        if isinstance(error, json.JSONDecodeError):
            return Transient("Anthropic sent a chunk that is not JSON")
        cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
        return network(error, self._url, self._redact(str(cause)) or type(cause).__name__)

    def _redact(self, said: Any) -> Any:
        """`said` without key and headers, should the other side have repeated them."""
        if isinstance(said, str):
            for secret in self._secrets:
                said = said.replace(secret, "***")
            return said
        if isinstance(said, dict):
            return {name: self._redact(value) for name, value in said.items()}
        return said


def _message(body: bytes) -> Any:
    """A message that came whole. Raises Transient for bytes that are none."""
    from anthropic.types import Message

    try:
        return Message.model_validate_json(body)
    except ValueError:
        raise Transient("Anthropic sent an answer that makes no sense") from None


class _Call:
    """One request through all its attempts."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.thoughts = True  # until the API does not want them back


def open_anthropic(model: str, api_key: str, base_url: str, policy: Policy, extra: Extra = Extra()) -> Anthropic:
    """Claude, ready to be asked; nothing is sent yet. Raises ConfigError for a key or an address that cannot be right.

    `api_key` may be a token of a subscription as well; it then travels as a bearer's, with the beta header it needs.
    """
    import anthropic

    from anima.nous.anthropic_http import bounded_client

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
    subscribed = key.startswith(_SUBSCRIPTION)
    client = anthropic.AsyncAnthropic(
        api_key=None if subscribed else key,
        auth_token=key if subscribed else None,
        default_headers={**(_SUBSCRIPTION_BETA if subscribed else {}), **extra.headers},
        base_url=url,
        max_retries=0,
        timeout=anthropic.Timeout(extra.silence_s, connect=_CONNECT_S),
        http_client=bounded_client(_ANSWER_BYTES_MAX, url),
    )
    return Anthropic(model, client, policy, extra)
