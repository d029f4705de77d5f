"""An agent's folder as the agent reads it: settings, who it is, what it must not forget."""

import re
from dataclasses import dataclass
from pathlib import Path

from anima.config.load import load_agent
from anima.config.policy import workspace
from anima.config.schema import Agent
from anima.errors import ConfigError
from anima.limits import include_depth_max, prompt_bytes_max
from anima.paths import Home

_INCLUDE = re.compile(r"\{\{include:([^{}\n]+)\}\}")


@dataclass(frozen=True)
class Folder:
    """What stands in agents/NAME, read once per life: a change restarts the agent."""

    name: str
    place: Path
    settings: Agent
    persona: str
    soul: str  #: soul.md: what it values, how it speaks; "" if there is none
    always: str  #: reminders put last, where a model looks most; "" if there are none
    workspace: Path  #: where its tools work
    records: Path  #: where its calls of models are kept a while

    @classmethod
    def read(cls, home: Home, name: str) -> "Folder":
        """The folder of `name`. Raises ConfigError, with file and line, for anything that is wrong in it."""
        settings = load_agent(home, name)
        place = home.agent(name)
        soul, reminders = (expand(path, place) if path.exists() else "" for path in (place / "soul.md", place / "always.md"))
        works_in = workspace(home, name, settings.policy)
        persona = expand(place / "persona.md", place)
        return cls(name, place, settings, persona, soul, reminders, works_in, home.records(name))


def expand(path: Path, folder: Path, depth: int = 0) -> str:
    """The text of a prompt file with every {{include:file}} replaced by that file's text, relative to the agent's folder.

    Included files must lie within the folder's own tree or the agents' common parent, so that a prompt cannot pull in
    what was never meant for a model. Raises ConfigError naming file and line for a missing, foreign, endless or too
    large one.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); create it or correct its rights") from None

    def included(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 1
        wanted = (folder / match[1].strip()).resolve()
        if depth == include_depth_max:
            raise ConfigError(f"{path}:{line}: includes nest deeper than {include_depth_max}; does a file include itself?")
        if not wanted.is_relative_to(folder.parent.parent.resolve()):
            raise ConfigError(f"{path}:{line}: {match[1]} lies outside this home; copy the file into the agent's folder")
        if wanted.name == "secrets.toml":
            raise ConfigError(f"{path}:{line}: secrets are never part of a prompt; remove the include")
        if not wanted.is_file():
            raise ConfigError(f"{path}:{line}: there is no file {wanted} to include; create it or remove the include")
        return expand(wanted, folder, depth + 1).rstrip("\n")

    whole = _INCLUDE.sub(included, text)
    if len(whole) > prompt_bytes_max:
        raise ConfigError(
            f"{path}: with its includes it has {len(whole)} characters; at most {prompt_bytes_max} are shown to a model"
        )
    return whole
