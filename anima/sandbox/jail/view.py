"""What a jailed child sees, as a list of mounts, worked out before anything is mounted. Pure: paths in, places out.

Covers: which of two paths counts (the deeper one; at the same path hidden before writable before readable before what every
jail has); hiding what is protected, also before it exists; keeping the folders above it from being renamed away.
Does not cover: symlinks. Paths come here resolved (places.py), and are opened without following any (mounts.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from anima.errors import Refused

Kind = Literal["show", "work", "hide", "keep", "fresh", "etc", "proc", "dev"]

#: Made anew in every jail, whatever is asked for around them.
_OWN: dict[str, Kind] = {"/proc": "proc", "/dev": "dev", "/etc": "etc", "/tmp": "fresh"}
#: Of the machine, and in no jail at all: sockets of its services, and its devices' settings.
_NEVER = ("/run", "/sys", "/var/run")
_UNTOUCHABLE = ("/proc", "/dev", "/sys")
_RANK: dict[Kind, int] = {"hide": 0, "work": 1, "show": 2, "fresh": 3, "etc": 3, "proc": 3, "dev": 3, "keep": 4}


@dataclass(frozen=True, slots=True)
class Place:
    """One mount of the view, at the same path as outside.

    show: read-only. work: writable. hide: an empty folder or file in its stead. keep: the same once more, so that
    it cannot be renamed. fresh: an empty folder in memory. etc, proc, dev: made up.
    """

    path: str
    kind: Kind
    mapped: bool = False  #: whether its owner is seen as the jail's user
    folder: bool = True


@dataclass(frozen=True, slots=True)
class Wishes:
    """Resolved paths, absolute and without any symlink."""

    workspace: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    system: tuple[str, ...] = ()  #: what programs need of the machine: /usr and the like
    python: tuple[str, ...] = ()  #: what this Python needs


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan must know of the file system."""

    exists: Callable[[str], bool]
    folder: Callable[[str], bool]


def plan(wishes: Wishes, facts: Facts) -> tuple[Place, ...]:
    """The places of the view, parents before what lies in them. Raises Refused if something may not be given."""
    _check(wishes)
    found: dict[str, Place] = {}
    _add(found, wishes.system, "show", facts, mapped=False)
    for path, kind in _OWN.items():
        found[path] = Place(path, kind)
    for paths, given in ((wishes.python, "show"), (wishes.read, "show"), ((wishes.workspace, *wishes.write), "work")):
        _add(found, paths, "show" if given == "show" else "work", facts, mapped=True)
    for path in _NEVER:
        if path not in found and _above(path, found) and facts.exists(path):
            found[path] = Place(path, "hide", folder=True)
    for path in sorted(wishes.protected, key=_depth):
        _hide(found, path, facts)
    return tuple(sorted(found.values(), key=lambda place: (_depth(place.path), place.path)))


def inside(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return folder in (path, "/") or path.startswith(folder + "/")


def _depth(path: str) -> int:
    return 0 if path == "/" else path.count("/")


def _check(wishes: Wishes) -> None:
    for path in (*wishes.read, wishes.workspace, *wishes.write):
        if any(inside(path, each) for each in _UNTOUCHABLE):
            raise Refused(
                f"{path} cannot be given to a jail: what the kernel shows there concerns the whole machine; name another folder"
            )
    for path in (wishes.workspace, *wishes.write):
        if path == "/":
            raise Refused("/ cannot be given to a jail for writing: that is the whole machine; name the folders that are meant")


def _add(found: dict[str, Place], paths: Iterable[str], kind: Kind, facts: Facts, *, mapped: bool) -> None:
    for path in paths:
        before = found.get(path)
        if before is None or _RANK[kind] <= _RANK[before.kind]:
            found[path] = Place(path, kind, mapped=mapped, folder=facts.folder(path))


def _above(path: str, found: dict[str, Place]) -> Place | None:
    """The deepest place that `path` lies in, strictly."""
    return next((found[str(each)] for each in PurePosixPath(path).parents if str(each) in found), None)


def _hide(found: dict[str, Place], path: str, facts: Facts) -> None:
    around = _above(path, found)
    given = found.get(path)
    if around is None and given is None:
        return  # it does not exist in the jail
    if given is None and around is not None and around.kind not in ("show", "work", "keep"):
        return  # in something made up: it is not there, and what is made there is not it
    between = [
        str(each) for each in reversed(PurePosixPath(path).parents) if around and _depth(str(each)) > _depth(around.path)
    ]
    if around and around.kind == "show" and not facts.exists(path):
        return  # the jail cannot make it, and a folder that is only shown is not ours to put a stand-in into
    for folder in between:
        if not facts.exists(folder):
            path = folder  # hiding the first folder that is missing keeps the rest from being made
            break
        if around and around.kind in ("work", "keep") and folder not in found:
            found[folder] = Place(folder, "keep")
    found[path] = Place(path, "hide", folder=facts.folder(path) or not facts.exists(path))
