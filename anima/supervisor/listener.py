"""The control socket as the root serves it: never blocks, trusts nobody, forgets those who are slow.

A client has one request open at a time. A watcher is not sent copies of what it cannot take yet: it has a place in
the ring of records, and is dropped when the ring has moved past it.
"""

import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anima.clock import Clock
from anima.errors import BadMessage, ConfigError
from anima.limits import control_clients_max, control_idle_s, control_line_bytes_max
from anima.paths import Home
from anima.supervisor.control import Request, parse_request
from anima.supervisor.records import Records
from anima.supervisor.reexec import Client
from anima.supervisor.spawn import Reserve
from anima.supervisor.watch import READ, WRITE, Watch

Reply = dict[str, Any]
Later = Callable[[], Reply | None]  #: a promise, asked again after every turn until it has the reply
Answer = Callable[[Request], "Reply | Later"]

_BACKLOG = 64
_ACCEPTS_MAX = 64  # per turn
_RECORDS_AT_ONCE = 256
_READ_BYTES = 65_536


@dataclass(slots=True, eq=False)
class _Client:
    connection: socket.socket
    idle_at: float  #: when it is dropped for saying nothing, or for not reading
    said: bytearray = field(default_factory=bytearray)
    told: bytearray = field(default_factory=bytearray)  #: not yet taken by the kernel
    later: Later | None = None
    watching: int | None = None  #: n of the last record it was sent
    closing: bool = False  #: once `told` is out


def refusal(error: Exception) -> Reply:
    """`error` as an answer."""
    return {"ok": False, "error": str(error), "sort": type(error).__name__}


