"""Chat completions in pure functions: how a request is rendered. Its answers are read in openai_chat_answer.

https://platform.openai.com/docs/api-reference/chat. Every server that calls itself compatible speaks this, each with an
accent of its own; what they differ in stands in Accent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anima.nous.model import Call, Message, Request
from anima.nous.openai_parts import BLANK, PICTURES, data_url, effort, reminder, written_args


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
