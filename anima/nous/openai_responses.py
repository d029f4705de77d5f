"""Responses in pure functions: a request rendered, the events or the whole of an answer read.

https://platform.openai.com/docs/api-reference/responses. Nothing is stored at the provider: the conversation is sent
whole each time, and thoughts travel encrypted, as the opaque items they came as.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from anima.errors import Refused
from anima.ids import new_id
from anima.nous.model import Call, Delta, Done, Image, Message, Request, Text, Thinking
from anima.nous.openai_errors import Failure, read_error
from anima.nous.openai_parts import (
    BLANK,
    Characters,
    broken,
    counts,
    data_url,
    effort,
    guessed,
    read_args,
    reminder,
    written_args,
)

_UNTHINKING = ("gpt-3", "gpt-4", "chatgpt-")  # models of these names refuse to be asked for thoughts


def render(request: Request, model: str, name: str) -> dict[str, Any]:
    """The body of POST /responses. `name` is what the model's own signatures bear. Raises Refused for a bad picture."""
    items = [item for message in request.messages for item in _items(message, name)]
    if (text := reminder(request)) and items:
        if items[-1].get("role") == "user":
            items[-1]["content"].append({"type": "input_text", "text": text})
        else:
            items.append({"role": "user", "content": [{"type": "input_text", "text": text}]})
    body: dict[str, Any] = {"model": model, "input": items, "max_output_tokens": request.tokens_max, "store": False}
    if request.system.strip():
        body["instructions"] = request.system
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": each.name,
                "description": each.summary,
                "parameters": dict(each.schema),
                "strict": False,  # our schemas leave optional arguments out of `required`
            }
            for each in request.tools
        ]
    if not model.startswith(_UNTHINKING):
        body["include"] = ["reasoning.encrypted_content"]
        body["reasoning"] = {"summary": "auto", **({"effort": effort(request)} if effort(request) else {})}
    if request.session or request.agent:
        body["prompt_cache_key"] = f"{request.agent}/{request.session}"[:64]  # the same machine, the same cache
    if request.streamed:
        body["stream"] = True
    return body


def _items(message: Message, name: str) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.call_id, "output": _output(message)}
    elif message.role == "user":
        text = message.text if message.text.strip() or message.images else BLANK
        yield {"role": "user", "content": [{"type": "input_text", "text": text}, *map(_picture, message.images)]}
    elif message.text.strip() or message.calls:  # a thought without what follows from it is refused
        for each in message.thoughts:
            if each.signature and each.by == name:
                yield json.loads(each.signature)
        if message.text.strip():
            yield {"role": "assistant", "content": [{"type": "output_text", "text": message.text}]}
        for call in message.calls:
            yield {"type": "function_call", "call_id": call.id, "name": call.tool, "arguments": written_args(call)}


def _output(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    return [{"type": "input_text", "text": message.text}, *map(_picture, message.images)]


def _picture(image: Image) -> dict[str, Any]:
    return {"type": "input_image", "image_url": data_url(image), "detail": "auto"}


class Reading:
    """The events of one answer, or the whole of it, read into deltas. `end` says whether it was whole."""

    def __init__(self, request: Request, name: str) -> None:
        self._request = request
        self._name = name
        self._characters = Characters()
        self._thinking = Characters()
        self._calls: list[Call] = []
        self._broken: list[str] = []  # tools whose arguments made no sense
        self._said: list[str] = []
        self._refusal: list[str] = []
        self._status = ""
        self._short = ""  # why an answer is incomplete
        self._counts: tuple[int, int, int, int] | None = None
        self.failure: Failure | None = None  #: an error that came inside of the stream

    def read(self, document: Mapping[str, Any]) -> Iterator[Delta]:
        """The deltas in one event, or in the whole answer; what is unknown is left out."""
        kind = str(document.get("type") or "")
        match kind:
            case "response.output_text.delta":
                yield from self._speak(document.get("delta"))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                yield from self._think(document.get("delta"))
            case "response.reasoning_summary_part.added":
                yield from self._think("\n\n" if self._said and document.get("summary_index") else "")
            case "response.refusal.delta":
                self._refusal.append(str(document.get("delta") or ""))
            case "response.output_item.done":
                yield from self._finish(document.get("item"))
            case "response.completed" | "response.incomplete" | "response.failed":
                self._close(document.get("response"))
            case "error":
                self.failure = read_error(document)
            case "" if document.get("object") == "response":
                yield from self._whole(document)
            case "" if document.get("error"):
                self.failure = read_error(document)

    def end(self) -> Iterator[Delta] | None:
        """What ends the answer, calls first; None if it was not whole. Raises Transient for broken calls, or Refused."""
        if self._refusal or self._short == "content_filter":
            why = " ".join("".join(self._refusal).split()) or "it gives no reason"
            raise Refused(f"the model declined to answer ({why}); say it differently, or `animactl clear` the session")
        return self._end() if self._status else None

    def _end(self) -> Iterator[Delta]:
        if rest := self._characters.end():
            yield Text(rest)
        stop = "max_tokens" if self._status == "incomplete" else "tool_use" if self._calls else "end_turn"
        if self._broken and stop != "max_tokens":  # cut by the limit, half a call is to be expected
            raise broken(self._broken[0])
        yield from self._calls
        yield Done(stop, *(self._counts or guessed(self._request, "".join(self._said))))

    def _speak(self, text: object) -> Iterator[Delta]:
        if isinstance(text, str) and text and (text := self._characters.feed(text)):
            self._said.append(text)
            yield Text(text)

    def _think(self, text: object) -> Iterator[Delta]:
        if isinstance(text, str) and text and (text := self._thinking.feed(text)):
            self._said.append(text)
            yield Thinking(text)

    def _finish(self, item: object) -> Iterator[Delta]:
        """An item is whole: a thought to be kept, or a call."""
        if not isinstance(item, Mapping):
            return
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            kept = {key: item[key] for key in ("type", "id", "summary", "encrypted_content") if key in item}
            yield Thinking("", json.dumps(kept), self._name)
        elif item.get("type") == "function_call":
            tool, text = str(item.get("name") or ""), item.get("arguments")
            args = read_args(text if isinstance(text, str) else json.dumps(text))
            self._said.append(str(text))
            if args is None or not tool:
                self._broken.append(tool)
            else:
                self._calls.append(Call(str(item.get("call_id") or f"call_{new_id()}"), tool, args))

    def _close(self, response: object) -> None:
        if not isinstance(response, Mapping):
            return
        self._counts = counts(response.get("usage")) or self._counts
        self._status = str(response.get("status") or "completed")
        details = response.get("incomplete_details")
        self._short = str(details.get("reason") or "") if isinstance(details, Mapping) else ""
        if response.get("error") or self._status == "failed":
            self.failure = read_error(response)

    def _whole(self, response: Mapping[str, Any]) -> Iterator[Delta]:
        output = response.get("output")
        for item in output if isinstance(output, list) else []:
            for part in _parts(item, "summary"):
                yield from self._think(part.get("text"))
            for part in _parts(item, "content"):
                if part.get("type") == "refusal":
                    self._refusal.append(str(part.get("refusal") or ""))
                else:
                    yield from self._speak(part.get("text"))
            yield from self._finish(item)
        self._close(response)


def _parts(item: object, key: str) -> list[Mapping[str, Any]]:
    parts = item.get(key) if isinstance(item, Mapping) else None
    return [each for each in parts if isinstance(each, Mapping)] if isinstance(parts, list) else []
