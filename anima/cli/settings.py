"""`config`: whether the settings are right, and what they come to."""

from typing import Annotated

import typer

from anima.cli.terminal import clean, complain
from anima.errors import ConfigError, Refused
from anima.paths import Home

app = typer.Typer(help="Check or show the settings of the house and its agents.", no_args_is_help=True)


@app.command()
def check(context: typer.Context) -> None:
    """Read all settings as a start would, and say everything that is wrong with them.

    Example: animactl config check
    """
    from anima.config.load import agent_names, load_agent, load_house

    home: Home = context.obj
    wrong = []
    try:
        load_house(home)
    except ConfigError as error:
        wrong.append(str(error))
    names = agent_names(home)
    for name in names:
        try:
            load_agent(home, name)
        except ConfigError as error:
            wrong.append(str(error))
    for sentence in dict.fromkeys(wrong):
        complain(sentence)
    if wrong:
        raise typer.Exit(1)
    print(f"the settings of {home.root} are right ({len(names)} agent{'' if len(names) == 1 else 's'})")


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="An agent; without it the house.", show_default=False)] = "",
) -> None:
    """Print every setting with its value, meaning and default, secrets as ***. The output is valid TOML.

    Example: animactl config show arya
    """
    from anima.config.load import agent_names, load_agent, load_house
    from anima.config.option import inner
    from anima.config.schema import SECTIONS

    home: Home = context.obj
    house = load_house(home)
    if not name:
        for title in SECTIONS:
            print(f"[{title}]")
            _show(getattr(house, title), house.secrets)
        return
    names = agent_names(home)
    if name not in names:
        from anima.config.check import unknown

        raise Refused(f"'{name}' is an {unknown(name, names, 'agent')}" if names else f"there is no agent '{name}'")
    agent = load_agent(home, name)
    _show(agent, house.secrets)
    for title in inner(agent):
        print(f"[{title}]")
        _show(getattr(agent, title), house.secrets)


def _show(section: object, secrets: frozenset[str]) -> None:
    from anima.config.option import options
    from anima.log.redact import redactor

    redact = redactor(secrets)
    for name, (default, about) in options(section).items():
        value = getattr(section, name)
        shown = '"***"' if about.secret and value else clean(redact(toml(value)))
        set_here = "" if value == default else f"; default {toml(default)}"
        unit = f" ({about.unit})" if about.unit else ""
        print(f"{name} = {shown}  # {about.doc}{unit}{set_here}")
    print()


def toml(value: str | float | tuple[str, ...]) -> str:
    """A value as TOML writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        from anima.config.lines import quoted

        return quoted(value)
    return str(value)
