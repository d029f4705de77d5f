"""What a policy says, checked against the machine: directories that are there, names that can be names.

The jail hides and protects the house whatever stands here; these checks tell a person in a sentence, before a call
fails. A directory the agent may write must not hold the house either: who can rename the directory above the house can
put another house in its place.
"""

import os
import re
from pathlib import Path

from anima.config.check import Document
from anima.config.schema import Policy
from anima.paths import Home

_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9.]+|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def workspace(home: Home, name: str, policy: Policy) -> Path:
    """The directory agent `name` works in; whoever uses it makes it when it is missing."""
    return home.root / policy.workspace if policy.workspace else home.workspace(name)


def check_policy(document: Document, home: Home, name: str, policy: Policy) -> None:
    """Raise ConfigError, with file, line and a way out, about the first thing in [policy] that cannot be so."""
    _check_directory(document, home, ("policy", "workspace"), workspace(home, name, policy))
    for key in ("read", "write"):
        for text in getattr(policy, key):
            _check_more(document, home, ("policy", key), text)
    for host in policy.hosts:
        if not _HOST.fullmatch(host) or _ADDRESS.fullmatch(host):
            raise document.wrong(("policy", "hosts"), f"'{host}' is not a name; write example.org, or *.example.org")
    if policy.hosts and policy.network != "hosts":
        raise document.wrong(
            ("policy", "hosts"), f'has no effect with network = "{policy.network}"; set that to "hosts", or remove this'
        )
    if policy.search_provider == "searxng" and not policy.search_url:
        raise document.wrong(("policy", "search_provider"), "searxng has no address of its own; set search_url to yours")
    if policy.issues and not _REPOSITORY.fullmatch(policy.issues):
        raise document.wrong(
            ("policy", "issues"), f"'{policy.issues}' is not a repository; write OWNER/NAME, or leave it empty"
        )


def _check_more(document: Document, home: Home, place: tuple[str, ...], text: str) -> None:
    path = Path(text)
    if not path.is_absolute():
        raise document.wrong(place, f"'{text}' is not absolute; write the whole path, from / on")
    if not path.is_dir():
        missing = "is not a directory" if os.path.lexists(path) else "is missing"
        raise document.wrong(place, f"{text} {missing}; make that directory, or remove it from the list")
    _check_directory(document, home, place, path)


def _check_directory(document: Document, home: Home, place: tuple[str, ...], path: Path) -> None:
    """A directory an agent is given: it may not lie in the house, unless below workspace/, nor hold it and be written."""
    if os.path.lexists(path) and not path.is_dir():
        raise document.wrong(place, f"{path} is not a directory; name one")
    real = path.resolve()
    workspaces = home.workspaces.resolve()
    for house in (home.root.resolve(), home.run.resolve()):
        if real.is_relative_to(house) and not (real.is_relative_to(workspaces) and real != workspaces):
            raise document.wrong(
                place,
                f"{path} belongs to the house itself ({house}); take a directory outside of it, or one below {workspaces}",
            )
        if place[-1] != "read" and house.is_relative_to(real):
            raise document.wrong(
                place, f"{path} holds the house itself ({house}), which no tool may change; name a directory beside it"
            )
