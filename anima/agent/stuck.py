"""Whether a turn goes in circles: its last steps brought nothing that was not known before. Pure.

A step brings something new if one of its calls had an answer that no earlier call of this tool with these arguments had,
or does not say yet; or if it is a piece of the answer, words and nothing else; or if it is a draft that was judged, of which
there are only so many (revisions_max). Words beside calls are no news: a model that goes in circles is full of them.
"""

from anima.agent.steps import Progress
from anima.errors import Spent


def check(progress: Progress, most: int) -> None:
    """Raises Spent, as a sentence for the person, if the last `most` steps of the turn brought nothing new."""
    if (idle := idle_steps(progress)) >= most:
        raise Spent(
            f"the last {idle} steps of the turn brought nothing new (turn_idle_steps_max), so it goes in circles and "
            "was ended; ask in other words, or for a smaller part of it"
        )


def idle_steps(progress: Progress) -> int:
    """How many steps in a row, up to the last one, brought nothing new."""
    seen: set[tuple[str, str, str]] = set()
    drafts = {reflected.step for reflected in progress.reflections().values()}
    idle = 0
    for called, answers in progress.answers():
        found = {(call.tool, repr(sorted(call.args.items())), response.text) for call, response in answers if response}
        waits = any(response is None for _, response in answers)
        speaks = bool(called and called.text and not called.refused and not answers)
        drafted = bool(called and called.step in drafts)
        idle = 0 if waits or speaks or drafted or found - seen else idle + 1
        seen |= found
    return idle
