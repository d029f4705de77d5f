"""The jail's view built by `bwrap` instead of by ourselves: for machines that grant namespaces to that program alone.

Covers: the same places as the native jail (view.py), namespaces, no capabilities, a session of its own, no user namespaces
within; then the same last doors (child.py: limits, Landlock, system calls) in a Python of its own inside.
Does not cover: the layer `user` under root: bwrap maps the caller itself, so inside is still the owner of root's files, though
without any right beyond them. Owners of files are seen as they are. Each call starts an interpreter, which takes five times
as long as the warm fork of the native jail.

Ubuntu since 23.10 lets AppArmor give user namespaces to /usr/bin/bwrap by name, so that path comes first.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anima.sandbox.jail.view import Place

Builder = Literal["auto", "native", "bubblewrap"]  #: who mounts what a jail sees

_FIRST = "/usr/bin/bwrap"
_DISABLE_USERNS = (0, 8)  #: since then there is --disable-userns
_SIZES = (0, 7)  #: and since then --size and --perms
_TRY_S = 10
_UNSHARED = ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv")


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The program there is; `why_not` says why it cannot be used, "" if it can."""

    program: str
    version: tuple[int, ...]
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What is made up for one jail, by descriptors bwrap reads it from."""

    etc: Mapping[str, int]  #: files below /etc
    shown: Sequence[str]  #: folders below /etc that are the machine's own
    fresh_bytes: int
    shm_bytes: int
    network: bool = False


def find() -> Bubblewrap:
    """Look for bwrap and try it. Takes some milliseconds; ask once."""
    program = _FIRST if os.access(_FIRST, os.X_OK) else shutil.which("bwrap") or ""
    if not program:
        return Bubblewrap("", (), "bwrap is not installed (package bubblewrap)")
    version = _version(_said([program, "--version"])[1])
    if version < _SIZES:
        return Bubblewrap(program, version, f"{program} is too old ({dotted(version)}, 0.7 is needed)")
    whole = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/true"]
    code, said = _said([program, *guard(version, network=False), *whole])
    if code:
        return Bubblewrap(program, version, f"{program} does not work here: {said.strip() or f'it left with {code}'}")
    return Bubblewrap(program, version)


def guard(version: tuple[int, ...], *, network: bool) -> list[str]:
    """The arguments every jail begins with."""
    words = [*_UNSHARED]
    if version >= _DISABLE_USERNS:
        words.append("--disable-userns")
    if network:
        words.append("--share-net")
    return words


def view(places: Sequence[Place], links: Mapping[str, str], made: Made) -> list[str]:
    """The places of a jail as arguments, in their order: what comes later covers what came before."""
    words: list[str] = []
    closing: list[str] = []
    for place in places:
        words += _place(place, made)
        if place.kind == "etc":
            words += _etc(made)
        if place.kind == "dev":
            words += ["--size", str(made.shm_bytes), "--perms", "1777", "--tmpfs", "/dev/shm"]
        if place.kind in ("etc", "proc") or (place.kind == "hide" and place.folder):
            closing += ["--remount-ro", place.path]
    for path, said in links.items():
        if not any(path == each.path or path.startswith(each.path + "/") for each in places):
            words += ["--symlink", said, path]
    return [*words, *closing, "--remount-ro", "/"]


def _place(place: Place, made: Made) -> list[str]:
    if place.kind == "show":
        return ["--ro-bind", place.path, place.path]
    if place.kind in ("work", "keep"):
        return ["--bind", place.path, place.path]
    if place.kind == "hide" and not place.folder:
        return ["--ro-bind", os.devnull, place.path]
    if place.kind == "fresh":
        return ["--size", str(made.fresh_bytes), "--perms", "1777", "--tmpfs", place.path]
    if place.kind in ("proc", "dev"):
        return [f"--{place.kind}", place.path]
    return ["--tmpfs", place.path]


def _etc(made: Made) -> list[str]:
    words = []
    for name, fd in made.etc.items():
        words += ["--ro-bind-data", str(fd), f"/etc/{name}"]
    for path in made.shown:
        words += ["--ro-bind", path, path]
    return [*words, "--symlink", "/proc/self/mounts", "/etc/mtab"]


def first_child(info: bytes) -> int:
    """PID of the first process in the jail, from what bwrap wrote to --info-fd; 0 if it is not there yet."""
    found = re.search(rb'"child-pid": (\d+)', info)
    return int(found[1]) if found else 0


def children_of(pid: int) -> list[int]:
    """Direct children of a process, as far as they can be seen now."""
    with contextlib.suppress(OSError, ValueError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _said(words: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(words, capture_output=True, timeout=_TRY_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def _version(said: str) -> tuple[int, ...]:
    found = re.search(r"(\d+(?:\.\d+)+)", said)
    return tuple(int(each) for each in found[1].split(".")) if found else (0,)


def dotted(version: tuple[int, ...]) -> str:
    """As 0.8.0."""
    return ".".join(map(str, version))
