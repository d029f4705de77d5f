"""What is worth telling of an event on one line, by its kind. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from anima.cli.doing import returned_line, took
from anima.cli.readable import brief
from anima.cli.terminal import NO_TERMINAL_COLUMNS, visible

Data = Mapping[str, Any]

_FIELDS = ("text", "reason", "name", "outcome", "model", "tool", "turn")  #: worth a line, the first two that are there
_SHORT = 18  # of an id: unique among the calls of one step, too


def tell(kind: str, data: Data) -> str:
    """The words about an event; of any length, on one line or several."""
    special = _BY_KIND.get(kind)
    if special is not None:
        try:
            return special(data)
        except (KeyError, TypeError, ValueError, AttributeError):  # malformed: then as what it is
            return _plain(data)
    words = [str(data[key]) for key in _FIELDS if data.get(key)]
    return " · ".join(words[:2]) if words else _plain(data)


def _plain(data: Data) -> str:
    return " ".join(f"{key}={value}" for key, value in data.items())


def _called(data: Data) -> str:
    return f"{visible(data['tool'])} {brief(data['args'], NO_TERMINAL_COLUMNS)}"


def _responded(data: Data) -> str:
    outcome = data.get("outcome") or ("done" if data["ok"] else "failed")
    return returned_line(data["tool"], outcome, data.get("duration_s", 0.0), data["text"], NO_TERMINAL_COLUMNS).strip()


def _asked(data: Data) -> str:
    return f"{_id(data)} {visible(data['tool'])} ({data['risk']}): {visible(data['reason'])}"


def _given(data: Data) -> str:
    always = f" for every call of {visible(data.get('tool', ''))}" if data.get("always") else ""
    why = f": {visible(data['reason'])}" if data.get("reason") else ""
    return f"{_id(data)} {'approved' if data['granted'] else 'denied'}{always}{why}"


def _question(data: Data) -> str:
    choices = f" ({', '.join(visible(str(each)) for each in data['choices'])})" if data.get("choices") else ""
    return f"{_id(data)} {visible(data['question'])}{choices}"


def _answered(data: Data) -> str:
    return f"{_id(data)} {visible(data['text'])}"


def _started(data: Data) -> str:
    again = f", attempt {data['attempt']}" if data["attempt"] > 1 else ""
    return f"{_id(data)} {visible(data['tool'])}{again}"


def _resolved(data: Data) -> str:
    note = f": {visible(data['note'])}" if data.get("note") else ""
    return f"{_id(data)} {data['outcome']}{note}"


def _settled(data: Data) -> str:
    left = f"; {len(data['left'])} events are about calls that wait or are in doubt" if data.get("left") else ""
    return f"all calls up to {data['settled_seq']} have their response{left}"


def _thought(data: Data) -> str:
    tokens = f"{data['tokens_in']} + {data['tokens_out']} tokens"
    cost = f"{data['model']} · step {data['step']} · {tokens}{took(data['duration_s'])}"
    return f"{cost}: {visible(data['text'])}" if data.get("text") else cost


def _reserved(data: Data) -> str:
    cost = f"{data['cost_usd']:.4f} US$" if data["cost_usd"] >= 0 else "a price nobody knows"
    return f"{data['model']} · step {data['step']} · at most {data['tokens']} tokens, {cost}"


def _imported(data: Data) -> str:
    return f"{len(data['rows'])} memories from {visible(data.get('origin', '')) or 'a file'}"


def _changed(data: Data) -> str:
    changes = brief(data["changes"], NO_TERMINAL_COLUMNS)
    return f"{str(data['memory'])[:_SHORT]} {changes}{': ' if data.get('reason') else ''}{visible(data.get('reason', ''))}"


def _snapshot(data: Data) -> str:
    return f"level {data['level']}, {data['since']} to {data['until']}, by {data['model']}: {visible(data['text'])}"


def _minded(data: Data) -> str:
    names = ", ".join(visible(str(each[1])) for each in data["inserts"]) or "nothing"
    recalled = len(data.get("recalled", ()))
    return f"step {data['step']} · {names}{f' · {recalled} memories' if recalled else ''}"


def _id(data: Data) -> str:
    return str(data["intent"])[:_SHORT]


_BY_KIND: dict[str, Callable[[Data], str]] = {
    "tool_call": _called,
    "tool_response": _responded,
    "approval_asked": _asked,
    "approval_given": _given,
    "question_asked": _question,
    "question_answered": _answered,
    "tool_started": _started,
    "intent_resolved": _resolved,
    "sandbox_settled": _settled,
    "model_called": _thought,
    "budget_reserved": _reserved,
    "brought_to_mind": _minded,
    "memories_imported": _imported,
    "memory_changed": _changed,
    "snapshot_stored": _snapshot,
}
