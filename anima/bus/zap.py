"""Who may connect: ZAP (ZeroMQ RFC 27) over the kernel's own word for uid and pid of an ipc peer.

Covered: another user's process cannot exchange a message with a guarded socket, and every accepted message carries the
sender's uid and pid as User-Id. Not covered: processes of the same user are told apart only by their pid, and a
process that outlives its connection may hand its socket to another.
"""

import logging
import os

import zmq

from anima.bus.port import Message, Port, open_socket

_ENDPOINT = "inproc://zeromq.zap.01"
_log = logging.getLogger(__name__)


def open_zap() -> Port:
    """Answer libzmq's questions on this process's event loop; must exist before a guarded socket is bound.

    Our own uid and root may connect.
    """
    allowed = {os.getuid(), 0}
    socket = open_socket(zmq.REP)
    socket.bind(_ENDPOINT)

    def on_messages(batch: list[Message]) -> None:
        for request in batch:
            port.send(judge(request, allowed))

    port = Port(socket, on_messages)
    return port


def close_zap(port: Port) -> None:
    """Stop answering. The name is given up at once: closing alone frees it only when libzmq's reaper gets to it."""
    port.socket.unbind(_ENDPOINT)
    port.close()


def judge(request: Message, allowed: set[int]) -> Message:
    """The answer to one ZAP request: 200 with User-Id "uid:pid", or 400.

    An ipc peer's address reads `localhost:uid:gid:pid`, from SO_PEERCRED.
    """
    version, number, _domain, address = (request + [b""] * 4)[:4]
    try:
        _host, uid, _gid, pid = address.decode().rsplit(":", 3)
        accepted = int(uid) in allowed and int(pid) > 0
    except ValueError:
        accepted = False
    if accepted:
        return [version, number, b"200", b"OK", f"{uid}:{pid}".encode(), b""]
    _log.warning("refused a connection from %s: only this house's own user may connect", address.decode(errors="replace"))
    return [version, number, b"400", b"not your house", b"", b""]


def peer(user_id: str) -> tuple[int, int]:
    """(uid, pid) from a User-Id that `judge` gave."""
    uid, pid = user_id.split(":")
    return int(uid), int(pid)
