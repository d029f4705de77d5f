"""A jail built by bwrap, started: from an order to a process that runs inside, and its status. In place of what cell.py builds.

Covers: the same places, made-up files and last doors as the native jail, by way of another program. What is called, and with
what, travels in a descriptor, not on a command line that others can read.
Does not cover: warmth (inside.py). The process that calls this stays outside the jail and watches.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anima
from anima.limits import MIB
from anima.sandbox.jail import bubblewrap, mounts, passing, places, view
from anima.sandbox.jail.bubblewrap import Bubblewrap, Made
from anima.sandbox.jail.inside import BOOT, wire
from anima.sandbox.jail.spec import JailSpec, Layer
from anima.sandbox.jail.view import Place

_SHOWN_AS_SIGNAL = 128  #: bwrap leaves with this and the number of the signal that ended what it ran
_SIGNAL_MAX = 64


@dataclass(frozen=True, slots=True)
class Streams:
    """Descriptors of the one call."""

    in_fd: int
    out_fd: int
    err_fd: int
    answer_fd: int
    ready_fd: int


def start(program: Bubblewrap, body: Mapping[str, Any], spec: JailSpec, seen: Sequence[Place], streams: Streams) -> int:
    """Run the call in `seen`; the PID of bwrap. Raises OSError."""
    user = mounts.Look("agent", os.geteuid(), os.getegid(), spec.limits.memory_bytes, spec.network, None)
    etc = {name: _sealed(content) for name, content in mounts.etc_files(user).items()}
    made = Made(
        etc=etc,
        shown=[path for path in mounts.ETC_SHOWN if os.path.isdir(path)],
        fresh_bytes=max(spec.limits.memory_bytes // 2, 4 * MIB),
        shm_bytes=max(spec.limits.memory_bytes // 4, 4 * MIB),
    )
    order = passing.wrap({**body, "places": [wire(each) for each in seen]})
    inner = [order, streams.answer_fd, streams.ready_fd]
    words = [
        program.program,
        *bubblewrap.guard(program.version, network=spec.network or "network" in spec.off),
        *bubblewrap.view(seen, body["links"], made),
        *("--", sys.executable, "-I", "-c", BOOT, *map(str, inner), *folders()),
    ]
    started = subprocess.Popen(
        words,
        stdin=streams.in_fd,
        stdout=streams.out_fd,
        stderr=streams.err_fd,
        pass_fds=[*inner, *etc.values()],
        start_new_session=True,
    )
    for fd in (order, *etc.values()):
        os.close(fd)
    return started.pid


def choose(builder: str, *, native: bool) -> Bubblewrap | None:
    """Who mounts: bwrap, or None for ourselves. `native` says whether we can."""
    if builder == "native" or (builder == "auto" and native):
        return None
    found = bubblewrap.find()
    return None if builder == "auto" and found.why_not else found


def layers(native: Sequence[Layer], program: Bubblewrap, *, rooted: bool) -> list[Layer]:
    """What this machine gives with bwrap, where `native` is what it gives without."""
    by = f"by {program.program} {bubblewrap.dotted(program.version)}"
    user = "bwrap maps root to root: run the house as somebody else, or let it build natively" if rooted else ""
    why_not = {"namespaces": program.why_not, "network": program.why_not, "user": program.why_not or user}
    return [
        Layer(each.name, not why_not[each.name], why_not[each.name] or by) if each.name in why_not else each for each in native
    ]


def extra_places(target: str) -> list[Place]:
    """The file of the function's module, if it lies nowhere the jail shows: there is no warm memory to find it in."""
    file = getattr(sys.modules.get(target.partition(":")[0].partition(".")[0]), "__file__", None)
    if not file:
        return []
    path = os.path.dirname(file) if os.path.basename(file) == "__init__.py" else file
    if any(view.inside(path, each) for each in (*places.python_folders(), *places.system_folders())):
        return []
    return [Place(path, "show", folder=os.path.isdir(path))]


def folders() -> list[str]:
    """Where the interpreter inside looks for modules beside its own places."""
    own = [str(Path(each).parent) for each in anima.__path__]
    return list(dict.fromkeys([*own, *(each for each in sys.path if each and os.path.isdir(each))]))


def status_of(status: int) -> int:
    """The wait status of what ran inside, from that of bwrap."""
    code = status >> 8
    if not status & 0x7F and _SHOWN_AS_SIGNAL < code <= _SHOWN_AS_SIGNAL + _SIGNAL_MAX:
        return code - _SHOWN_AS_SIGNAL
    return status


def pass_signal(pid: int, number: int, descendants: Sequence[int]) -> None:
    """Signal what runs inside: everything below bwrap but bwrap's own first process, which would take all with it."""
    own = {pid, *bubblewrap.children_of(pid)}
    for each in descendants:
        if each not in own:
            try:
                os.kill(each, number)
            except ProcessLookupError:
                continue


def _sealed(content: bytes) -> int:
    """A file in memory, to be read from its beginning."""
    fd = os.memfd_create("made", os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
