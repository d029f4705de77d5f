"""Chat completions in pure functions: a request rendered, the documents of an answer read, streamed or not.

https://platform.openai.com/docs/api-reference/chat. Every server that calls itself compatible speaks this, each with an
accent of its own; what they differ in stands in Accent.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from anima.errors import Refused
from anima.ids import new_id
from anima.nous.exchange import END
from anima.nous.model import Call, Delta, Done, Message, Request, Text, Thinking
from anima.nous.openai_errors import Failure, read_error
from anima.nous.openai_parts import (
    BLANK,
    PICTURES,
    Characters,
    Tagged,
    broken,
    counts,
    data_url,
    effort,
    guessed,
    read_args,
    reminder,
    written_args,
)

_STOPS = {
    "stop": "end_turn",
    "eos": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "model_length": "context",
}


@dataclass(frozen=True, slots=True)
class Accent:
    """How a server's chat completions differ from the next one's."""

    tokens_field: str = "max_tokens"  #: what limits the answer; OpenAI itself has another name for it
    effort: bool = False  #: takes `reasoning_effort`
    usage: bool = True  #: takes `stream_options` to tell what was used
    tagged: bool = False  #: thoughts may stand in <think> tags before the answer
    unsigned: Mapping[str, Any] = field(default_factory=dict)  #: stands with calls that bear no signature of the model's own
    returns: str = ""  #: field of a message in which whole thoughts are wanted back


def render(request: Request, model: str, name: str, accent: Accent) -> dict[str, Any]:
    """The body of POST /chat/completions. `name` is what the model's own signatures bear. Raises Refused for a bad picture."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system.strip() else []
    pictures: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role != "tool" and pictures:  # all answers of one reply's calls come first, in one row
            messages.append({"role": "user", "content": [{"type": "text", "text": PICTURES}, *pictures]})
            pictures = []
        if message.role == "tool":
            pictures += _pictures(message)
        messages += _rendered(message, name, accent)
    if pictures:
        messages.append({"role": "user", "content": [{"type": "text", "text": PICTURES}, *pictures]})
    _remind(messages, reminder(request))
    body: dict[str, Any] = {"model": model, "messages": messages, accent.tokens_field: request.tokens_max}
    if request.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": each.name, "description": each.summary, "parameters": dict(each.schema)}}
            for each in request.tools
        ]
    if accent.effort and effort(request):
        body["reasoning_effort"] = effort(request)
    if request.streamed:
        body["stream"] = True
        if accent.usage:
            body["stream_options"] = {"include_usage": True}
    return body


def _rendered(message: Message, name: str, accent: Accent) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"role": "tool", "tool_call_id": message.call_id, "content": message.text}]
    if message.role == "user":
        text = message.text if message.text.strip() or message.images else BLANK
        pictures = _pictures(message)
        return [{"role": "user", "content": [{"type": "text", "text": text}, *pictures] if pictures else text}]
    said: dict[str, Any] = {"role": "assistant"}
    if message.text.strip():
        said["content"] = message.text
    if message.calls:
        said["tool_calls"] = calls = [_call(each, name) for each in message.calls]
        if accent.unsigned and not any("extra_content" in each for each in calls):
            calls[0]["extra_content"] = dict(accent.unsigned)
    thoughts = [each for each in message.thoughts if each.signature and each.by == name]
    if accent.returns and thoughts and len(said) > 1:
        said[accent.returns] = [detail for each in thoughts for detail in json.loads(each.signature)]
    return [said] if len(said) > 1 else []