class Listener:
    """Accepts, reads, answers and drops clients; what an answer is comes from `answer`. `door` listens, see `open_door`."""

    def __init__(
        self, door: socket.socket, watch: Watch, records: Records, answer: Answer, reserve: Reserve, clock: Clock
    ) -> None:
        self._path = Path(door.getsockname())
        self._watch = watch
        self._records = records
        self._answer = answer
        self._reserve = reserve
        self._clock = clock
        self._clients: list[_Client] = []
        self._socket = door
        watch.listen(self._socket.fileno(), READ, self._accept_all)

    def hand_on(self, noted: Callable[[Later], dict[str, Any] | None]) -> tuple[Client, ...]:
        """Everybody who is connected, for the code that goes on; `noted` makes a promise a map."""
        return tuple(
            Client(
                client.connection.fileno(),
                client.idle_at,
                bytes(client.said),
                bytes(client.told),
                noted(client.later) if client.later else None,
                client.watching,
                client.closing,
            )
            for client in self._clients
        )

    def take_over(self, clients: Sequence[Client], promise: Callable[[dict[str, Any]], Later]) -> None:
        """Go on with `clients` as if they had connected here; `promise` makes a map a promise again."""
        for each in clients:
            later = None if each.promised is None else promise(each.promised)
            connection = socket.socket(fileno=each.fd)
            connection.setblocking(False)
            said, told = bytearray(each.said), bytearray(each.told)
            client = _Client(connection, each.idle_at, said, told, later, each.watching, each.closing)
            self._clients.append(client)
            self._send(client)  # nothing, perhaps; and from then on it is listened to

    def next_wake(self) -> float | None:
        """When the loop must come back for a client (monotonic); None if no client is waiting for anything."""
        if any(self._has_line(client) for client in self._clients):
            return 0.0
        return min((client.idle_at for client in self._clients if self._may_idle_out(client)), default=None)

    def turn(self) -> None:
        """Serve what became possible: one line of each client, answers that were promised, records, and the idle."""
        now = self._clock.monotonic()
        for client in list(self._clients):
            if self._has_line(client):
                self._serve_line(client)
            elif client.later is not None and (reply := client.later()) is not None:
                client.later = None
                self._tell(client, reply)
            if client.watching is not None:
                self._feed(client)
            if self._may_idle_out(client) and client.idle_at <= now:
                self._drop(client)

    def close(self) -> None:
        """Answer what was promised if it can be, hang up on everybody and remove the socket."""
        for client in list(self._clients):
            if client.later is not None and (reply := client.later()) is not None:
                client.later = None
                self._tell(client, reply)
            self._drop(client)
        self._watch.forget(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)

    # -- clients come -----------------------------------------------------------------------------------------------------

    def _accept_all(self) -> None:
        for _ in range(_ACCEPTS_MAX):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:  # no descriptor left: take it with a reserved one, so that the queue does not spin, and refuse it
                self._refuse_with_reserve()
                return
            self._welcome(connection)

    def _refuse_with_reserve(self) -> None:
        with self._reserve.lent(), suppress(OSError):
            connection, _ = self._socket.accept()
            self._hang_up(connection, "the supervisor has no descriptors left; try again in a moment")

    def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if _peer_uid(connection) not in (None, 0, os.getuid()):
            self._hang_up(connection, "this house belongs to another user", "Refused")
        elif len(self._clients) >= control_clients_max:
            self._hang_up(connection, f"the supervisor has {control_clients_max} clients already; try again in a moment")
        else:
            client = _Client(connection, self._clock.monotonic() + control_idle_s)
            self._clients.append(client)
            self._watch.listen(connection.fileno(), READ, lambda: self._read(client))

    def _hang_up(self, connection: socket.socket, error: str, sort: str = "Unavailable") -> None:
        with connection, suppress(OSError):
            connection.send(json.dumps({"ok": False, "error": error, "sort": sort}).encode() + b"\n")

    # -- clients speak ----------------------------------------------------------------------------------------------------

    def _read(self, client: _Client) -> None:
        try:
            read = client.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            read = b""
        if not read:
            self._drop(client)
            return
        if client.watching is None:
            client.said += read  # a watcher has nothing more to say
        line_ends = client.said.find(b"\n")
        if (line_ends if line_ends >= 0 else len(client.said)) > control_line_bytes_max:
            self._give_up(client, f"a line has at most {control_line_bytes_max} bytes")
        elif len(client.said) > control_line_bytes_max + _READ_BYTES:
            self._give_up(client, "wait for an answer before you ask so much more")

    def _give_up(self, client: _Client, error: str) -> None:
        client.said.clear()
        client.closing = True
        self._tell(client, refusal(BadMessage(error)))

    def _has_line(self, client: _Client) -> bool:
        busy = client.told or client.later is not None or client.watching is not None or client.closing
        return not busy and b"\n" in client.said

    def _may_idle_out(self, client: _Client) -> bool:
        return bool(client.told) or (client.later is None and client.watching is None)

    def _serve_line(self, client: _Client) -> None:
        line, _, rest = bytes(client.said).partition(b"\n")
        client.said = bytearray(rest)
        try:
            request = parse_request(line)
            if request.do == "watch":
                client.watching = self._place(request.since)
                client.said.clear()
                return
            answer = self._answer(request)
        except BadMessage as error:
            answer = refusal(error)
        if callable(answer):
            client.later = answer
        else:
            self._tell(client, answer)

    # -- clients are told -------------------------------------------------------------------------------------------------

    def _tell(self, client: _Client, *replies: Reply) -> None:
        for reply in replies:
            client.told += json.dumps(reply).encode() + b"\n"
        client.idle_at = self._clock.monotonic() + control_idle_s
        self._send(client)

    def _send(self, client: _Client) -> None:
        try:
            sent = client.connection.send(client.told)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        if sent:
            del client.told[:sent]
            client.idle_at = self._clock.monotonic() + control_idle_s
        if client.closing and not client.told:
            self._drop(client)
        elif client.told:
            self._watch.listen(client.connection.fileno(), READ | WRITE, lambda: self._read_or_send(client))
        else:
            self._watch.listen(client.connection.fileno(), READ, lambda: self._read(client))

    def _read_or_send(self, client: _Client) -> None:
        self._send(client)
        if client in self._clients:
            self._read(client)

    def _place(self, since: int) -> int:
        """Where a new watcher begins: a number we never gave comes from another run of the root and means nothing."""
        forgotten = self._records.forgotten
        return forgotten if since > self._records.head else max(since, forgotten)

    def _feed(self, client: _Client) -> None:
        while client in self._clients and not client.told and client.watching is not None:
            if client.watching < self._records.forgotten:
                self._drop(client)  # it missed records; on its next call it can tell by their numbers
                return
            records = self._records.after(client.watching, _RECORDS_AT_ONCE)
            if not records:
                return
            client.watching = records[-1]["n"]
            self._tell(client, *records)

    def _drop(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._watch.forget(client.connection.fileno())
            client.connection.close()


def open_door(home: Home) -> socket.socket:
    """The listening socket, for this user only. Raises ConfigError if the runtime directory does not take it."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        home.control.unlink(missing_ok=True)  # left by one that was killed; we hold the lock, so nobody serves it
        listening.bind(str(home.control))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(f"cannot open the control socket {home.control}: {error.strerror}; check its directory") from error
    finally:
        os.umask(before)
    listening.setblocking(False)
    return listening


def _peer_uid(connection: socket.socket) -> int | None:
    """Whose process is at the other end, as the kernel knows it; None where it does not say (then the file's mode guards)."""
    if sys.platform != "linux":
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
