"""Where the paths of a policy really lead, and which of the machine's folders every jail needs.

Covers: a symlink in a path is followed once, here, and only where no jailed child could have put it; afterwards the resolved
path is opened without following any, so exchanging a part of it in between leads to a refusal.
Does not cover: a folder that is moved by somebody outside the jail while it is in use.
"""

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import anima
from anima.errors import Refused
from anima.sandbox.jail import standins
from anima.sandbox.jail.spec import JailSpec
from anima.sandbox.jail.view import Facts, Wishes, inside

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_LINKS_MAX = 40  # as the kernel has it

FACTS = Facts(exists=standins.there, folder=os.path.isdir)


def wishes(spec: JailSpec) -> tuple[Wishes, dict[str, str]]:
    """The resolved paths of `spec`, and the symlinks that must be there for the paths as they were given.

    Raises Refused if a path is not absolute or missing, or if a symlink in it could have been set by a jailed child.
    """
    writable = [os.path.realpath(each) for each in (spec.workspace, *spec.write)]
    links: dict[str, str] = {}

    def real(path: Path, *, missing: bool = False) -> str:
        found, passed = follow(path)
        for link in passed:
            if any(inside(link, each) and link != each for each in writable):
                raise Refused(
                    f"{path} leads through the symlink {link}, which a tool could have set: name the folder it leads to instead"
                )
        if not missing and not os.path.lexists(found):
            raise Refused(f"{path} does not exist: make it, or take it from the policy")
        links.update(passed)
        return found

    workspace = real(spec.workspace)
    if not os.path.isdir(workspace):
        raise Refused(f"the workspace {workspace} is no folder: name one in the policy")
    return Wishes(
        workspace=workspace,
        read=tuple(real(each) for each in spec.read),
        write=tuple(real(each) for each in spec.write),
        protected=tuple(real(each, missing=True) for each in spec.protected),
        system=system_folders(),
        python=python_folders(),
    ), {**links, **system_links()}


def follow(path: Path) -> tuple[str, dict[str, str]]:
    """Where `path` leads, and the symlinks on the way with what they say. Raises Refused if it goes nowhere."""
    if not path.is_absolute():
        raise Refused(f"{path} is not absolute: in a jail nobody knows from where it should count")
    rest = [each for each in str(path).split("/") if each not in ("", ".")][::-1]
    found, followed = "", 0
    links: dict[str, str] = {}
    while rest:
        part = rest.pop()
        if part == "..":
            found = found.rpartition("/")[0]
            continue
        here = f"{found}/{part}"
        if not os.path.islink(here):
            found = here
            continue
        followed += 1
        if followed > _LINKS_MAX:
            raise Refused(f"{path} leads through too many symlinks")
        said = links[here] = os.readlink(here)
        found = "" if said.startswith("/") else found
        rest += [each for each in said.split("/") if each not in ("", ".")][::-1]
    return found or "/", links


@cache
def system_folders() -> tuple[str, ...]:
    """Folders of the machine that programs need, as far as they are there and no symlinks."""
    return tuple(each for each in _SYSTEM if os.path.isdir(each) and not os.path.islink(each))


@cache
def system_links() -> dict[str, str]:
    """Those of them that are symlinks (/bin on a merged system), with what they say; those on the way to this Python, too."""
    found = {each: os.readlink(each) for each in _SYSTEM if os.path.islink(each)}
    for path in _python():
        found |= follow(Path(path))[1]
    return found


def _python() -> list[str]:
    return [sys.prefix, sys.base_prefix, sys.exec_prefix, *anima.__path__]


@cache
def python_folders() -> tuple[str, ...]:
    """What this interpreter and this program need, without what lies in another of them or in a system folder."""
    return outermost([os.path.realpath(each) for each in _python()], system_folders())


def outermost(paths: Sequence[str], covered: Sequence[str]) -> tuple[str, ...]:
    """`paths` in order of length, without any that lies in another one or in `covered`."""
    found: list[str] = []
    for path in sorted(set(paths), key=len):
        if not any(inside(path, each) for each in (*covered, *found)):
            found.append(path)
    return tuple(found)