def _call(call: Call, name: str) -> dict[str, Any]:
    rendered = {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": written_args(call)}}
    if call.signature and call.by == name:
        rendered["extra_content"] = json.loads(call.signature)
    return rendered


def _pictures(message: Message) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": data_url(each)}} for each in message.images]


def _remind(messages: list[dict[str, Any]], text: str) -> None:
    """Put the reminder last: into the person's message if that is the newest, else behind the tools' answers."""
    if not text or not messages or messages[-1]["role"] == "system":
        return
    if messages[-1]["role"] != "user":
        messages.append({"role": "user", "content": text})
    elif isinstance(messages[-1]["content"], str):
        messages[-1]["content"] += f"\n\n{text}"
    else:
        messages[-1]["content"].append({"type": "text", "text": text})


@dataclass
class _Calling:
    """A call that is being said."""

    id: str = ""
    tool: str = ""
    args: list[str] = field(default_factory=list)
    signature: str = ""


class Reading:
    """The documents of one answer, read into deltas. `end` says whether it was whole."""

    def __init__(self, request: Request, name: str, accent: Accent) -> None:
        self._request = request
        self._name = name
        self._characters = Characters()
        self._thinking = Characters()
        self._tagged = Tagged() if accent.tagged else None
        self._calls: list[_Calling] = []
        self._places: dict[int, _Calling] = {}
        self._details: list[Any] = []  # of the thoughts, as they are wanted back
        self._said: list[str] = []
        self._refusal: list[str] = []
        self._stop = ""
        self._ended = False  # the server said so, though perhaps not why
        self._counts: tuple[int, int, int, int] | None = None
        self.failure: Failure | None = None  #: an error that came inside of the stream

    def read(self, document: Mapping[str, Any]) -> Iterator[Delta]:
        """The deltas in one document; what is unknown is left out."""
        if document.get("error"):
            self.failure = read_error(document)
            return
        self._ended = self._ended or document is END
        self._counts = counts(document.get("usage")) or self._counts
        choices = document.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping):
            return
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, Mapping):
            yield from self._think(said)
            yield from self._speak(said)
            self._call(said)
        if choice.get("finish_reason"):
            self._stop = str(choice["finish_reason"])
        if choice.get("error"):
            self.failure = read_error(choice)

    def end(self) -> Iterator[Delta] | None:
        """What ends the answer, calls first; None if it was not whole. Raises Transient for broken calls, or Refused."""
        if self._refusal or self._stop == "content_filter":
            why = " ".join("".join(self._refusal).split()) or "it gives no reason"
            raise Refused(f"the model declined to answer ({why}); say it differently, or `animactl clear` the session")
        if not self._stop and not (self._ended and self._said):
            return None
        return self._end()

    def _end(self) -> Iterator[Delta]:
        if rest := self._characters.end():
            yield from self._tagged.feed(rest) if self._tagged else (Text(rest),)
        yield from self._tagged.end() if self._tagged else ()
        if self._details:
            yield Thinking("", json.dumps(self._details), self._name)
        stop = _STOPS.get(self._stop, "end_turn")
        calls = 0
        for each in self._calls:
            args = read_args("".join(each.args))
            if args is not None and each.tool:
                calls += 1
                signed = (each.signature, self._name) if each.signature else ("", "")
                yield Call(each.id or f"call_{new_id()}", each.tool, args, *signed)
            elif stop != "max_tokens":  # cut by the limit, half a call is to be expected
                raise broken(each.tool)
        stop = "tool_use" if calls and stop == "end_turn" else stop  # some servers say `stop` after a call
        yield Done(stop, *(self._counts or guessed(self._request, "".join(self._said))))

    def _think(self, said: Mapping[str, Any]) -> Iterator[Delta]:
        text = said.get("reasoning_content") or said.get("reasoning")
        if isinstance(text, str) and (text := self._thinking.feed(text)):
            self._said.append(text)
            yield Thinking(text)
        if isinstance(said.get("reasoning_details"), list):
            for detail in said["reasoning_details"]:
                join(self._details, detail)

    def _speak(self, said: Mapping[str, Any]) -> Iterator[Delta]:
        content = said.get("content")
        if isinstance(content, list):  # parts, as some servers write a whole answer
            content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
        if isinstance(said.get("refusal"), str):
            self._refusal.append(said["refusal"])
        if isinstance(content, str) and content and (text := self._characters.feed(content)):
            self._said.append(text)
            yield from self._tagged.feed(text) if self._tagged else (Text(text),)

    def _call(self, said: Mapping[str, Any]) -> None:
        calls = said.get("tool_calls")
        for order, each in enumerate(calls if isinstance(calls, list) else []):
            if not isinstance(each, Mapping):
                continue
            function = each.get("function")
            function = function if isinstance(function, Mapping) else {}
            calling = self._calling(each, function, order)
            calling.id = calling.id or str(each.get("id") or "")
            calling.tool = calling.tool or str(function.get("name") or "")
            args = function.get("arguments") or ""
            calling.args.append(args if isinstance(args, str) else json.dumps(args))
            if isinstance(each.get("extra_content"), Mapping):  # Gemini signs its calls and wants that back
                calling.signature = json.dumps(each["extra_content"])
            self._said.append(calling.args[-1])

    def _calling(self, each: Mapping[str, Any], function: Mapping[str, Any], order: int) -> _Calling:
        """The call that this piece belongs to. Some servers give every call the same index, or none; a new id tells."""
        index = each.get("index")
        place = index if isinstance(index, int) else order
        known = self._places.get(place)
        new_one = bool(known and each.get("id") and known.id and each["id"] != known.id)
        whole_one = bool(known and index is None and function.get("name"))
        if known is None or new_one or whole_one:
            known = self._places[place] = _Calling()
            self._calls.append(known)
        return known


def join(details: list[Any], piece: Any) -> None:
    """Put a piece of OpenRouter's `reasoning_details` to those before it: the same type and index go on where it stopped."""
    last = details[-1] if details else None
    if not (isinstance(piece, dict) and isinstance(last, dict)) or _place(piece) != _place(last) or piece.get("index") is None:
        details.append(piece)
        return
    grown = {key: last.get(key, "") + piece[key] for key in ("text", "summary", "data") if isinstance(piece.get(key), str)}
    details[-1] = {**last, **{key: value for key, value in piece.items() if value is not None}, **grown}


def _place(detail: Mapping[str, Any]) -> tuple[Any, Any]:
    return detail.get("type"), detail.get("index")
