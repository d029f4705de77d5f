"""`secrets`: keys and passwords, kept where nobody else reads them and named where they are needed."""

import json
import os
import sys
from typing import Annotated

import typer

from anima.cli.table import Column, render
from anima.cli.terminal import clean, is_terminal, note, width
from anima.errors import Refused
from anima.limits import secret_bytes_max
from anima.paths import Home

app = typer.Typer(help="Set, list or remove keys and passwords.", no_args_is_help=True)


def complete(incomplete: str) -> list[str]:
    """The names of secrets that begin so; none where they cannot be read."""
    from anima.config.secrets import places
    from anima.errors import ConfigError
    from anima.paths import find_home

    try:
        return [name for name in places(find_home(os.environ)) if name.startswith(incomplete)]
    except ConfigError:
        return []


Name = Annotated[str, typer.Argument(help="What it is called.", show_default=False, autocompletion=complete)]


@app.command("set")
def set_(
    context: typer.Context,
    name: Name,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep it in the system's keyring, not in secrets.toml.")] = False,
) -> None:
    """Keep a secret. Its value is asked for, or read from stdin.

    Example: animactl secrets set anthropic < key.txt
    """
    from anima.config.secrets import check_secret_name, places, set_secret

    home: Home = context.obj
    check_secret_name(name)
    given = places(home).get(name) == "systemd"  # raises what is wrong before anything is asked
    set_secret(home, name, _value(name), os.environ, in_keyring=keyring)
    where = "the keyring" if keyring else home.secrets
    print(f"'{name}' is in {where}; write ${{credential:{name}}} where it is needed, then `animactl reload`")
    if given:
        note(f"systemd gives another '{name}', which comes first")


@app.command("list")
def list_(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")] = False,
) -> None:
    """Show what secrets there are and where, never their values.

    Example: animactl secrets list
    """
    from anima.config.secrets import places

    found = places(context.obj)
    if as_json:
        for name, place in found.items():
            print(json.dumps({"name": name, "from": place}, ensure_ascii=False))
    elif found:
        columns = (Column("NAME", flexible=True), Column("FROM"))
        print("\n".join(render(columns, [(clean(name), place) for name, place in found.items()], width())))
    else:
        note("there are no secrets yet; `animactl secrets set NAME` keeps one")


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Forget a secret.

    Example: animactl secrets remove anthropic
    """
    from anima.config.secrets import remove_secret

    home: Home = context.obj
    place = remove_secret(home, name, os.environ)
    print(f"'{name}' is no longer in {'the keyring' if place == 'keyring' else home.secrets}; `animactl reload` applies it")


def _value(name: str) -> str:
    """From the terminal without echo, else all of stdin; newlines at its end belong to the file, not to the secret."""
    if is_terminal(sys.stdin):
        import getpass
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                return getpass.getpass(f"{name}: ")
            except getpass.GetPassWarning:
                raise Refused("this terminal would show what is typed; give the value by stdin") from None
            except EOFError:
                raise Refused("no value was given; nothing was changed") from None
    given = sys.stdin.buffer.read(secret_bytes_max + 2)
    try:
        return given.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Refused(f"byte 0x{given[error.start]:02x} of the value is not UTF-8; nothing was changed") from None
