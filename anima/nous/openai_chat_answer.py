"""Chat completions in pure functions: the documents of an answer read into deltas, streamed or not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from anima.errors import Refused
from anima.ids import new_id
from anima.nous.exchange import END
from anima.nous.model import Call, Delta, Done, Request, Text, Thinking
from anima.nous.openai_chat import Accent
from anima.nous.openai_errors import Failure, read_error
from anima.nous.openai_parts import Characters, Tagged, broken, counts, guessed, read_args

_STOPS = {
    "stop": "end_turn",
    "eos": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "model_length": "context",
}


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
