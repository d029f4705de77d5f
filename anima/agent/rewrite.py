"""What of a conversation is rewritten when its window is laid: superfluous results and big ones, and long arguments. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from anima.agent.repeats import Result, superseded
from anima.agent.scroll import Told
from anima.agent.voice import args_line
from anima.nous.model import Call, Message
from anima.nous.tokens import estimate_message

NOTED_CHARS = 200  # what is kept of the arguments of a call whose result is superfluous
HEAD_SHARE = 2 / 3  # of what is kept; the rest is the tail
Change = tuple[str, int, str]  # what, how many tokens less, why


@dataclass(frozen=True, slots=True)
class Laid:
    """How far rewriting reaches: every turn before the one asked at `turn`, and of that one the steps up to `step`."""

    turn: int
    step: int
    chars: int  #: what a result or an argument may keep

    def reaches(self, told: Told, step: int) -> bool:
        """Whether a step is rewritten."""
        return told.seq < self.turn or (told.seq == self.turn and 0 < step <= self.step)


@dataclass(slots=True)
class _Found:
    """One call with its answer."""

    turn: int  #: which of the turns
    call: Call
    answer: Message
    result: Result


def rewritten(turns: Sequence[Told], laid: Laid) -> list[tuple[list[Message], list[Change]]]:
    """Each turn's messages, and what is not in them any more."""
    found = [each for at, told in enumerate(turns) for each in _calls(at, told, laid)]
    newer = superseded([each.result for each in found])
    calls: dict[int, Call] = {}  # by the identity of what they stand for
    answers: dict[int, Message] = {}
    changes: list[list[Change]] = [[] for _ in turns]
    for at, each in enumerate(found):
        name = each.result.name
        if at in newer:
            by = found[newer[at]].result.name
            text, why, kept = f"[left out: {by}, further down, tells what holds now]", f"superseded by {by}", NOTED_CHARS
        else:
            text, why, kept = shortened(each.answer.text, laid.chars), "only head and tail of long ones", laid.chars
        call, answer = _lessened(each.call, kept), replace(each.answer, text=text)
        if len(text) >= len(each.answer.text):
            answer = each.answer
        if call is each.call and answer is each.answer:
            continue
        calls[id(each.call)], answers[id(each.answer)] = call, answer
        changes[each.turn].append((name, _weight(each.call, each.answer) - _weight(call, answer), why))
    return [(_put(told, laid, calls, answers), changes[at]) for at, told in enumerate(turns)]


def _calls(at: int, told: Told, laid: Laid) -> list[_Found]:
    found: list[_Found] = []
    for step, messages in told.steps():
        if laid.reaches(told, step) and messages[0].calls:
            for call, answer in zip(messages[0].calls, messages[1:], strict=False):
                name = f"{call.tool}({args_line(call.args)})"
                found.append(_Found(at, call, answer, Result(call.tool, call.args, answer.ok, name)))
    return found


def _put(told: Told, laid: Laid, calls: Mapping[int, Call], answers: Mapping[int, Message]) -> list[Message]:
    """The turn's messages with what was rewritten in its place."""
    shown: list[Message] = []
    for step, messages in told.steps():
        shown += [_one(each, calls, answers) for each in messages] if messages[0].calls else messages
        if told.seq == laid.turn and laid.reaches(told, step):  # a thought is signed together with what stood before it
            shown[-len(messages) :] = [
                replace(each, thoughts=()) if each.thoughts else each for each in shown[-len(messages) :]
            ]
    return shown


def _one(message: Message, calls: Mapping[int, Call], answers: Mapping[int, Message]) -> Message:
    if message.calls:
        return replace(message, calls=tuple(calls.get(id(call), call) for call in message.calls))
    return answers.get(id(message), message)


def _weight(call: Call, answer: Message) -> int:
    return estimate_message(Message("assistant", "", calls=(call,))) + estimate_message(answer)


def _lessened(call: Call, chars_max: int) -> Call:
    """The call with long texts among its arguments shortened."""
    if all(not isinstance(value, str) or len(value) <= chars_max for value in call.args.values()):
        return call
    args: dict[str, Any] = {
        key: shortened(value, chars_max) if isinstance(value, str) else value for key, value in call.args.items()
    }
    return replace(call, args=args)


def shortened(text: str, chars_max: int) -> str:
    """Head and tail of a text, and between them how much is missing and where the whole lies, if the text tells."""
    if len(text) <= chars_max:
        return text
    head, tail = int(chars_max * HEAD_SHARE), int(chars_max * (1 - HEAD_SHARE))
    missing = len(text) - head - tail
    return (
        f"{text[:head]}\n[... {missing:,} of {len(text):,} characters left out; {_where(text)} ...]\n{text[len(text) - tail :]}"
    )


def _where(text: str) -> str:
    """Where a tool said that the whole lies (tools/run.py), or how to come by it."""
    _, found, rest = text.partition("the whole is in ")
    place = rest.partition(" ...]")[0].partition("\n")[0]
    return f"the whole is in {place}" if found and place else "the same call brings it again, if it is needed"
