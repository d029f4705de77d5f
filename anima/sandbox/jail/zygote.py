"""The zygote: a process with one thread, no secrets and no sockets but one, from which every jail is cloned.

Covers: jails are born of a process that never held a key, a journal or a descriptor worth stealing; they end with it, and it
ends with its owner (parent-death signal, and the end of its link). It keeps what one process's limits cannot: wall time,
and CPU, memory and processes of a whole jail.
Does not cover: deciding. It does what the owner's orders say; the owner has checked them.

    owner -> zygote   {do: start, id, ...} + descriptors | {do: end, id, grace_s} | {do: spare}
    zygote -> owner   {hello: layers} | {ended: id, status, refused, held, limit, cpu_s}
"""

import contextlib
import gc
import importlib
import os
import platform
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from anima.sandbox.jail import bpf, built, mounts, passing, places, standins, syscalls
from anima.sandbox.jail.cell import Birth, lead
from anima.sandbox.jail.cgroups import Group, Groups
from anima.sandbox.jail.machine import Machine, layers, look
from anima.sandbox.jail.owners import Owners, claim_uids
from anima.sandbox.jail.watch import descendants, usage

SLOTS = 256  #: jails at once; the owner keeps far below
TERM_GRACE_S = 2.0  #: between asking a child to end at its limit and ending its jail
LOOK_S = 0.1  #: between two looks at what a jail uses
LOOK_MAX_S = 2.0  #: while it does nothing, and a cgroup bounds its memory
LOOK_ALONE_MAX_S = 0.5  #: while it does nothing, and nobody else bounds it
_FIRST_LOOK_S = 0.05
_UNBOUND = 1 << 62
_SPARE_PROCESSES = 16  #: a jail may be so far above its number of processes before it is ended; forks fail long before


@dataclass(slots=True)
class Jail:
    """One jail that lives, as the zygote sees it."""

    pid: int
    link: socket.socket
    slot: int
    group: Group | None
    flags: int
    uid: int
    id: str = ""  #: of its order; "" while it is a spare
    spent: bool = False  #: no spare any more either
    wall_at: float = 0.0
    kill_at: float = 0.0
    look_at: float = 0.0
    look_s: float = 0.0  #: from the last look to the next
    cpu_s: float = 0.0  #: at the last look
    limits: dict[str, Any] = field(default_factory=dict)
    limit: str = ""  #: the one that was hit
    told: dict[str, Any] = field(default_factory=dict)  #: what its first process said

    @property
    def alone(self) -> bool:
        """Whether its end ends everybody in it."""
        return bool(self.flags & syscalls.CLONE_NEWPID)


