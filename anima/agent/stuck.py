"""Whether a turn goes in circles: its last steps brought nothing that was not known before. Pure."""

from collections.abc import Sequence

from anima.errors import Spent
from anima.wire.events import Event, ModelCalled, ToolCall, ToolResponse


class Circles:
    """Counts the steps of one turn since the last one with anything new; a fold over the turn's events, in any order.

    A step brings something new if one of its calls had an answer that no earlier call of this tool with these arguments
    had, or does not say yet. Words beside calls are no news: a model that goes in circles is full of them.
    """

    def __init__(self, turn: str) -> None:
        self._turn = turn
        self._steps: set[int] = set()
        self._said: set[int] = set()  # steps with words and nothing refused: without calls, pieces of the answer
        self._calls: dict[str, tuple[int, int, ToolCall]] = {}  # step, place and call, by intent
        self._answers: dict[str, str] = {}  # by intent

    def apply(self, events: Sequence[Event]) -> None:
        """Take events, perhaps again. Raises BadMessage for a malformed body."""
        for each in events:
            match each.body:
                case ModelCalled(turn, step) as called if turn == self._turn:
                    self._steps.add(step)
                    if called.text and not called.refused:
                        self._said.add(step)
                case ToolCall(turn, step, place=place) as call if turn == self._turn:
                    self._calls[each.id] = (step, place, call)
                case ToolResponse(turn, intent=intent, text=text) if turn == self._turn:
                    self._answers[intent] = text
                case _:
                    pass

    def check(self, most: int) -> None:
        """Raises Spent, as a sentence for the person, if the last `most` steps brought nothing new."""
        if (idle := self.idle_steps()) >= most:
            raise Spent(
                f"the last {idle} steps of the turn brought nothing new (turn_idle_steps_max), so it goes in circles and "
                "was ended; ask in other words, or for a smaller part of it"
            )

    def idle_steps(self) -> int:
        """How many steps in a row, up to the last one, brought nothing new."""
        fresh = self._said - {step for step, _, _ in self._calls.values()}
        seen: set[tuple[str, str, str]] = set()
        for intent, (step, _, call) in sorted(self._calls.items(), key=lambda item: item[1][:2]):
            answer = self._answers.get(intent)
            found = (call.tool, repr(sorted(call.args.items())), answer or "")
            if answer is None or found not in seen:
                fresh.add(step)
                seen.add(found)
        count = 0
        for step in sorted(self._steps, reverse=True):
            if step in fresh:
                break
            count += 1
        return count
