"""The owner's side of one zygote: a child process, a packet socket to it, and what comes back."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

from anima.errors import Unavailable
from anima.sandbox.jail import passing
from anima.sandbox.jail.bubblewrap import Builder
from anima.sandbox.jail.spec import Layer

_START_S = 30.0  #: it imports what the children need
_STOP_S = 5.0
_ENVIRON_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")

Listener = Callable[[dict[str, Any] | None], None]  #: gets each message, and None when the zygote is gone


class ZygoteLink:
    """A zygote that lives. `start` makes it; it is not started again by itself."""

    def __init__(self, process: "subprocess.Popen[bytes]", link: socket.socket, hear: Listener) -> None:
        self._process = process
        self._socket = link
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[dict[str, Any], list[int]]] = deque()
        self.layers: list[Layer] = []
        self.problems: list[str] = []
        self.builder = ""  #: native or bubblewrap
        self.alive = True

    @classmethod
    async def start(cls, preload: Sequence[str], hear: Listener, builder: Builder = "auto") -> Self:
        """Start a zygote and wait until it can take orders. Raises Unavailable if it does not come up."""
        mine, its = passing.pair()
        argv = [
            sys.executable,
            "-P",
            "-m",
            "anima.sandbox.jail.zygote",
            str(its.fileno()),
            str(os.getpid()),
            ",".join(preload),
            builder,
        ]
        environ = {name: os.environ[name] for name in _ENVIRON_KEPT if name in os.environ}
        environ["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each and os.path.isabs(each))
        process = subprocess.Popen(
            argv, env=environ, cwd="/", stdin=subprocess.DEVNULL, pass_fds=[its.fileno()], start_new_session=True
        )
        its.close()
        mine.setblocking(False)
        link = cls(process, mine, hear)
        hello: asyncio.Future[dict[str, Any] | None] = link._loop.create_future()
        link._loop.add_reader(mine.fileno(), _once, hello, mine)
        try:
            async with asyncio.timeout(_START_S):
                told = await hello
        except TimeoutError:
            told = None
        link._loop.remove_reader(mine.fileno())
        if told is None:
            link.kill()
            raise Unavailable("the process that makes jails does not start; its words are on standard error")
        link.layers = [Layer(*each) for each in told["hello"]]
        link.problems = told["problems"]
        link.builder = told["builder"]
        link._loop.add_reader(mine.fileno(), link._read)
        return link

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one message; closes `fds`. One that must wait is sent as soon as it can be."""
        if not self.alive:
            _close(fds)
            return
        self._waiting.append((message, list(fds)))
        self._flush()

    async def close(self) -> None:
        """End it, and with it all its jails."""
        self._gone()
        deadline = self._loop.time() + _STOP_S
        while self._process.poll() is None and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        self.kill()

    def kill(self) -> None:
        """End it at once; the kernel ends its jails."""
        self._gone()
        self._process.kill()
        self._process.wait()

    def _flush(self) -> None:
        while self._waiting:
            message, fds = self._waiting[0]
            try:
                passing.send(self._socket, message, fds)
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError:
                self._lose()
                return
            self._waiting.popleft()
            _close(fds)
        self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        while self.alive:
            try:
                message, fds = passing.receive(self._socket)
            except BlockingIOError:
                return
            _close(fds)  # it sends none
            if message is None:
                self._lose()
                return
            self._hear(message)

    def _lose(self) -> None:
        if self.alive:
            self.kill()
            self._hear(None)

    def _gone(self) -> None:
        if not self.alive:
            return
        self.alive = False
        for _, fds in self._waiting:
            _close(fds)
        self._waiting.clear()
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()


def _once(hello: "asyncio.Future[dict[str, Any] | None]", link: socket.socket) -> None:
    if not hello.done():
        hello.set_result(passing.receive(link)[0])


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
