"""The ground of the proofs: a house with secrets, a workspace, folders to read and to write, listeners, a victim.

Everything that must not be reached carries MARK (jail_attacks.py), so that whoever returns it has read it.
"""

import asyncio
import ctypes
import itertools
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jail_attacks import MARK

from anima.sandbox.jail.jails import Jails
from anima.sandbox.jail.spec import JailSpec, Order, Outcome

HERE = Path(__file__).parent
REPO = HERE.parent.parent
GUARDED = 9  #: how many attacks on guarded names there can be, each with a folder of its own

_libc = ctypes.CDLL(None)


class Listeners:
    """Whoever connects hears MARK: TCP and UDP on both loopbacks, an abstract Unix socket, one at a path."""

    def __init__(self, bus: Path) -> None:
        self.abstract = f"@anima-jail-ground-{os.getpid()}-{bus.parent.parent.parent.name}"
        self.bus = str(bus)
        self._chosen = selectors.DefaultSelector()
        self.tcp = self._add(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))[1]
        self.tcp6 = self._add(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))[1]
        self.udp = self._add(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))[1]
        self.udp6 = self._add(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", 0))[1]
        self._add(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.abstract[1:])
        self._add(socket.AF_UNIX, socket.SOCK_STREAM, self.bus)
        bus.chmod(0o777)
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _add(self, family: int, sort: int, address: Any) -> Any:
        listener = socket.socket(family, sort)
        listener.bind(address)
        if sort == socket.SOCK_STREAM:
            listener.listen(64)
        self._chosen.register(listener, selectors.EVENT_READ, sort)
        return listener.getsockname()

    def _serve(self) -> None:
        while not self._over:
            for key, _ in self._chosen.select(0.1):
                listener = key.fileobj
                assert isinstance(listener, socket.socket)
                if key.data == socket.SOCK_DGRAM:
                    _, asker = listener.recvfrom(2000)
                    listener.sendto(MARK, asker)
                else:
                    link, _ = listener.accept()
                    with link:
                        link.send(MARK)

    def close(self) -> None:
        """Stop answering."""
        self._over = True
        self._thread.join()
        for key in list(self._chosen.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._chosen.close()


@dataclass
class Ground:
    """Where everything is. `house`, `other` and what lies guarded in the workspace must never be reached."""

    root: Path
    listeners: Listeners
    victim: int  #: PID of a process of the same user, with MARK in its environment
    held: int  #: descriptor of the owner, open on a secret, and inheritable

    @property
    def house(self) -> Path:
        """ANIMA_HOME: settings, keys, the journal, the runtime directory."""
        return self.root / "house"

    @property
    def work(self) -> Path:
        """The agent's workspace."""
        return self.root / "work"

    @property
    def books(self) -> Path:
        """A folder it may read."""
        return self.root / "books"

    @property
    def out(self) -> Path:
        """A folder it may write."""
        return self.root / "out"

    @property
    def other(self) -> Path:
        """A folder nobody spoke of."""
        return self.root / "other"

    @property
    def shared_file(self) -> Path:
        """POSIX shared memory of somebody outside, readable by all."""
        return Path(f"/dev/shm/anima-jail-{os.getpid()}-{self.shared_key}")

    @property
    def shared_key(self) -> int:
        """Key of the System V segment of this ground."""
        return 0x414E0000 + zlib.crc32(str(self.root).encode()) % 0xFFFF

    @property
    def guarded(self) -> tuple[Path, ...]:
        """Never to be reached: the house, and in the workspace files that are there and names that are not yet."""
        there = [self.work / f"keep-{number}" / "policy.toml" for number in range(GUARDED)]
        missing = [self.work / f"hooks-{number}" for number in range(GUARDED)]
        deep = [self.work / f"later-{number}" / "agent.toml" for number in range(GUARDED)]
        return (self.house, *there, *missing, *deep)


def _segment(key: int) -> int:
    """A System V segment that everybody may read, with MARK in it."""
    found = int(_libc.shmget(key, 4096, 0o1666))  # IPC_CREAT
    assert found >= 0, "no shared memory to be had"
    _libc.shmat.restype = ctypes.c_void_p
    address = _libc.shmat(found, None, 0)
    ctypes.memmove(address, MARK, len(MARK))
    _libc.shmdt(ctypes.c_void_p(address))
    return found


@contextmanager
def laid(root: Path) -> Iterator[Ground]:
    """A ground in an empty folder, until the end of the block."""
    root.chmod(0o755)
    for name in ("house/run", "house/agents/arya", "house/state", "work/plain", "books", "out", "other"):
        (root / name).mkdir(parents=True, exist_ok=True)
    secrets = ["house/keys.env", "house/agents/arya/agent.toml", "house/state/journal.db"]
    secrets += [f"other/diary-{number}" for number in range(3)] + [
        f"work/keep-{number}/policy.toml" for number in range(GUARDED)
    ]
    for name in secrets:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(MARK + b"\n")
    (root / "work" / "notes.txt").write_text("notes of the agent\n")
    (root / "books" / "a.txt").write_text("a book\n")
    shutil.copy("/usr/bin/id", root / "books" / "id")
    (root / "books" / "id").chmod(0o4755)
    listeners = Listeners(root / "house" / "run" / "bus")
    victim = subprocess.Popen(["sleep", "600"], env={"ANIMA_SECRET": MARK.decode(), "PATH": os.environ["PATH"]})
    held = os.open(root / "house" / "keys.env", os.O_RDONLY)
    os.set_inheritable(held, True)
    at = Ground(root, listeners, victim.pid, held)
    at.shared_file.write_bytes(MARK)
    segment = _segment(at.shared_key)
    try:
        yield at
    finally:
        at.shared_file.unlink()
        _libc.shmctl(segment, 0, None)  # IPC_RMID
        os.close(held)
        victim.kill()
        victim.wait()
        listeners.close()


def without_a_jail(target: str, arguments: list[Any], at: Ground) -> Any:
    """What an attack gets in a plain process of the same user: shows that it would work."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import jail_attacks; "
        "print(json.dumps(getattr(jail_attacks, sys.argv[2])(*json.loads(sys.argv[3]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(HERE), target, json.dumps(arguments)],
        cwd=at.work,
        env={**os.environ, "HOME": str(at.work), "ANIMA_SECRET": MARK.decode()},
        stdout=subprocess.PIPE,
        pass_fds=[at.held],
        check=True,
        timeout=100,
    )
    return json.loads(done.stdout.splitlines()[-1])


def marked(mark: str) -> list[int]:
    """PIDs of processes with `mark` among their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if mark in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


class Yard:
    """Open Jails on a ground, used from plain functions: one call runs one order to its end."""

    def __init__(self, at: Ground, runner: asyncio.Runner, jails: Jails) -> None:
        self.at = at
        self.runner = runner
        self.jails = jails

    def spec(self, **more: Any) -> JailSpec:
        """The policy of the proofs: a workspace, one folder to read, one to write, everything guarded."""
        plain = {"workspace": self.at.work, "read": (self.at.books,), "write": (self.at.out,), "protected": self.at.guarded}
        return JailSpec(**{**plain, **more})

    def order(self, target: str, *arguments: Any, **more: Any) -> Order:
        """One call of a function of jail_attacks."""
        return Order(f"order-{next(_COUNT)}", f"jail_attacks:{target}", tuple(arguments), self.spec(**more))

    def run(self, target: str, *arguments: Any, **more: Any) -> Outcome:
        """Its outcome."""
        return self.runner.run(self.jails.run(self.order(target, *arguments, **more)))

    def answer(self, target: str, *arguments: Any, **more: Any) -> Any:
        """What it returned; fails if it returned nothing."""
        outcome = self.run(target, *arguments, **more)
        assert outcome.how == "answered", f"{outcome.how}: {outcome.reason} {outcome.stderr.decode(errors='replace')}"
        return outcome.value


_COUNT = itertools.count(1)


@contextmanager
def yard(root: Path, **more: Any) -> Iterator[Yard]:
    """Jails that know the attacks, on a new ground below `root`; everything is gone at the end of the block."""
    with laid(root) as at, asyncio.Runner() as runner, inherited_environment():
        jails = runner.run(Jails.open(preload=("jail_attacks",), **more))
        try:
            yield Yard(at, runner, jails)
        finally:
            runner.run(jails.close())


@contextmanager
def inherited_environment() -> Iterator[None]:
    """A secret in the environment of whoever starts the jails."""
    before = os.environ.get("ANIMA_SECRET")
    os.environ["ANIMA_SECRET"] = MARK.decode()
    try:
        yield
    finally:
        if before is None:
            del os.environ["ANIMA_SECRET"]
