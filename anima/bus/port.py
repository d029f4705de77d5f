"""One ZeroMQ socket on the event loop: what arrives is handed over in batches, what is sent never waits.

zmq.asyncio would do, at about three times the cost per message (a future each way); this drains the socket once per
wake-up instead. A ZeroMQ file descriptor is edge-triggered and speaks for both directions, so after every send the
state is looked at again: otherwise a message that arrived meanwhile would lie there until the next one.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from anima.limits import (
    KIB,
    handshake_ms,
    linger_ms,
    message_bytes_max,
    queue_messages_max,
    reconnect_max_ms,
    reconnect_ms,
)

ZAP_DOMAIN = b"anima"
DRAIN_MESSAGES_MAX = 512  # one wake-up hands over at most this many, then lets the loop breathe
DRAIN_BYTES_MAX = 128 * KIB  # nor more than this: a flood of large messages must not keep the others waiting

Message = list[bytes]
_born: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """This process's own context, made on first use.

    A context that crossed a fork binds without error and never receives anything, so one belongs to one PID only.
    """
    pid = os.getpid()
    if pid not in _born:
        _born.clear()  # a forked copy of a parent's context must be forgotten, not terminated: its threads are not here
        _born[pid] = zmq.Context()
    return _born[pid]


def open_socket(kind: int) -> zmq.Socket[bytes]:
    """A socket of `kind` (zmq.DEALER, ...) with libzmq's defaults replaced by ours; see limits.py for the reasons."""
    socket = context().socket(kind)
    socket.setsockopt(zmq.LINGER, linger_ms)
    socket.setsockopt(zmq.SNDHWM, queue_messages_max)
    socket.setsockopt(zmq.RCVHWM, queue_messages_max)
    socket.setsockopt(zmq.MAXMSGSIZE, message_bytes_max)
    socket.setsockopt(zmq.HANDSHAKE_IVL, handshake_ms)
    socket.setsockopt(zmq.RECONNECT_IVL, reconnect_ms)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, reconnect_max_ms)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an answer to someone gone is an error we see, not a silent drop
    return socket


def guard(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    """Ask this process's ZAP handler about everyone who connects; call before bind."""
    socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    return socket


class Port:
    """A socket bound to the running event loop.

    `on_messages` gets every batch of received messages, each a list of frames as bytes; with `credentials`, the first
    frame is a zmq.Frame, whose `get("User-Id")` is what ZAP said about the sender.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], on_messages: Callable[[list[Any]], None], *, credentials: bool = False
    ) -> None:
        self.socket = socket
        self._on_messages = on_messages
        self._receive = self._receive_with_credentials if credentials else self._receive_plain
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._due = False
        self._held = False
        self._loop.add_reader(self._fd, self._drain)
        self._recheck()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Queue one message. False if the peer is gone or its queue is full; nothing was sent then."""
        self._recheck()  # also when it fails: looking for room may have swallowed the signal that a message is here
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK, copy=True)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                return False
            raise
        return True

    def hold(self, *, held: bool) -> None:
        """Leave what arrives in libzmq's queues, and so in the end with its senders, until held no more."""
        if self._held and not held:
            self._recheck()
        self._held = held

    def close(self) -> None:
        """Let go of the socket; what is queued may still leave for `linger_ms`."""
        if not self.socket.closed:
            self._loop.remove_reader(self._fd)
            self.socket.close()

    def _recheck(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._again)

    def _again(self) -> None:
        self._due = False
        self._drain()

    def _drain(self) -> None:
        batch: list[Any] = []
        size = 0
        while not self._held and not self.socket.closed and int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message = self._receive()
            batch.append(message)
            size += len(message[-1])
            if len(batch) == DRAIN_MESSAGES_MAX or size >= DRAIN_BYTES_MAX:
                self._recheck()
                break
        if batch:
            self._on_messages(batch)

    def _receive_plain(self) -> Message:
        return self.socket.recv_multipart(zmq.NOBLOCK)

    def _receive_with_credentials(self) -> list[Any]:
        first = self.socket.recv(zmq.NOBLOCK, copy=False)
        return [first, *self.socket.recv_multipart(zmq.NOBLOCK)] if first.more else [first]
