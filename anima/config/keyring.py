"""The system's keyring, by the command of the package `keyring`: its bus, its threads and its prompts stay in another process.

Covers: reading, writing, removing; a keyring that is not there, locked, or waits for somebody. Does not cover: what is in it
without our knowing; a keyring cannot be listed, so secrets.toml says which names it holds.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from anima.config.check import Missing
from anima.errors import Unavailable
from anima.limits import keyring_s
from anima.paths import Home

_ERROR = re.compile(r"^[\w.]+: ")  # the name of an exception

#: What was answered, by home and name. Asked once, before the first agent is forked: a fork inherits the answers, so that a
#: hundred agents need no hundred keyrings, and a call in the middle of a turn never waits for somebody to unlock one.
_answers: dict[Path, dict[str, str | Missing]] = {}


def ask_again() -> None:
    """Forget what was answered: a start or a reload begins, and whoever is forked from now on shall know what there is now."""
    _answers.clear()


def answers(home: Home, names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str | Missing]:
    """The value of each name that the keyring is said to hold, or why there is none. Never raises; at most `keyring_s`."""
    if home.root not in _answers:
        _answers[home.root] = _ask(home, names, environ)
    late = Missing("is in the keyring since after this process began; run `animactl reload`")
    return {name: _answers[home.root].get(name, late) for name in names}


def put(home: Home, name: str, value: str, environ: Mapping[str, str]) -> None:
    """Give `value` to the keyring, and see that it gives the same back. Raises Unavailable if it does not."""
    _run("set", home, name, environ, given=value)
    if _run("get", home, name, environ) != value:
        raise Unavailable(f"the keyring gave something else back for '{name}'; leave out --keyring")


def drop(home: Home, name: str, environ: Mapping[str, str]) -> None:
    """Have the keyring forget `name`. Raises Unavailable if it does not."""
    _run("del", home, name, environ)


def _ask(home: Home, names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str | Missing]:
    found: dict[str, str | Missing] = {}
    deadline = time.monotonic() + keyring_s
    for name in names:
        try:
            found[name] = _run("get", home, name, environ, timeout_s=max(0.0, deadline - time.monotonic()))
        except Unavailable as error:
            found[name] = Missing(f"is in the keyring, but {error}, then `animactl reload`; or `animactl secrets set {name}`")
    return found


def _run(
    verb: str, home: Home, name: str, environ: Mapping[str, str], *, given: str = "", timeout_s: float | None = None
) -> str:
    """What `keyring VERB` printed, without its newline. A value goes in by stdin: arguments can be seen by everybody."""
    beside = str(Path(sys.executable).parent)  # of a virtual environment that is not on the path of the unit
    program = shutil.which("keyring", path=f"{environ.get('PATH', os.defpath)}{os.pathsep}{beside}")
    if program is None:
        raise Unavailable("there is no command `keyring` here; install the package keyring (`pip install keyring`)")
    try:
        done = subprocess.run(
            [program, verb, f"anima:{home.root}", name],
            env={**environ, "PYTHONUTF8": "1"},
            input=given.encode(),
            capture_output=True,
            timeout=keyring_s if timeout_s is None else timeout_s,
            check=False,
            start_new_session=True,  # it has no terminal to ask at
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the keyring did not answer within {keyring_s:g} s; unlock it") from None
    except OSError as error:
        raise Unavailable(f"{program} cannot be run: {error.strerror}; install the package keyring anew") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        said = _ERROR.sub("", said).partition(". ")[0][:200].rstrip(".") or f"it holds no '{name}'"
        raise Unavailable(f"the keyring refused: {said}; see that it is there and unlocked")
    return done.stdout.decode(errors="replace").removesuffix("\n")
