"""Thinking about an answer before it leaves: how it is asked for, what the verdict means, what was done so far.

    think -> evaluate -> good: respond
                      -> revise: think again, knowing what to do better -> evaluate -> ... at most revisions_max times

The evaluation is the very request that brought the draft, with the draft and a question behind it: a provider that keeps
prompts in a cache reads all but these from there. A draft that is sent back is a step of the turn like one whose calls
nobody could understand: its words, and behind them what is wrong with them. Verdict and consequence are stored together,
the draft's step with `revise`, the end of the turn with all others, so no death comes between them.
"""

from collections.abc import Sequence

from anima.config.schema import Reflection
from anima.nous.model import Message
from anima.wire.records import Reflected

_QUESTION = """\
{opening} look at it as somebody else would. Is it true, complete, to the point, and what was asked for?{besides}
Do not answer the person and call no tools. Write one of these two and nothing else:
GOOD
REVISE: what is wrong and what to do about it, in one or two sentences"""
_CRITIQUE = """\
(Nobody has seen this draft. Looked at again: {reason}
Write the whole answer anew, for the person; do not speak of the draft.)"""
_UNCLEAR_CHARS = 200


def opening(round_: int) -> str:
    """How the question about draft `round_` begins; scripts find it by these words."""
    return f"Before draft {round_} above leaves,"


def question(conversation: Sequence[Message], draft: str, round_: int, settings: Reflection) -> tuple[Message, ...]:
    """The conversation with the draft and the question about it."""
    besides = f" Look also at this: {settings.look_at.strip()}" if settings.look_at.strip() else ""
    asked = _QUESTION.format(opening=opening(round_), besides=besides)
    return (*conversation, Message("assistant", draft), Message("user", asked))


def critique(reason: str) -> str:
    """What the model is told of a draft that is sent back."""
    return _CRITIQUE.format(reason=reason)


def verdict(said: str) -> tuple[str, str]:
    """Whether it is good or to revise, with the reason; or unclear, with what was said instead."""
    text = said.strip().strip("*` \n")
    word, _, rest = text.partition(":")
    first = word.split()[0].strip(".,!*`").upper() if word.split() else ""
    if first == "GOOD":
        return "good", ""
    if first == "REVISE" and (reason := rest.strip("* \n")):
        return "revise", reason
    return "unclear", text[:_UNCLEAR_CHARS] or "nothing was said"


def may_revise(done: Sequence[Reflected], settings: Reflection) -> bool:
    """Whether another draft may be sent back, after those verdicts of the turn."""
    return sum(each.verdict == "revise" for each in done) < settings.revisions_max
