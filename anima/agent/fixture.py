"""A past turn as a script for the model `scripted`, so that what went wrong once can be tried for ever. Pure.

The question and the answers of the tools are not in it: a test says the one and lets its tools, or its sandbox, give the
others. Entries answer the turn's own question wherever they can, so fixtures of several turns may stand in one file.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from anima.agent.past import Past, Played
from anima.agent.reflecting import opening
from anima.nous.model import Reply, Text
from anima.wire.events import ModelCalled

_MATCH_CHARS = 200  # of the question; more makes a script no surer
_ERRORS = {"Unavailable": "overloaded", "Refused": "refused", "Overflow": "refused", "ConfigError": "refused"}


def script(past: Past, played: Sequence[Played]) -> str:
    """The script: a comment that says where it is from, then one line of JSON for each call of a model."""
    message = past.message
    question = str(message.data.get("text", ""))
    head = [
        f"# turn {message.id} of {message.agent}, session {message.session}; made by `animactl replay --export`",
        f"# asked: {json.dumps(question, ensure_ascii=False)}",
    ]
    alone = _alone(past, played)
    return "\n".join([*head, *(json.dumps(_entry(each, question, alone), ensure_ascii=False) for each in played)]) + "\n"


def _alone(past: Past, played: Iterable[Played]) -> bool:
    """Whether the turn has words of the house in it that look like a person's: then entries go by their order, not by words."""
    bodies = [each.body for each in past.own if each.kind == "model_called"]
    told = any(not each.get("tool") for body in bodies if isinstance(body, ModelCalled) for each in body.refused)
    return told or any(each.about.get("tool_format", "native") != "native" for each in played)


def _entry(played: Played, question: str, alone: bool) -> dict[str, Any]:
    reply = Reply()
    pieces: list[str] = []
    for delta in played.deltas:
        if type(delta).__name__ == "Restart":
            pieces.clear()
        if isinstance(delta, Text):
            pieces.append(delta.text)
        reply.add(delta)
    entry: dict[str, Any] = {"deltas": pieces} if pieces else {"text": ""}
    if reply.thinking:
        entry["thinking"] = reply.thinking
    if reply.calls:
        entry["calls"] = [{"tool": call.tool, "args": dict(call.args)} for call in reply.calls]
    if played.error:
        entry["error"] = _ERRORS.get(played.error.partition(":")[0], "overloaded")
    if played.round:
        entry["match"] = f"^{re.escape(opening(played.round))}"
    elif not alone:
        entry["match"] = f"^{re.escape(question[:_MATCH_CHARS])}"
    return entry
