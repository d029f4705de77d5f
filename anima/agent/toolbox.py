"""Which of all the tools an agent's model is told of: those its policy allows, and of these what a small window takes.

The built-in ones are known at once. Those of the house and of installed packages are foreign code, which only the
sandbox loads, in its jail; it is asked for their cards beside everything else, and until it has answered there are none.
"""

import asyncio
import fnmatch
import logging
import time
from collections.abc import Iterable
from typing import Any

from anima.bus.bus import Bus
from anima.config.schema import Policy
from anima.errors import AnimaError
from anima.nous.model import ToolSpec
from anima.tools.recall import recall
from anima.tools.registry import built_in
from anima.tools.tool import Tool, flaw

_log = logging.getLogger(__name__)
YOUNG_S = 30.0  # an answer of the sandbox that is not older is not asked for again
RETRY_S = 5.0  # nor is one, so soon after it did not come
_TOLD = ("name", "summary", "schema", "effect", "risk", "wall_s", "output_bytes", "place", "network")  # of a card


class Toolbox:
    """The tools of one agent. Their order never changes, so that what a model is told first stays the same bytes."""

    def __init__(self, name: str, policy: Policy) -> None:
        self._name = name
        self._policy = policy
        self._foreign: tuple[Tool, ...] = ()
        self._allowed: dict[str, Tool] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._rest_until = 0.0

    def allowed(self) -> dict[str, Tool]:
        """Every tool the agent may use, by name."""
        if self._allowed is None:  # the modules of the built-in tools take 50 ms to import: not before the first turn
            everything = (*built_in().tools.values(), *self._foreign)
            self._allowed = {tool.name: tool for tool in everything if permits(self._policy, tool)}
        return self._allowed

    def foreign_cards(self) -> list[dict[str, Any]]:
        """What is known of the tools that are not built in, as the sandbox told it."""
        return [{key: getattr(tool, key) for key in _TOLD} for tool in self._foreign]

    def shown(self, hint: str) -> list[Tool]:
        """Those the model is told of; with tools_shown_max, the ones that have to do with the text `hint`."""
        tools = list(self.allowed().values())
        most = self._policy.tools_shown_max
        if not most or len(tools) <= most:
            return tools
        recalled = {tool.name for tool in recall(tools, hint, most)}
        return [tool for tool in tools if tool.name in recalled]

    def refresh(self, bus: Bus) -> None:
        """Ask the sandbox for the tools that are not built in, in the background, unless it was asked a moment ago."""
        if self._asking is None and time.monotonic() >= self._rest_until:
            self._asking = asyncio.create_task(self._ask(bus))

    async def close(self) -> None:
        """Leave off asking."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self, bus: Bus) -> None:
        try:
            told = await bus.ask("sandbox", "tools", agent=self._name)
            self._foreign = tuple(sorted(foreign(told), key=lambda tool: tool.name))
            self._allowed = None
            self._rest_until = time.monotonic() + YOUNG_S
        except AnimaError as error:
            _log.debug("the sandbox does not say which tools there are: %s", error)
            self._rest_until = time.monotonic() + RETRY_S
        finally:
            self._asking = None


def permits(policy: Policy, tool: Tool) -> bool:
    """Whether a policy lets its agent use a tool at all."""
    if tool.network and (policy.network == "none" or (policy.network == "hosts" and not policy.hosts)):
        return False
    return any(fnmatch.fnmatchcase(tool.name, pattern) for pattern in policy.tools)


def foreign(told: Any) -> list[Tool]:
    """The tools in the sandbox's answer that are not built in and not denied to this agent; a card that is none is left out."""
    cards = told.get("tools") if isinstance(told, dict) else None
    found = []
    for card in cards if isinstance(cards, list) else ():
        try:
            tool = Tool(**{key: card[key] for key in _TOLD}, function="")
            if not (card.get("why_not") or tool.name in built_in().tools or _flaw(tool)):
                found.append(tool)
        except (KeyError, TypeError, AttributeError) as error:
            _log.warning("the sandbox tells of a tool that is none: %r", error)
    return found


def _flaw(tool: Tool) -> str:
    """What is wrong with a tool of which only the card is known: it does not say how it is probed."""
    probe = "known to the sandbox" if tool.effect == "checkable" else ""
    return flaw(Tool(**{**tool.fields(), "probe": probe}))


def specs(tools: Iterable[Tool]) -> tuple[ToolSpec, ...]:
    """The tools as a provider takes them."""
    return tuple(ToolSpec(tool.name, tool.summary, tool.schema) for tool in tools)
