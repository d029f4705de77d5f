"""preflight: this code, asked whether it could go on in the place of a running root. It looks, says what it found, and is gone.

Owns:  nothing, and writes nothing
Life:  import everything there is, read the state the root would hand on, the configuration and how far each database has
       come; print what was found as one line of JSON.
Bus:   none
Dies:  at once; 1 when something is in the way.
"""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import anima
import daemons
from anima.agent.folder import Folder
from anima.config.load import agent_names
from anima.errors import AnimaError, ConfigError, Exit, Refused
from anima.paths import Home
from anima.store.migrate import rehearse
from anima.supervisor import reexec
from anima.supervisor.lifecycle import State
from daemons.plan import plan


def main(home: Home, state_fd: int) -> Exit:
    """Print {"error", "version", "where", "notes"}; 0 if nothing is in the way."""
    error, notes = "", []
    try:
        _import_all()
        running = reexec.read(state_fd)
        plan(home, strict=False)
        _read_agents(home, running)
        notes = list(_databases(home))
    except AnimaError as found:
        error = f"{found}"
    where = str(Path(anima.__file__).parent.parent)
    print(json.dumps({"error": error, "version": anima.__version__, "where": where, "notes": notes}))  # noqa: T201
    return Exit.BUG if error else Exit.OK


def _import_all() -> None:
    """Raise Refused if a module of this program cannot be imported."""
    for package in (anima, daemons):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except Exception as error:
                raise Refused(f"{module.name} cannot be imported ({type(error).__name__}: {error})") from error


def _read_agents(home: Home, running: reexec.State) -> None:
    """Raise ConfigError if an agent that lives would be wrong for this code."""
    parked = {child.name for child in running.tree.children if child.state is State.FAILED}
    known = {child.name for child in running.tree.children}
    for name in agent_names(home):
        try:
            Folder.read(home, name)
        except ConfigError:
            if f"agent:{name}" in known - parked:
                raise


def _databases(home: Home) -> Iterator[str]:
    """What is to be done to each database, a sentence. Raises ConfigError or Unavailable if it cannot be."""
    for owner, path in (("journal", home.journal), ("mneme", home.mneme), ("thymos", home.thymos), ("purser", home.purser)):
        if pending := rehearse(path, files(f"anima.{owner}") / "schema"):
            yield f"{path.name} moves forward by {', '.join(pending)}; a copy of it is kept"
