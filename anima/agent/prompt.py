"""The system prompt: who the agent is, where it is, what its hands may do. The same bytes as long as none of it changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from anima.config.schema import Policy
from anima.tools.formats import teach
from anima.tools.tool import Tool

CONTEXT = """\
{persona}

## Where you are

You are the agent '{agent}', a process of its own on the host {host}. You think with {model}.
Your time zone is {time_zone}. You live on a journal: every message reaches you once and is answered once.
{hands}
"""

_NETWORK = {
    "none": "They reach no network.",
    "web": "They reach public addresses only.",
    "hosts": "They reach only these hosts: {hosts}.",
}
_APPROVAL = {
    "never": "",
    "risky": " Calls that change or reach something may wait until a person approves them.",
    "always": " Every call waits until a person approves it.",
}


def system_prompt(persona: str, facts: Mapping[str, str], hands: str) -> str:
    """The persona with its runtime context. `facts` has agent, host, model and time_zone; `hands` is of `about_tools`."""
    return CONTEXT.format(
        persona=persona.strip(), hands=hands, **{key: facts[key] for key in ("agent", "host", "model", "time_zone")}
    )


def about_tools(tools: Sequence[Tool], policy: Policy, workspace: Path) -> str:
    """What the model is told of its tools, where they act and how far they reach; how to call them, if it must write calls."""
    if not tools:
        return "You have no tools: you can speak, but not act."
    where = f"Your tools work in {workspace}, where relative paths begin."
    if policy.read or policy.write:
        where += f" They may also read {', '.join((*policy.read, *policy.write))}."
    if policy.write:
        where += f" They may also write {', '.join(policy.write)}."
    reach = _NETWORK[policy.network].format(hosts=", ".join(policy.hosts) or "none") + _APPROVAL[policy.approve]
    if policy.tool_format != "native":
        return f"{where} {reach}\n\n{teach(tools, policy.tool_format)}"
    named = "\n".join(f"- {tool.name}: {tool.summary.partition(chr(10))[0]}" for tool in tools)
    return f"{where} {reach}\nYour tools:\n{named}"
