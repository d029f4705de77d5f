"""The journal's peers, spoken to in their own protocol so that no client library is measured: Redis Streams, JetStream.

Both run as servers of this bench, on Unix socket or loopback, and are gone when it ends.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str | None]:
    """A redis-server that fsyncs every command before it answers; its socket's path, None if it is not installed."""
    if not shutil.which("redis-server"):
        yield None
        return
    path = str(folder / "redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([*command, "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL)
    try:
        _until(lambda: Path(path).exists())
        yield path
    finally:
        server.terminate()
        server.wait()


class Redis:
    """One connection that adds to a stream."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._answers = self._socket.makefile("rb")

    def add(self, blob: bytes, count: int = 1) -> None:
        """XADD `count` times in one pipeline; returns when all are acknowledged."""
        parts = [b"XADD", b"events", b"*", b"e", blob]
        command = b"*5\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(command * count)
        for _ in range(count):
            size = self._answers.readline()
            assert size.startswith(b"$"), size
            self._answers.readline()


@contextlib.contextmanager
def nats(folder: Path) -> Iterator[int | None]:
    """A nats-server with JetStream on disk (it does not fsync each message); its port, None if it is not installed."""
    if not shutil.which("nats-server"):
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _listens(port))
        yield port
    finally:
        server.terminate()
        server.wait()


class Nats:
    """One connection that publishes to a JetStream stream and waits for its acknowledgements."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self._answers.readline()
        inbox = f"_INBOX.{os.getpid()}"
        self._reply = inbox.encode()
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %s 1\r\n' % self._reply)
        stream = json.dumps({"name": "events", "subjects": ["events"], "storage": "file"}).encode()
        self._publish(b"$JS.API.STREAM.CREATE.events", stream)
        self._take(1)

    def add(self, blob: bytes, count: int = 1) -> None:
        """Publish `count` times; returns when all are acknowledged."""
        self._publish(b"events", blob, count)
        self._take(count)

    def _publish(self, subject: bytes, blob: bytes, count: int = 1) -> None:
        self._socket.sendall((b"PUB %s %s %d\r\n" % (subject, self._reply, len(blob)) + blob + b"\r\n") * count)

    def _take(self, count: int) -> None:
        while count:
            line = self._answers.readline()
            if line.startswith(b"MSG"):
                self._answers.read(int(line.split()[-1]) + 2)
                count -= 1
            elif line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")
            assert not line.startswith(b"-ERR"), line


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(true, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "a peer did not start"
        time.sleep(0.01)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, redis(Path(folder)) as path, nats(Path(folder)) as port:
        for name, peer in (("redis", Redis(path) if path else None), ("nats", Nats(port) if port else None)):
            if peer:
                peer.add(b"x" * 300, 100)
            print(name, "works" if peer else "not installed")
