"""The first process of a jail (PID 1 of its namespace): it builds the jail, gives up its rights, starts the child, reaps.

Covers: everything the jail is made of that needs rights, done before the child exists; when this process ends, the kernel ends
all others of the namespace, however they daemonised. It ends when its child has ended, when the zygote says so and when the
zygote is gone (parent-death signal, and the end of its link).
Does not cover: what the child may do to itself. This process holds no secret but the arguments of its one call.

Its life: born by `clone` with its namespaces -> waits, maybe as a spare -> an order -> view, rights, child -> last word.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from anima.errors import Refused
from anima.sandbox.jail import built, mounts, passing, places, standins, syscalls, view
from anima.sandbox.jail.bubblewrap import Bubblewrap
from anima.sandbox.jail.child import Child, live
from anima.sandbox.jail.machine import map_self
from anima.sandbox.jail.spec import JailSpec, read_spec
from anima.sandbox.jail.watch import descendants

USER = "agent"
_OOM_SCORE = b"900"  #: whoever must die for want of memory, it is this one before anybody else
_BROKEN = 70  # exit code: this process itself failed


@dataclass(frozen=True, slots=True)
class Birth:
    """How this process was made: what the zygote decided before there was an order."""

    link: socket.socket
    enter_fd: int  #: cgroup.procs of its cgroup; -1 for none
    flags: int  #: CLONE_NEW* it was born with
    uid: int  #: whom the child will be
    gid: int
    rooted: bool  #: whether it was born with the rights of root, and not in a user namespace
    abi: int  #: of Landlock
    last_capability: int
    bwrap: Bubblewrap | None = None  #: who builds the view in place of this process


@dataclass(slots=True)
class _Link:
    socket: socket.socket

    def say(self, **message: Any) -> None:
        with contextlib.suppress(OSError):  # the zygote is gone: so are we, in a moment
            passing.send(self.socket, message)


def lead(birth: Birth) -> NoReturn:
    """Be the first process of a jail. Never returns."""
    link = _Link(birth.link)
    code = _BROKEN
    try:
        _first_lines(birth)
        order, fds = passing.receive(birth.link)
        if order is not None:
            _serve(birth, order, fds, link)
        code = 0
    except Refused as error:
        link.say(refused=str(error))
    except OSError as error:
        link.say(refused=f"the layer 'namespaces' cannot be had: {error.strerror or error}")
    except BaseException as error:  # noqa: BLE001 - the end of the line: told to the zygote, and left
        traceback.print_exc()
        link.say(refused=f"the jail could not be built: {error!r}")
    finally:
        os._exit(code)


def _first_lines(birth: Birth) -> None:
    gc.disable()
    signal.set_wakeup_fd(-1)
    syscalls.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))  # the child inherits it: one sent too early waits for it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _close_all_but(2, birth.link.fileno(), birth.enter_fd)
    nothing = os.open(os.devnull, os.O_RDWR)  # 0 or 1: the two must not become something else by chance
    os.dup2(nothing, 1)
    if birth.enter_fd >= 0:
        os.write(birth.enter_fd, b"0")
        os.close(birth.enter_fd)
    with contextlib.suppress(OSError):  # already higher: as good
        _write("/proc/self/oom_score_adj", _OOM_SCORE)
    if birth.flags & syscalls.CLONE_NEWUSER:
        map_self(birth.uid, birth.gid)
    if birth.flags & syscalls.CLONE_NEWUTS:
        syscalls.sethostname(b"jail")
    if not birth.flags & syscalls.CLONE_NEWPID:
        syscalls.adopt_orphans()


def _serve(birth: Birth, order: dict[str, Any], fds: Sequence[int], link: _Link) -> None:
    body_fd, in_fd, out_fd, err_fd, answer_fd, *map_fds = fds
    body = passing.unwrap(body_fd)
    spec = read_spec(body["spec"])
    if birth.bwrap and "namespaces" not in spec.off:
        _serve_by_bwrap(birth.bwrap, {**body, "counted": birth.enter_fd >= 0}, spec, fds[1:], link)
        return
    maps = None if order["maps"] is None else dict(zip(map(tuple, order["maps"]), map_fds, strict=True))
    seen = _surround(birth, spec, maps, link)
    ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
    _drop_rights(birth)
    child = Child(
        target=body["target"],
        arguments=body["arguments"],
        spec=spec,
        places=seen,
        abi=birth.abi,
        in_fd=in_fd,
        out_fd=out_fd,
        err_fd=err_fd,
        answer_fd=answer_fd,
        ready_fd=ready_w,
        namespaces=bool(birth.flags & syscalls.CLONE_NEWNS),
        counted=birth.enter_fd >= 0,
    )
    pid = os.fork()
    if pid == 0:
        live(child)
    for fd in (*fds[1:], ready_w):
        os.close(fd)
    status = _watch(pid, birth.link, ready_r, link)
    if not birth.flags & syscalls.CLONE_NEWPID:
        end_descendants()
    _last_word(status, link)


def _last_word(status: int, link: _Link) -> None:
    times = os.times()
    link.say(ended=status, cpu_s=times.children_user + times.children_system)


def _serve_by_bwrap(program: Bubblewrap, body: dict[str, Any], spec: JailSpec, fds: Sequence[int], link: _Link) -> None:
    """The same by way of bwrap; this process stays outside the jail, with the rights it has."""
    wishes, links = places.wishes(spec)
    seen = (*view.plan(wishes, places.FACTS), *built.extra_places(body["target"]))
    if stand_ins := standins.make(place.path for place in seen if place.kind == "hide"):
        link.say(stand_ins=stand_ins)
    ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
    in_fd, out_fd, err_fd, answer_fd = fds
    streams = built.Streams(in_fd, out_fd, err_fd, answer_fd, ready_w)
    pid = built.start(program, {**body, "links": links}, spec, seen, streams)
    for fd in (*fds, ready_w):
        os.close(fd)
    status = _watch(pid, link.socket, ready_r, link, tell=lambda number: built.pass_signal(pid, number, descendants(pid)))
    end_descendants()
    _last_word(built.status_of(status), link)


def _surround(birth: Birth, spec: JailSpec, maps: mounts.IdMaps | None, link: _Link) -> tuple[view.Place, ...]:
    wishes, links = places.wishes(spec)
    seen = view.plan(wishes, places.FACTS)
    if not birth.flags & syscalls.CLONE_NEWNS:
        _refuse_hidden(seen)
        return seen
    if stand_ins := standins.make(place.path for place in seen if place.kind == "hide"):
        link.say(stand_ins=stand_ins)
    look = mounts.Look(USER, birth.uid, birth.gid, spec.limits.memory_bytes, spec.network, maps)
    mounts.raise_view(seen, links, look)
    return seen


def _refuse_hidden(seen: Sequence[view.Place]) -> None:
    """Without a mount view Landlock alone decides, and it can only give whole folders."""
    for place in seen:
        if place.kind == "hide" and any(view.inside(place.path, each.path) for each in seen if each.kind in ("show", "work")):
            raise Refused(
                f"{place.path} is protected, in a folder that is given: it cannot be hidden without the layer 'namespaces'"
            )


def _drop_rights(birth: Birth) -> None:
    """Become the jail's user, for good: nothing that follows can take rights back."""
    syscalls.forget_capabilities(birth.last_capability)  # first: what was given up cannot come back, whoever one becomes
    if birth.rooted:
        os.setgroups([])
        os.setresgid(birth.gid, birth.gid, birth.gid)
        os.setresuid(birth.uid, birth.uid, birth.uid)
    syscalls.leave_keys()
    syscalls.drop_capabilities()
    syscalls.no_new_privileges()
    syscalls.set_dumpable(dumpable=False)  # the child is of the same user: it must not look into this process
    syscalls.die_with_parent(signal.SIGKILL)  # the change of user has cleared it


