"""What of an event is worth an episode, and in which words. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BRIEF_CHARS = 400  # of what a tool returned; the journal has the rest
_ARGS_CHARS = 200
_REMEMBER = re.compile(r"\[REMEMBER:\s*([^\]\n]{1,2000})\]", re.IGNORECASE)

#: Tools whose calls are no deed: of memory itself, of the clock, of a model's own head.
SILENT = frozenset(
    {
        "remember",
        "recall",
        "view_around",
        "forget",
        "set_goal",
        "update_goal",
        "finish_goal",
        "pin",
        "think",
        "now",
        "notes",
        "list_tools",
        "sleep_until",
    }
)


def wished(text: str) -> tuple[str, list[str]]:
    """An answer without its `[REMEMBER: ...]`, and what it wants remembered."""
    wishes = [" ".join(each.split()) for each in _REMEMBER.findall(text)]
    return (_REMEMBER.sub("", text).strip(), wishes) if wishes else (text.strip(), [])


def deed(tool: str, args: Mapping[str, Any]) -> str:
    """A call of a tool in brief: `exec(command="ls")`."""
    told = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in args.items())
    return f"{tool}({_cut(told, _ARGS_CHARS)})"


def outcome(said: str, word: str, text: str) -> str:
    """The call with what came of it: its outcome and how the answer begins."""
    return f"{said} -> {word}: {_cut(' '.join(text.split()), _BRIEF_CHARS)}"


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def speaker_of(source: str) -> str:
    """Who speaks to an agent from that source: the person at the terminal is `user`, others are called as they are."""
    kind, _, rest = source.partition(":")
    return "user" if kind in ("cli", "") or not rest else rest if kind == "agent" else source
