"""Which of the calls a model wrote are passed on to the sandbox, and what it is told about the others. Pure.

Here stands only what the turn itself knows: its limits, and that it goes in circles. Whether a tool is there, whether
its arguments fit and whether the agent may use it is the sandbox's to say.
"""

from collections.abc import Sequence
from typing import Any

from anima.agent.steps import Progress, refusal
from anima.limits import step_calls_max
from anima.nous.model import Call
from anima.tools.repeat import repeated


def screen(calls: Sequence[Call], progress: Progress, turn_calls_max: int) -> tuple[list[Call], list[dict[str, Any]]]:
    """The calls to be passed on, in order, and for each of the others how it is kept (see steps.refusal)."""
    passed: list[Call] = []
    refused: list[dict[str, Any]] = []
    made, done = progress.calls_made(), progress.done()
    for place, call in enumerate(calls):
        if made + len(passed) >= turn_calls_max:
            sentence: str | None = (
                f"not run: this turn has made {made + len(passed)} tool calls, as many as it may (calls_per_turn_max). "
                "Answer with what you have, and say what is left to do"
            )
        elif len(passed) >= step_calls_max:
            sentence = f"not run: at most {step_calls_max} calls are taken at once; repeat this one in your next reply"
        else:
            sentence = repeated(done, call.tool, call.args)
        if sentence:
            refused.append(refusal(place, call, sentence))
        else:
            passed.append(call)
    return passed, refused
