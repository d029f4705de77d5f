"""Requests and deltas as plain JSON values and back, the same bytes for the same content. Pure.

What a model was shown is cut into parts: system prompt, tools, what changes seldom, what changes always, and each message.
A part that was shown before is the same bytes, so it is kept once.
"""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from anima.nous.model import Call, Delta, Done, Image, Message, Request, Restart, Text, Thinking, ToolSpec

VOLATILE = ("now", "started_at", "attempt")  #: facts that differ from call to call, and that no prompt shows
_DELTAS = {"text": Text, "thinking": Thinking, "call": Call, "restart": Restart, "done": Done}
_NEEDED: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"text": ""},
    "call": {"id": "", "tool": "", "args": {}},
    "restart": {"reason": ""},
    "done": {"stop_reason": ""},
}  # what a sort of delta must have, where it was left out because it is empty
_NAMES = {sort: name for name, sort in _DELTAS.items()}
DIGEST_BYTES = 16


def packed(value: Any) -> bytes:
    """A plain value as canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode(errors="surrogatepass")


def unpacked(data: bytes) -> Any:
    """The way back. Raises ValueError for what is no JSON."""
    return json.loads(data.decode(errors="surrogatepass"))


def digest(data: bytes) -> str:
    """The name of a part: 32 hexadecimal digits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def parts_of(request: Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The list of a request's parts, {system, tools, settings, facts: digest, messages: [digest]}, and the parts themselves."""
    settings = {
        name: getattr(request, name)
        for name in ("tokens_max", "thinking_tokens_max", "session", "agent", "reminder", "streamed")
    }
    named = {
        "system": packed(request.system),
        "tools": packed([dataclasses.asdict(tool) for tool in request.tools]),
        "settings": packed(settings),
        "facts": packed(dict(request.facts)),
    }
    messages = [packed(_message(message)) for message in request.messages]
    listed: dict[str, Any] = {name: digest(data) for name, data in named.items()}
    listed["messages"] = [digest(data) for data in messages]
    return listed, {digest(data): data for data in (*named.values(), *messages)}


def whole(listed: Mapping[str, Any], parts: Mapping[str, bytes]) -> Request:
    """The request again. Raises KeyError for a part that is not there, ValueError or TypeError for one that is none."""
    return Request(
        system=unpacked(parts[listed["system"]]),
        messages=tuple(_read_message(unpacked(parts[each])) for each in listed["messages"]),
        tools=tuple(ToolSpec(**each) for each in unpacked(parts[listed["tools"]])),
        facts=unpacked(parts[listed["facts"]]),
        **unpacked(parts[listed["settings"]]),
    )


def spelled_deltas(deltas: Sequence[Delta]) -> bytes:
    """What a model said, delta by delta: [[sort, fields], ...]."""
    return packed([[_NAMES[type(delta)], _bare(dataclasses.asdict(delta))] for delta in deltas])


def read_deltas(data: bytes) -> tuple[Delta, ...]:
    """The deltas again. Raises KeyError, ValueError or TypeError for anything else."""
    return tuple(_DELTAS[sort](**{**_NEEDED[sort], **fields}) for sort, fields in unpacked(data))


def _bare(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty anyway."""
    return {name: value for name, value in fields.items() if value != "" and value is not False}


def _message(message: Message) -> dict[str, Any]:
    fields = {
        "role": message.role,
        "text": message.text,
        "calls": [_bare(dataclasses.asdict(call)) for call in message.calls],
        "call_id": message.call_id,
        "images": [
            {"mime": image.mime, "path": image.path, "data": base64.b64encode(image.data).decode()} for image in message.images
        ],
        "thoughts": [_bare(dataclasses.asdict(thought)) for thought in message.thoughts],
        "failed": not message.ok,
    }
    return {name: value for name, value in fields.items() if value or name in ("role", "text")}


def _read_message(fields: Mapping[str, Any]) -> Message:
    return Message(
        fields["role"],
        fields["text"],
        tuple(Call(**{**_NEEDED["call"], **each}) for each in fields.get("calls", ())),
        fields.get("call_id", ""),
        not fields.get("failed", False),
        tuple(Image(each["mime"], base64.b64decode(each["data"]), each["path"]) for each in fields.get("images", ())),
        tuple(Thinking(**{**_NEEDED["thinking"], **each}) for each in fields.get("thoughts", ())),
    )
