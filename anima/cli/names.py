"""Agents' names as arguments of commands, completed by the shell from the folders that are there."""

import os
from typing import Annotated

import typer


def complete(incomplete: str) -> list[str]:
    """The agents whose names begin so; none where the folder cannot be read."""
    from anima.config.load import agent_names
    from anima.errors import ConfigError
    from anima.paths import find_home

    try:
        return [name for name in agent_names(find_home(os.environ)) if name.startswith(incomplete)]
    except ConfigError:
        return []


Name = Annotated[str, typer.Argument(help="The agent.", show_default=False, autocompletion=complete)]
Names = Annotated[
    list[str],
    typer.Argument(help="Agents by name, 'pattern*' or all.", show_default=False, autocompletion=complete),
]
Session = Annotated[str, typer.Option("--session", "-s", help="Which conversation.")]
