"""remember, recall and what else an agent does with its memory: declared here for the model, done by the runtime.

Only mneme knows what is remembered, and nothing in a jail reaches it. What the call needs is checked here: `run.plan` answers
with `data` {memory: arguments}, and the sandbox asks mneme with them, in the name of the call's agent and session. The call's
id goes along, so a call that is made again is not remembered twice.
"""

from typing import Annotated

from anima.tools.schema import Within
from anima.tools.tool import How, Result, tool

_RUNTIME = How(place="runtime")
_Text = Annotated[str, Within(min=1, max=4_000)]
_Id = Annotated[str, Within(min=1, max=300)]
_Note = Annotated[str, Within(max=4_000)]


def _asked(**arguments: object) -> Result:
    return Result(ok=True, text="", data={"memory": arguments})


@tool(
    risk="safe",
    effect="idempotent",
    wall_s=20,
    keywords=("remember", "memory", "note", "fact", "keep", "learn", "preference"),
    how=_RUNTIME,
)
def remember(
    text: _Text,
    importance: Annotated[float, Within(min=0, max=1)] = 0.5,
    shared: bool = False,
    replaces: Annotated[str, Within(max=300)] = "",
) -> Result:
    """Keep a fact or a preference for good. What you know already gets more important; what contradicts it is replaced.

    Args:
        text: one fact, complete in itself: who, what, when, with names instead of "he" or "tomorrow"
        importance: from 0 to 1
        shared: whether your conversations with other people may know it too
        replaces: id of a memory that is true no longer, if you know it
    """
    return _asked(text=text, importance=float(importance), shared=shared, replaces=replaces)


@tool(
    risk="safe",
    effect="pure",
    wall_s=20,
    keywords=("recall", "memory", "remember", "past", "earlier", "said", "history", "search"),
    how=_RUNTIME,
)
def recall(
    query: _Text, limit: Annotated[int, Within(min=1, max=50)] = 8, days: Annotated[float, Within(min=0, max=36_500)] = 0
) -> Result:
    """Search all you remember: what was said and done, facts, summaries. The answer shows ids in brackets.

    Args:
        query: what you want to know, in words
        limit: how many memories at most
        days: only of the last so many days; 0 for all
    """
    return _asked(query=query, limit=limit, days=float(days))


@tool(
    risk="safe",
    effect="pure",
    wall_s=20,
    keywords=("memory", "context", "around", "before", "after", "conversation"),
    how=_RUNTIME,
)
def view_around(memory: _Id, turns: Annotated[int, Within(min=1, max=50)] = 6) -> Result:
    """Read what was said around a memory: in full next to it, in brief further off.

    Args:
        memory: its id, as recall shows it
        turns: how far to look on each side
    """
    return _asked(memory=memory, turns=turns)


@tool(risk="safe", effect="idempotent", wall_s=20, keywords=("forget", "memory", "delete", "wrong"), how=_RUNTIME)
def forget(memory: _Id, reason: _Note = "") -> Result:
    """Let go of a memory for good, because it is wrong or somebody wants it so.

    Args:
        memory: its id, as recall shows it
        reason: why, in a sentence
    """
    return _asked(memory=memory, reason=reason)


@tool(risk="safe", effect="idempotent", wall_s=20, keywords=("pin", "memory", "always", "keep"), how=_RUNTIME)
def pin(memory: Annotated[str, Within(max=300)] = "", text: _Note = "", off: bool = False) -> Result:
    """Have a memory always before your eyes in this conversation, or no longer. Pin little: there is little room.

    Args:
        memory: its id, as recall shows it
        text: instead of an id, the words themselves
        off: unpin it
    """
    return _asked(memory=memory, text=text, off=off)


@tool(risk="safe", effect="idempotent", wall_s=20, keywords=("goal", "aim", "plan", "want", "project"), how=_RUNTIME)
def set_goal(goal: _Text, long_term: bool = False, parent: Annotated[str, Within(max=300)] = "") -> Result:
    """Set yourself a goal, which you see in every turn until it is finished, and which brings memories to mind.

    Args:
        goal: what shall be the case when it is reached
        long_term: whether it is one for weeks, which others serve
        parent: id of the long-term goal it serves
    """
    return _asked(goal=goal, long_term=long_term, parent=parent)


@tool(risk="safe", effect="idempotent", wall_s=20, keywords=("goal", "progress", "update"), how=_RUNTIME)
def update_goal(goal: _Id, note: _Note = "", text: _Note = "") -> Result:
    """Note what was done for a goal, or what stands in its way; or put it in other words.

    Args:
        goal: its id
        note: what was done or found out
        text: the goal in new words
    """
    return _asked(goal=goal, note=note, text=text)


@tool(risk="safe", effect="idempotent", wall_s=20, keywords=("goal", "finish", "done", "reached", "give up"), how=_RUNTIME)
def finish_goal(goal: _Id, reached: bool = True, note: _Note = "") -> Result:
    """Say that a goal is reached, or that you give it up.

    Args:
        goal: its id
        reached: whether it is; otherwise it is given up
        note: what came of it
    """
    return _asked(goal=goal, reached=reached, note=note)
