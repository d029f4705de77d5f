"""A new agent's folder: there whole, or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

from anima.errors import Refused, Unavailable
from anima.ids import check_name
from anima.paths import Home

PERSONA = """\
You are {name}, one of the agents of this house.

You are calm, precise and friendly. You answer in the language you are spoken to, briefly when a short answer
is enough. When you do not know something you say so, and you never claim to have done what you did not do.
"""

SETTINGS = """\
# Settings of the agent {name}; `animactl reload` applies changes. All keys: docs/configuration.md
{model}
# What its tools may do. Without a word here it works in workspace/{name} of this home, and reaches no network.
# [policy]
# tools = ["*"]            # names or shell patterns; [] means none
# approve = "risky"        # never | risky | always: which calls wait for `animactl approve`
# read = ["/srv/data"]     # more directories it may read
# write = []               # more directories it may write
# network = "none"         # none | web (public addresses) | hosts (only those of the list hosts)
"""


def create_agent(home: Home, name: str, model: str = "") -> Path:
    """Make agents/NAME with agent.toml and persona.md, and return the folder.

    Written beside its place and moved there in one step, so that no reload ever sees half an agent. Raises Refused
    if the name is not allowed or taken, Unavailable if the disk does not take it.
    """
    check_name(name)
    folder = home.agent(name)
    if os.path.lexists(folder):
        raise Refused(f"there is already an agent '{name}' ({folder}); choose another name, or edit that folder")
    try:
        home.agents.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home.agents))
    except OSError as error:
        raise Unavailable(f"{home.agents} cannot be written: {error.strerror}; nothing was created") from error
    try:
        _write(draft / "persona.md", PERSONA.format(name=name))
        _write(draft / "agent.toml", SETTINGS.format(name=name, model=_model_line(model)))
        draft.rename(folder)
    except FileExistsError:
        raise Refused(f"there is already an agent '{name}' ({folder}); choose another name") from None
    except OSError as error:
        raise Unavailable(f"{folder} cannot be written: {error.strerror}; nothing was created") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already, unless something failed above
    return folder


def _model_line(model: str) -> str:
    if not model:
        return '# model = "anthropic:..."        empty: the house decides\n'
    if not model.isprintable():
        raise Refused(f"{model!r} is not the name of a model; write it as provider:model")
    escaped = model.replace("\\", "\\\\").replace('"', '\\"')
    return f'model = "{escaped}"\n'


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
