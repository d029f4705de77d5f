"""The Messages API in pure functions: a request rendered, a stream of events read, a failure judged.

https://docs.claude.com/en/api/messages-streaming and .../errors
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anima.errors import Refused
from anima.nous.model import Call, Delta, Done, Message, Request, Text, Thinking, storable
from anima.nous.retry import Transient

_BLANK = "(an empty message)"  # the API refuses a message without visible characters


def render(request: Request, model: str) -> dict[str, Any]:
    """The body of POST /v1/messages, without `stream`.

    The API wants a person to begin, answers of tools inside a user message directly after the calls, and no empty
    blocks. So what precedes the first user message in view is left out, neighbours of one role are joined, and a
    blank message of a person says that it is blank.
    """
    start = next((at for at, each in enumerate(request.messages) if each.role == "user"), len(request.messages))
    messages: list[dict[str, Any]] = []
    for message in request.messages[start:]:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"].extend(blocks)
        elif blocks:
            messages.append({"role": role, "content": blocks})
    if request.reminder.strip() and messages and messages[-1]["role"] == "user":
        # in tags: it comes from the agent's folder, and the person must not seem to have said it
        messages[-1]["content"].append({"type": "text", "text": f"<reminder>\n{request.reminder.strip()}\n</reminder>"})
    body: dict[str, Any] = {"model": model, "max_tokens": request.tokens_max, "messages": messages}
    if request.system.strip():
        body["system"] = request.system
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.summary, "input_schema": dict(tool.schema)} for tool in request.tools
        ]
    return body


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.call_id, "content": message.text, "is_error": not message.ok}
        return [result]
    if message.role == "user":
        return [{"type": "text", "text": message.text if message.text.strip() else _BLANK}]
    texts = [{"type": "text", "text": message.text}] if message.text.strip() else []
    calls = [{"type": "tool_use", "id": call.id, "name": call.tool, "input": dict(call.args)} for call in message.calls]
    return [*texts, *calls]


class Reading:
    """One stream of events, read into deltas. `whole` once the API said message_stop."""

    def __init__(self) -> None:
        self.whole = False
        self._tool: tuple[str, str] | None = None  # id and name of the tool_use block that is open
        self._json: list[str] = []
        self._broken = ""  # the tool whose arguments made no sense
        self._half = ""  # the first half of a character whose second half comes with the next delta
        self._stop_reason = ""
        self._tokens_in = 0
        self._tokens_out = 0

    def read(self, event: Any) -> Iterator[Delta]:
        """The deltas in one event of the SDK. Unknown events and blocks are left out, as the API's versioning asks.

        Raises Transient for a tool call whose JSON is broken, Refused for the stop reason `refusal`.
        """
        match getattr(event, "type", ""):
            case "message_start":
                self._count(getattr(event.message, "usage", None))
            case "content_block_start":
                yield from self._open(event.content_block)
            case "content_block_delta":
                yield from self._delta(event.delta)
            case "content_block_stop":
                yield from self._close()
            case "message_delta":
                self._count(getattr(event, "usage", None))
                self._stop(event.delta)
            case "message_stop":
                self.whole = True
                yield Done(self._stop_reason or "end_turn", self._tokens_in, self._tokens_out)

    def _open(self, block: Any) -> Iterator[Delta]:
        if block.type == "tool_use":
            self._tool, self._json = (block.id, block.name), []
        elif block.type == "text":
            yield from self._text(block.text)

    def _delta(self, delta: Any) -> Iterator[Delta]:
        match delta.type:
            case "text_delta":
                yield from self._text(delta.text)
            case "thinking_delta" if delta.thinking:
                yield Thinking(_mended(delta.thinking))
            case "input_json_delta":
                self._json.append(delta.partial_json)

    def _text(self, text: str) -> Iterator[Delta]:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if text:
            yield Text(_mended(text))

    def _close(self) -> Iterator[Delta]:
        if self._half:
            self._half = ""
            yield Text("\ufffd")
        if self._tool is None:
            return
        (call, tool), self._tool = self._tool, None
        try:
            args = json.loads("".join(self._json) or "{}")
        except ValueError:
            args = None
        if isinstance(args, dict) and storable(args):
            yield Call(call, tool, args)
        else:
            self._broken = tool

    def _stop(self, delta: Any) -> None:
        self._stop_reason = getattr(delta, "stop_reason", None) or self._stop_reason
        if self._stop_reason == "refusal":
            details = getattr(delta, "stop_details", None)
            why = getattr(details, "explanation", None) or getattr(details, "category", None) or "it gives no reason"
            raise Refused(f"the model declined to answer ({why}); say it differently, or `animactl clear` the session")
        if self._broken and self._stop_reason != "max_tokens":  # cut by the limit, half a call is to be expected
            raise Transient(f"the model called '{self._broken}' with arguments that make no sense")

    def _count(self, usage: Any) -> None:
        """Counts in the stream are cumulative; what was read from or written to the prompt cache is input as well."""
        parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        tokens_in = sum(getattr(usage, part, None) or 0 for part in parts)
        self._tokens_in = max(self._tokens_in, tokens_in)
        self._tokens_out = max(self._tokens_out, getattr(usage, "output_tokens", None) or 0)


def _mended(text: str) -> str:
    """`text` with surrogate pairs joined (JSON escapes may split a character) and lone halves replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error answer says. `kind` and `code` are the API's words; "" when it was not the API that answered."""

    status: int
    kind: str = ""
    code: str = ""
    message: str = ""
    after_s: float | None = None


