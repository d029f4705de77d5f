"""What `animactl viewport` is told: what is in the window, what was left out and why, how well tokens are estimated. Pure."""

from typing import Any

from anima.agent.viewport import Shape, View
from anima.nous.model import Message
from anima.nous.tokens import Estimator, estimate_message

ROWS_MAX = 2_000  # of each list: the newest, so that the answer fits a message
TEXT_CHARS = 200


def explained(view: View, shape: Shape, prompt_tokens: int, estimator: Estimator) -> dict[str, Any]:
    """Plain values: `shown` and `left` row by row, in tokens of the model; the newest ROWS_MAX of each."""
    return {
        "prompt_tokens": estimator.tokens(prompt_tokens),
        "conversation_tokens": estimator.tokens(view.tokens),
        "start_tokens": estimator.tokens(shape.start),
        "limit_tokens": estimator.tokens(shape.limit),
        "turns": view.turns,
        "layout": view.layout.fields(),
        "estimate": {"factor": estimator.factor, "error": estimator.error, "replies": estimator.replies},
        "shown": [_row(each, estimator) for each in view.messages[-ROWS_MAX:]],
        "left": [
            {"what": each.what, "tokens": estimator.tokens(each.tokens), "why": each.why} for each in view.left[-ROWS_MAX:]
        ],
    }


def _row(message: Message, estimator: Estimator) -> dict[str, Any]:
    calls = " ".join(f"{call.tool}()" for call in message.calls)
    text = f"{message.text[:TEXT_CHARS]} {calls}".strip()
    return {"role": message.role, "tokens": estimator.tokens(estimate_message(message)), "text": text}
