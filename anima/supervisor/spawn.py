"""Bringing a child into the world: by fork where that is safe, by exec where it is not. Both lead to `prologue.live`."""

import errno
import gc
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from anima.paths import Home
from anima.supervisor import kernel
from anima.supervisor.boot import Boot
from anima.supervisor.cgroups import NO_GROUPS, Groups
from anima.supervisor.prologue import ROOTS_OWN, Become, Birth, live
from anima.supervisor.spec import ChildSpec, Spawn

_ALL_SIGNALS = signal.valid_signals()  # asked once: the answer takes 50 us, and every birth needs it
_RESERVED_FDS = 8  # what one spawn needs at its peak (socket pair, pipe, pidfd, boot pipe) and one to spare


@dataclass(frozen=True)
class Spawned:
    """A new process and the root's ends of what it shares with it. `pidfd` is -1 where the system has none."""

    pid: int
    pidfd: int
    notify_fd: int
    output_fd: int
    forked: bool


class Reserve:
    """Descriptors kept for the moment there are no others: a root without one can neither restart nor answer."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self.refill()

    def refill(self) -> None:
        """Hold as many as meant to, or as there are."""
        with suppress(OSError):  # none left right now; the next refill tries again
            while len(self._held) < _RESERVED_FDS:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the held ones to whatever is done inside."""
        while self._held:
            os.close(self._held.pop())
        try:
            yield
        finally:
            self.refill()


class Spawner:
    """Makes processes. Remembers what is preloaded, so that an import happens once and before the fork."""

    def __init__(self, home: Home, become: Become, exec_argv: list[str], nofile: int, groups: Groups = NO_GROUPS) -> None:
        self._home = home
        self._become = become
        self._exec_argv = exec_argv
        self._nofile = nofile
        self.groups = groups
        self._loaded: set[str] = set()
        self.reserve = Reserve()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The modules of our own packages that children share, innermost first, so that each alone takes little time.

        An import puts its module at the end of `sys.modules` when it is complete, after all that it imported itself.
        """
        packages = {name.partition(".")[0] for name in self._loaded}
        return tuple(name for name in list(sys.modules) if name.partition(".")[0] in packages)

    @property
    def nofile(self) -> int:
        """The soft limit of open files that children are given."""
        return self._nofile

    def preload(self, *names: str) -> list[str]:
        """Import what children want shared and freeze it against the collector. What failed, as sentences.

        A collection in a child writes to every object it visits, which would copy all shared pages; frozen objects
        are not visited. The child that needs a module which failed here meets the same failure and says so itself.
        """
        missing = [name for name in names if name not in self._loaded]
        if not missing:
            return []
        gc.disable()
        failures = [failure for name in missing if (failure := self.warm(name))]
        self._loaded.update(missing)
        gc.enable()
        gc.collect()
        gc.freeze()
        kernel.gather_memory()
        return failures

    def warm(self, name: str) -> str:
        """Import `name`; why that fails, "" if it does not."""
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - anything may run on import; it is told, and the root lives on
            return f"cannot preload {name}: {error!r}"
        return ""

    def may_fork(self, spawn: Spawn) -> bool:
        """Whether a fork is safe now: nobody else runs in this process, and the platform bears it."""
        if spawn == "exec" or (spawn == "auto" and sys.platform != "linux"):
            return False
        return kernel.tasks() == 1

    def spawn(self, spec: ChildSpec, incarnation: int, fork: bool) -> Spawned:
        """Start `spec`. Raises OSError if the kernel gives no process or no descriptors even from the reserve."""
        try:
            return self._spawn(spec, incarnation, fork)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        with self.reserve.lent():
            return self._spawn(spec, incarnation, fork)

    def _spawn(self, spec: ChildSpec, incarnation: int, fork: bool) -> Spawned:
        opened: list[int] = []
        try:
            mine, its = _packet_pair()
            opened += (mine, its)
            output_r, output_w = os.pipe()
            opened += (output_r, output_w)
            boot = Boot(
                name=spec.name,
                kind=spec.kind,
                home=str(self._home.root),
                run=str(self._home.run),
                incarnation=incarnation,
                notify_fd=its,
                output_fd=output_r,
                beat_s=spec.beat_s,
                settings=spec.settings,
            )
            birth = Birth(boot, os.getpid(), self._nofile, output_w, self.groups.open(spec), spec.oom_score)
            pid = self._fork(birth) if fork else self._exec(birth)
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        os.close(its)
        os.close(output_w)
        return Spawned(pid, _pidfd(pid), mine, output_r, fork)

    def _fork(self, birth: Birth) -> int:
        """Fork with all signals held back: one that hit the child too early would be answered by the root's handlers."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                live(birth, self._become)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _exec(self, birth: Birth) -> int:
        boot_r, boot_w = os.pipe()
        try:
            told = {**asdict(birth), "boot": birth.boot.to_json(), "output_w": -1}
            os.write(boot_w, json.dumps(told).encode())  # far below a pipe's 64 KiB: cannot block
            kept = (boot_r, birth.boot.notify_fd, birth.boot.output_fd)
            for fd in kept:
                os.set_inheritable(fd, True)
            environ = {name: value for name, value in os.environ.items() if name not in ROOTS_OWN}
            argv = [*self._exec_argv, "--boot-fd", str(boot_r)]
            return os.posix_spawnp(
                argv[0],
                argv,
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, birth.output_w, 1),
                    (os.POSIX_SPAWN_DUP2, birth.output_w, 2),
                ],
                setsigmask=(),
                setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD),
            )
        finally:
            os.close(boot_r)
            os.close(boot_w)
            os.set_inheritable(birth.boot.output_fd, False)  # or the next exec would inherit it


def _packet_pair() -> tuple[int, int]:
    """Both ends of a non-blocking packet socket: a beat must never make a child wait, nor a silent child the root."""
    kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
    ends = socket.socketpair(socket.AF_UNIX, kind)
    for end in ends:
        end.setblocking(False)
    return ends[0].detach(), ends[1].detach()


def _pidfd(pid: int) -> int:
    """A descriptor that means this very process for ever. Without one the PID does: only we reap it, so it stays taken."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
