"""The system prompt: who the agent is, then where it is. The same bytes as long as neither changes."""

from collections.abc import Mapping, Sequence

from anima.nous.model import ToolSpec

CONTEXT = """\
{persona}

## Where you are

You are the agent '{agent}', a process of its own on the host {host}. You think with {model}.
Your time zone is {time_zone}. You live on a journal: every message reaches you once and is answered once.
{tools}
"""


def system_prompt(persona: str, facts: Mapping[str, str], tools: Sequence[ToolSpec]) -> str:
    """The persona with its runtime context. `facts` has agent, host, model and time_zone."""
    named = "\n".join(f"- {tool.name}: {tool.summary}" for tool in tools)
    hands = f"Your tools:\n{named}" if tools else "You have no tools: you can speak, but not act."
    return CONTEXT.format(
        persona=persona.strip(), tools=hands, **{key: facts[key] for key in ("agent", "host", "model", "time_zone")}
    )