_STATUS_OF_KIND = {  # an error inside a stream arrives with status 200; its kind says what it would have been
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def read_failure(status: int, body: object, after_s: float | None) -> Failure:
    """The failure in an error body, which may be the API's JSON or whatever a proxy wrote."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Failure(status, after_s=after_s)
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, Mapping) else None
    kind, message = error.get("type"), error.get("message")
    status = status if status >= 400 else _STATUS_OF_KIND.get(str(kind), 500)  # noqa: PLR2004 - where HTTP's errors begin
    return Failure(status, str(kind or ""), str(code or ""), str(message or ""), after_s)


_REFUSALS = {  # what a status means to the person, and the way out; {said} is the API's own sentence
    401: "Anthropic refused the key{said}; correct ANTHROPIC_API_KEY in the environment of `animactl up`, "
    "or models.anthropic_api_key in anima.toml",
    402: "the Anthropic account cannot pay for this{said}; see its billing in the Anthropic console",
    403: "the Anthropic key may not use {model}{said}; take another key or another model",
    404: "Anthropic has no model '{model}'{said}; correct `model` in the agent's agent.toml",
    413: "the conversation is too large for one request; `animactl clear` begins a new one",
}
_REFUSED_OTHERWISE = "Anthropic did not accept the request{said}; change the message, or `model` in the agent's agent.toml"
_PASSING = {
    408: "Anthropic waited too long for our request",
    409: "Anthropic was busy with a conflicting request",
    429: "Anthropic limits our rate of requests",
    529: "Anthropic is overloaded",
}


def judge(failure: Failure, model: str, url: str) -> Transient | Refused:
    """What the caller should make of a failure: try again (Transient) or tell the person (Refused)."""
    status, said = failure.status, _sentence(failure.message)
    if failure.code.endswith("spend_limit_reached"):  # comes as a 429, but waiting does not help
        return Refused(f"the Anthropic account has reached its spend limit{said}; raise it in the Anthropic console")
    if status in _PASSING:
        return Transient(_PASSING[status], failure.after_s)
    if status >= 500:  # noqa: PLR2004 - the other side's own trouble
        return Transient(f"{url} failed with status {status}{said}", failure.after_s)
    if not failure.kind:
        return Refused(f"{url} answered {status} and is not the Anthropic API; correct anthropic_base_url in anima.toml")
    return Refused(_REFUSALS.get(status, _REFUSED_OTHERWISE).format(said=said, model=model))


def _sentence(message: str, chars_max: int = 300) -> str:
    """The API's own words in brackets, on one line and not endless."""
    words = " ".join(message.split())
    if not words:
        return ""
    return f" ({words if len(words) <= chars_max else words[: chars_max - 1] + '…'})"