class Zygote:
    """The loop. One thread, which sleeps in one place."""

    def __init__(self, owner: socket.socket, builder: str = "native") -> None:
        self._owner = owner
        self._groups = Groups()
        self._machine: Machine = look(self._groups.reason)
        self._bwrap = built.choose(builder, native=bool(self._machine.flags))
        self._owners = Owners()
        self._uids = claim_uids(SLOTS)
        self._python = places.python_folders()
        self._jails: dict[int, Jail] = {}  # by PID
        self._free = list(range(SLOTS))[::-1]
        self._wanted_spare = False
        self._selector = selectors.DefaultSelector()
        woken_r, woken_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._woken = woken_r
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken_w, warn_on_full_buffer=False)
        self._selector.register(owner, selectors.EVENT_READ, None)
        self._selector.register(woken_r, selectors.EVENT_READ, None)

    def run(self, problems: list[str]) -> None:
        """Serve until the owner is gone."""
        found = layers(self._machine)
        if self._bwrap:
            found = built.layers(found, self._bwrap, rooted=self._machine.rooted)
        told = [[each.name, each.there, each.reason] for each in found]
        self._owner.setblocking(True)
        passing.send(self._owner, {"hello": told, "problems": problems, "builder": "bubblewrap" if self._bwrap else "native"})
        while True:
            events = self._selector.select(self._pause())
            for key, _ in events:
                if key.fileobj is self._owner:
                    message, fds = passing.receive(self._owner)
                    if message is None:
                        return
                    self._obey(message, fds)
                elif key.fd == self._woken:
                    self._reap()
                elif key.data.pid in self._jails:  # else it was buried in this very round
                    self._hear_out(key.data)
            self._tick(time.monotonic())
            if not events and self._wanted_spare:
                self._make_spare()

    def close(self) -> None:
        """End every jail and remove what was made for them."""
        for jail in list(self._jails.values()):
            self._kill(jail)
            os.waitpid(jail.pid, 0)
            self._hear_out(jail)
            standins.remove(jail.told.get("stand_ins", []))
        self._groups.close()

    def _pause(self) -> float | None:
        if self._wanted_spare:
            return 0.0  # whoever waits comes first, then the spare is made
        due = [at for jail in self._jails.values() for at in (jail.wall_at, jail.kill_at, jail.look_at) if at]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _obey(self, message: dict[str, Any], fds: list[int]) -> None:
        if message["do"] == "start":
            try:
                self._start(message, fds)
            except OSError as error:
                self._say_ended(message["id"], refused=f"the jail could not be made: {error}")
            finally:
                for fd in fds:
                    os.close(fd)
        elif message["do"] == "spare":
            self._wanted_spare = True
        elif jail := next((each for each in self._jails.values() if each.id == message["id"]), None):
            self._end(jail, message["grace_s"])

    def _start(self, message: dict[str, Any], fds: list[int]) -> None:
        off, network = message["off"], message["network"]
        flags = self._flags(off, network=network)
        mapped = self._machine.rooted and "user" not in off and not self._bwrap
        jail = self._spare(flags, mapped=mapped) or self._bear(flags, mapped=mapped)
        jail.id = message["id"]
        jail.limits = message["limits"] | ({"memory_bytes": _UNBOUND} if "memory" in off else {})
        now = time.monotonic()
        jail.wall_at = now + jail.limits["wall_s"] if jail.limits["wall_s"] else 0.0
        jail.look_at = now + _FIRST_LOOK_S
        try:
            if jail.group:
                jail.group.bound(jail.limits["memory_bytes"], jail.limits["processes"])
            maps = self._owners.maps((*message["paths"], *self._python), jail.uid) if mapped else None
            owners = None if maps is None else [list(owner) for owner in maps]
            passing.send(jail.link, {"maps": owners}, [*fds, *(maps.values() if maps else ())])
        except OSError:
            self._kill(jail)
            jail.id, jail.spent = "", True  # the caller tells the owner
            raise
        self._wanted_spare = self._wanted_spare or flags == self._usual

    @property
    def _usually_mapped(self) -> bool:
        return self._machine.rooted and not self._bwrap

    @property
    def _usual(self) -> int:
        return self._flags([], network=False)

    def _flags(self, off: list[str], *, network: bool) -> int:
        if self._bwrap and "namespaces" not in off:
            return 0  # bwrap makes them, at its own birth
        flags = 0 if "namespaces" in off else self._machine.flags
        if not network and "network" not in off:
            flags |= syscalls.CLONE_NEWNET | (0 if self._machine.rooted else syscalls.CLONE_NEWUSER)
        return flags

    def _spare(self, flags: int, *, mapped: bool) -> Jail | None:
        if flags != self._usual or mapped != self._usually_mapped:
            return None
        return next((jail for jail in self._jails.values() if not (jail.id or jail.spent)), None)

    def _make_spare(self) -> None:
        self._wanted_spare = False
        with contextlib.suppress(OSError):  # no process to be had: the next order says so
            if self._spare(self._usual, mapped=self._usually_mapped) is None:
                self._bear(self._usual, mapped=self._usually_mapped)

    def _bear(self, flags: int, *, mapped: bool) -> Jail:
        """Clone the first process of a jail; it waits for its order."""
        if not self._free:
            raise OSError(f"{SLOTS} jails run already")
        slot = self._free.pop()
        group = self._groups.take(slot)
        mine, its = passing.pair()
        uid, gid = (self._uids.first + slot,) * 2 if mapped else (os.geteuid(), os.getegid())
        birth = Birth(
            link=its,
            enter_fd=group.enter_fd if group else -1,
            flags=flags,
            uid=uid,
            gid=gid,
            rooted=self._machine.rooted,
            abi=self._machine.abi,
            last_capability=self._machine.last_capability,
            bwrap=self._bwrap,
        )
        try:
            pid = syscalls.clone(flags)
        except OSError:
            self._free.append(slot)
            mine.close()
            its.close()
            raise
        if pid == 0:
            lead(birth)
        its.close()
        mine.setblocking(False)
        jail = self._jails[pid] = Jail(pid, mine, slot, group, flags, uid)
        self._selector.register(mine, selectors.EVENT_READ, jail)
        return jail

    def _listen(self, jail: Jail) -> None:
        """Take what the first process of a jail says; its silence for good is dealt with when it is reaped."""
        message, _ = passing.receive(jail.link)
        if message is None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(jail.link)
            return
        jail.told.update(message)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if jail := self._jails.pop(pid, None):
                self._bury(jail, status)

    def _bury(self, jail: Jail, status: int) -> None:
        self._hear_out(jail)
        with contextlib.suppress(KeyError):
            self._selector.unregister(jail.link)
        jail.link.close()
        standins.remove(jail.told.get("stand_ins", []))
        self._free.append(jail.slot)
        if not jail.id:
            return
        if not jail.limit and jail.group and jail.group.hit():
            jail.limit = "memory"
        told = jail.told
        self._say_ended(
            jail.id,
            status=told.get("ended", status if jail.limit or "held" in told else None),
            refused=told.get("refused", ""),
            held=told.get("held", []),
            limit=jail.limit,
            cpu_s=told.get("cpu_s", 0.0),
        )

    def _hear_out(self, jail: Jail) -> None:
        """Take everything that a jail has said so far."""
        with contextlib.suppress(BlockingIOError):
            while jail.link in self._selector.get_map():
                self._listen(jail)

    def _say_ended(self, order: str, **how: Any) -> None:
        with contextlib.suppress(OSError):  # the owner is gone; the next look at its socket says so
            passing.send(self._owner, {"ended": order, **how})

    def _tick(self, now: float) -> None:
        for jail in list(self._jails.values()):
            if jail.kill_at and now >= jail.kill_at:
                self._kill(jail)
            elif jail.wall_at and now >= jail.wall_at:
                jail.wall_at = 0.0
                self._limit(jail, "wall", TERM_GRACE_S)
            elif jail.look_at and now >= jail.look_at:
                self._look(jail, now)

    def _look(self, jail: Jail, now: float) -> None:
        bounds = jail.limits
        found = usage(jail.pid, bounds["memory_bytes"])
        still = found.cpu_s == jail.cpu_s  # without computing nobody's memory grows: an idle jail is not woken for
        jail.look_s = min(2 * jail.look_s, LOOK_MAX_S if jail.group else LOOK_ALONE_MAX_S) if still else LOOK_S
        jail.cpu_s, jail.look_at = found.cpu_s, now + jail.look_s
        if not jail.group and found.memory_bytes > bounds["memory_bytes"]:
            self._limit(jail, "memory", 0.0)
        elif found.threads > bounds["processes"] + _SPARE_PROCESSES:
            self._limit(jail, "processes", 0.0)
        elif bounds["cpu_s"] and found.cpu_s > bounds["cpu_s"] and not jail.limit:
            self._limit(jail, "cpu", TERM_GRACE_S)

    def _limit(self, jail: Jail, name: str, grace_s: float) -> None:
        jail.limit = jail.limit or name
        self._end(jail, grace_s)

    def _end(self, jail: Jail, grace_s: float) -> None:
        """Ask its child to end, and end the jail when the grace is over."""
        if grace_s <= 0:
            self._kill(jail)
            return
        jail.kill_at = min(jail.kill_at or float("inf"), time.monotonic() + grace_s)
        with contextlib.suppress(OSError):  # it is ending already
            passing.send(jail.link, {"signal": int(signal.SIGTERM)})

    def _kill(self, jail: Jail) -> None:
        jail.kill_at = jail.wall_at = jail.look_at = 0.0
        below = [] if jail.alone else descendants(jail.pid)
        os.kill(jail.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
        while below:  # without a PID namespace its end ends nobody else; they are ours now (subreaper)
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            below = [pid for each in below for pid in descendants(each)]


def preload(names: list[str]) -> list[str]:
    """Import what children will need, once for all of them; what failed, as sentences. The child meets the same failure."""
    failures = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - anything may run on import; it is told, and the zygote lives on
            failures.append(f"cannot preload {name}: {error!r}")
    warm()
    gc.collect()
    gc.freeze()
    return failures


def warm() -> None:
    """Work out what is the same for every jail, once, so that each finds it in the memory it is born with."""
    mounts.copied()
    places.python_folders()
    places.system_links()
    if syscalls.known_machine():
        for network in (False, True):
            bpf.program(platform.machine(), network=network)


def main() -> None:
    """Start as `python -m anima.sandbox.jail.zygote LINK_FD OWNER_PID MODULES BUILDER`."""
    link_fd, owner_pid, names = int(sys.argv[1]), int(sys.argv[2]), [each for each in sys.argv[3].split(",") if each]
    syscalls.die_with_parent(signal.SIGKILL)
    if os.getppid() != owner_pid:
        return  # the owner died before the line above could take effect
    os.environ.pop("PYTHONPATH", None)  # for this process alone
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner
    syscalls.adopt_orphans()
    zygote = Zygote(socket.socket(fileno=link_fd), sys.argv[4])
    try:
        zygote.run(preload(names))
    finally:
        zygote.close()


if __name__ == "__main__":
    main()
