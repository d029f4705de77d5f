"""May this call be carried out? A pure decision over the tool's card, its arguments and the agent's policy.

Covers: which tools an agent may use, whether they may reach the network, which calls a person is asked about. Everyone's
call comes through here, also one that a person makes by hand: the policy is the agent's.
Does not cover: what a call does once it runs. That is the jail's, and within `safe_shell` the tool's own decision.

The policy comes from agents/NAME/agent.toml, which no tool can see or write. An empty list means none.
"""

import difflib
import fnmatch
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from anima.config.schema import Policy
from anima.wire.cards import Card
from anima.wire.events import ToolCall

Check = Callable[[Card, Mapping[str, object]], str]  #: what is wrong with the arguments, as a sentence; "" if nothing

_ARGUMENTS_CHARS = 2_000  # of a call, shown to the person who decides about it


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be carried out now."""


@dataclass(frozen=True, slots=True)
class Denied:
    """It will not be carried out. `reason` is for the model, and names the setting for its person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """It cannot be carried out as it was written; nobody is asked about it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person decides. `reason` says why they are asked and what would be done."""

    reason: str


Judgement = Allowed | Denied | Wrong | Ask


def judge(call: ToolCall, cards: Mapping[str, Card], policy: Policy, always: Collection[str], check: Check) -> Judgement:
    """Decide about a call of an agent; `always` holds the tools its person has allowed for good."""
    card = cards.get(call.tool)
    if card is None:
        return Wrong(_unknown(call.tool, [each.name for each in cards.values() if not why_not(each, policy)]))
    if refusal := why_not(card, policy):
        return Denied(refusal)
    if complaint := check(card, call.args):
        return Wrong(complaint)
    if needs_person(card, policy) and card.name not in always:
        return Ask(_why_asked(card, call, policy))
    return Allowed()


def why_not(card: Card, policy: Policy) -> str:
    """Why a policy does not let its agent use a tool at all, as a sentence; "" if it may."""
    if not any(fnmatch.fnmatchcase(card.name, pattern) for pattern in policy.tools):
        listed = ", ".join(policy.tools) or "none"
        return (
            f"this agent may not use {card.name}; its policy allows: {listed} (tools in [policy] of its agent.toml). "
            "Do it in another way, or ask your person"
        )
    if card.network and policy.network == "none":
        return (
            f"{card.name} needs the network, which this agent has not (network in [policy] of its agent.toml is none). "
            "Go on without it, or ask your person"
        )
    if card.network and policy.network == "hosts" and not policy.hosts:
        return (
            f"{card.name} needs the network, and this agent may reach no host (hosts in [policy] of its agent.toml is empty). "
            "Go on without it, or ask your person"
        )
    return ""


def needs_person(card: Card, policy: Policy) -> bool:
    """Whether calls of a tool wait for a person, unless they said `always` once."""
    return policy.approve == "always" or (policy.approve == "risky" and card.risk != "safe")


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no tool '{name[:80]}'{meant} (list_tools shows all)"


def _why_asked(card: Card, call: ToolCall, policy: Policy) -> str:
    text = json.dumps(call.args, ensure_ascii=False, default=str)
    shown = text if len(text) <= _ARGUMENTS_CHARS else f"{text[:_ARGUMENTS_CHARS]}... ({len(text)} characters)"
    why = "every call waits for a person" if policy.approve == "always" else f"{card.name} is {card.risk}"
    return f"{why} (approve = {policy.approve}); it would run {card.name} with {shown}"
