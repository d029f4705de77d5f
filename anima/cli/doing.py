"""Calls of tools beside a conversation: one line when a call goes out, one when it is back. Pure."""

from collections.abc import Mapping
from typing import Any

from anima.cli.readable import brief
from anima.cli.table import duration
from anima.cli.terminal import one_line, visible

_TOLD_FROM_S = 0.05
_WHOLE_FROM_S = 60.0
_MARK = "… "
_BACK = "  "
_OUTCOMES = {"done": "ok", "unknown": "in doubt"}


def called_line(tool: str, args: Mapping[str, Any], columns: int) -> str:
    """`… exec command="ls"`, of at most `columns`."""
    return one_line(f"{_MARK}{visible(tool)} {brief(args, columns)}", columns)


def returned_line(tool: str, outcome: str, duration_s: float, text: str, columns: int) -> str:
    """`  exec: ok in 0.3 s: first line of the result`, of at most `columns`."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    told = f"{visible(tool)}: {_OUTCOMES.get(outcome, outcome)}{took(duration_s)}"
    return _BACK + one_line(f"{told}: {visible(first)}" if first else told, columns - len(_BACK))


def took(seconds: float) -> str:
    """` in 0.3 s`; nothing for what took no time worth telling."""
    if seconds < _TOLD_FROM_S:
        return ""
    return f" in {duration(seconds)}" if seconds >= _WHOLE_FROM_S else f" in {seconds:.1f} s"
