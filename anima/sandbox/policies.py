"""What each agent may do, read from its agent.toml when a call comes, and again only when a file behind it changed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anima.config.load import load_agent
from anima.config.policy import workspace
from anima.config.schema import Agent
from anima.errors import ConfigError
from anima.paths import Home

_AGENTS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Rules:
    """One agent's settings, as far as its hands need them."""

    agent: str
    settings: Agent
    workspace: Path

    @property
    def stamp(self) -> str:
        """Another text when a long-lived child of this agent would have been made differently."""
        return repr((self.settings.policy, self.workspace))


class Policies:
    """The rules of every agent of a house. Nothing here was written by an agent: its tools cannot reach these files."""

    def __init__(self, home: Home, environ: Mapping[str, str] = os.environ) -> None:
        self._home = home
        self._environ = environ
        self._known: dict[str, tuple[object, Rules]] = {}

    def of(self, agent: str) -> Rules:
        """The rules of `agent`. Raises ConfigError while its files are wrong: then it may do nothing."""
        if not agent:
            raise ConfigError("a call belongs to an agent, and this one names none")
        stamp = self._stamp(agent)
        known = self._known.get(agent)
        if known is not None and known[0] == stamp:
            return known[1]
        self._known.pop(agent, None)
        settings = load_agent(self._home, agent, self._environ)
        if len(self._known) >= _AGENTS_MAX:
            self._known.clear()
        rules = Rules(agent, settings, workspace(self._home, agent, settings.policy))
        self._known[agent] = (stamp, rules)
        return rules

    def _stamp(self, agent: str) -> object:
        folder = self._home.agent(agent)
        return tuple(_seen(path) for path in (folder / "agent.toml", folder / "persona.md", self._home.secrets))


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
