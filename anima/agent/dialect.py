"""Conversations in text, for models without blocks for tool calls: how a call and its answer are spelled. Pure.

What such a model wrote is parsed by anima/tools/formats.py. Here the way back: what the journal knows of calls and
answers is written as the model would have written it, so that it reads its own past in the form it is taught.
"""

import json
from collections.abc import Sequence

from anima.nous.model import Call, Message

OPENINGS = ("<tool>", "<function=")  #: where a call begins; nobody who looks on wants to read what follows


def spelled(messages: Sequence[Message], form: str) -> tuple[Message, ...]:
    """The conversation with every call and answer as text; answers that follow each other are one message."""
    told: list[Message] = []
    tools = {call.id: call.tool for message in messages for call in message.calls}
    joins = False  # the last message consists of answers of tools, so the next one belongs to it
    for message in messages:
        if message.role == "tool":
            state = "" if message.ok else ' ok="false"'
            text = f'<result tool="{tools.get(message.call_id, "?")}"{state}>\n{message.text}\n</result>'
            if joins:
                text = f"{told.pop().text}\n{text}"
            told.append(Message("user", text))
        else:
            calls = [_written(call, form) for call in message.calls]
            told.append(Message(message.role, "\n".join([message.text, *calls] if message.text else calls)))
        joins = message.role == "tool"
    return tuple(told)


def _written(call: Call, form: str) -> str:
    if form == "tags":
        return f"<tool>{json.dumps({'name': call.tool, 'args': dict(call.args)}, ensure_ascii=False)}</tool>"
    values = [
        f"<parameter={key}>\n{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n</parameter>"
        for key, value in call.args.items()
    ]
    return "\n".join([f"<function={call.tool}>", *values, "</function>"])


class Curtain:
    """Lets the text of a reply through as it streams, up to where its first call begins."""

    def __init__(self) -> None:
        self._held = ""
        self._drawn = False

    def pass_on(self, piece: str) -> str:
        """What may be shown after `piece` came; what could be the beginning of a call is held back until it is known."""
        if self._drawn:
            return ""
        text = self._held + piece
        if places := [at for opening in OPENINGS if (at := text.find(opening)) >= 0]:
            self._drawn, self._held = True, ""
            return text[: min(places)]
        keep = max(size for opening in OPENINGS for size in range(len(opening)) if text.endswith(opening[:size]))
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What is still held back when the reply is over."""
        held, self._held = self._held, ""
        return held