def _watch(pid: int, from_zygote: socket.socket, ready_r: int, link: _Link, tell: Callable[[int], None] | None = None) -> int:
    """Reap whatever ends until the child does; its wait status. Passes on what the child says before it begins."""
    woken_r, woken_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(woken_w, warn_on_full_buffer=False)
    poll = select.poll()
    for fd in (woken_r, from_zygote.fileno(), ready_r):
        poll.register(fd, select.POLLIN)
    while (status := _reaped(pid)) is None:
        for fd, _ in poll.poll():
            if fd == woken_r:
                os.read(woken_r, 4096)
            elif fd == ready_r:
                _pass_on(ready_r, link)
                poll.unregister(ready_r)
            else:
                _obey(passing.receive(from_zygote)[0], tell or partial(_send, pid))
    with contextlib.suppress(OSError):
        os.set_blocking(ready_r, False)
        _pass_on(ready_r, link)
    return status


def _pass_on(ready_r: int, link: _Link) -> None:
    said = os.read(ready_r, 4096).decode(errors="replace")
    word, _, rest = said.partition(" ")
    if word == "refused":
        link.say(refused=rest)
    elif word == "held":
        link.say(held=rest.split())


def _reaped(pid: int) -> int | None:
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended == pid:
            return status
        if ended == 0:
            return None


def _obey(message: dict[str, Any] | None, tell: Callable[[int], None]) -> None:
    if message is None:
        os._exit(_BROKEN)  # the zygote is gone; without a PID namespace the parent-death signals do the rest
    if "signal" in message:
        with contextlib.suppress(ProcessLookupError):
            tell(message["signal"])


def _send(pid: int, number: int) -> None:
    """To the group of the child; to itself alone while it has not made one yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)


def end_descendants() -> None:
    """Kill every descendant of this process, until there is none: for the case without a PID namespace."""
    while found := descendants(os.getpid()):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0)[0]:
                pass


def _write(path: str, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def _close_all_but(*kept: int) -> None:
    edges = sorted({-1, *(fd for fd in kept if fd >= 0)})
    for below, above in zip(edges, [*edges[1:], sys.maxsize], strict=True):
        if below + 1 < above:
            os.closerange(below + 1, min(above, 1 << 20))
