"""What the Messages API says, read into deltas: a stream of events, or a message that comes whole.

https://docs.claude.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterator
from typing import Any

from anima.errors import Refused
from anima.nous.model import STOP_REASONS, Call, Delta, Done, Text, Thinking, storable
from anima.nous.retry import Transient

_OURS = {"model_context_window_exceeded": "context"}  # the API's words for stopping that are not ours as well
_USAGE = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class Reading:
    """One answer of the model `name`, read into deltas. `whole` once the API said message_stop."""

    def __init__(self, name: str = "") -> None:
        self.whole = False
        self._name = name
        self._tool: tuple[str, str] | None = None  # id and name of the tool_use block that is open
        self._json: list[str] = []
        self._signature: list[str] = []  # of the thinking block that is open
        self._broken = ""  # the tool whose arguments made no sense
        self._half = ""  # the first half of a character whose second half comes with the next delta
        self._stop_reason = ""
        self._counted = dict.fromkeys(_USAGE, 0)

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
                yield self._done()

    def read_whole(self, message: Any) -> Iterator[Delta]:
        """The deltas of an answer that was not streamed. Raises as `read` does."""
        self._count(getattr(message, "usage", None))
        for block in message.content or ():
            match block.type:
                case "thinking":
                    if block.thinking:
                        yield Thinking(_mended(block.thinking))
                    self._signature = [block.signature or ""]
                    yield from self._close()
                case "tool_use":
                    yield from self._call(block.id, block.name, block.input)
                case _:
                    yield from self._open(block)
                    yield from self._close()
        self._stop(message)
        yield self._done()

    def _open(self, block: Any) -> Iterator[Delta]:
        match block.type:
            case "tool_use":
                self._tool, self._json = (block.id, block.name), []
            case "text":
                yield from self._text(block.text)
            case "redacted_thinking" if block.data:
                yield Thinking("", block.data, self._name, redacted=True)

    def _delta(self, delta: Any) -> Iterator[Delta]:
        match delta.type:
            case "text_delta":
                yield from self._text(delta.text)
            case "thinking_delta" if delta.thinking:
                yield Thinking(_mended(delta.thinking))
            case "signature_delta":
                self._signature.append(delta.signature)
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
        if signature := "".join(self._signature):
            self._signature = []
            yield Thinking("", signature, self._name)
        if self._tool is None:
            return
        (call, tool), self._tool = self._tool, None
        try:
            args = json.loads("".join(self._json) or "{}")
        except ValueError:
            args = None
        yield from self._call(call, tool, args)

    def _call(self, call: str, tool: str, args: Any) -> Iterator[Delta]:
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
        if self._broken and self._stop_reason not in ("max_tokens", "model_context_window_exceeded"):  # half a call, cut off
            raise Transient(f"the model called '{self._broken}' with arguments that make no sense")

    def _done(self) -> Done:
        self.whole = True
        reason = _OURS.get(self._stop_reason, self._stop_reason)
        fresh, written, read, out = self._counted.values()
        return Done(reason if reason in STOP_REASONS else "end_turn", fresh + written + read, out, read, written)

    def _count(self, usage: Any) -> None:
        """Counts in the stream are cumulative; what was read from or written to the prompt cache is input as well."""
        for part, counted in self._counted.items():
            self._counted[part] = max(counted, getattr(usage, part, None) or 0)


def _mended(text: str) -> str:
    """`text` with surrogate pairs joined (JSON escapes may split a character) and lone halves replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
