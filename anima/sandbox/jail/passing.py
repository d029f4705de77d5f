"""Small messages with file descriptors, over a packet socket: between the owner and the zygote, and the zygote and each jail.

Covers: one message is one packet, whole or not at all; received descriptors are not inherited by an exec.
Does not cover: long messages. What may be long (the arguments of a call) travels in a memfd beside the message.
"""

import array
import os
import socket
from collections.abc import Sequence
from typing import Any

import msgpack

_PACKET_BYTES_MAX = 64 * 1024
FDS_MAX = 64


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a packet socket."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(to: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message. Raises BlockingIOError where it must wait, OSError where nobody is there any more."""
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    to.sendmsg([msgpack.packb(message)], beside, socket.MSG_NOSIGNAL)


def receive(origin: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and its descriptors; None where the other side is gone. Raises BlockingIOError where there is none."""
    room = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)
    try:
        packed, beside, _, _ = origin.recvmsg(_PACKET_BYTES_MAX, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None, []
    fds = array.array("i")
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return (msgpack.unpackb(packed) if packed else None), list(fds)


def wrap(body: dict[str, Any]) -> int:
    """A memfd that holds `body`, to be read once by `unwrap`. Raises TypeError or ValueError if it cannot be packed."""
    rest = memoryview(msgpack.packb(body))
    fd = os.memfd_create("order", os.MFD_CLOEXEC)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return fd


def unwrap(fd: int) -> dict[str, Any]:
    """What `wrap` put there; closes it."""
    size = os.fstat(fd).st_size
    found: dict[str, Any] = msgpack.unpackb(os.pread(fd, size, 0), strict_map_key=False)
    os.close(fd)
    return found
