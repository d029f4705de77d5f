"""A link to one server: requests go out with a number, are sent again until answered, and may be given up.

Everything asked over a link is safe to repeat (questions by nature, appends by the event's id), so a dead server, a
lost connection and a lost answer all have one remedy: ask again.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import zmq

from anima.bus.port import Message, Port, open_socket
from anima.errors import BadMessage
from anima.limits import reconnect_max_ms
from anima.wire import frames

RESEND_FIRST_S = 0.5
RESEND_MAX_S = reconnect_max_ms / 1_000


@dataclass(slots=True)
class _Pending:
    message: Message
    answer: asyncio.Future[bytes]
    again_at: float
    wait_s: float


class Link:
    """A DEALER socket to the ROUTER at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        socket = open_socket(zmq.DEALER)
        socket.connect(endpoint)
        self._loop = asyncio.get_running_loop()
        self._pending: dict[bytes, _Pending] = {}
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self._port = Port(socket, self._on_messages)

    def request(self, operation: bytes, payload: bytes) -> asyncio.Future[bytes]:
        """Ask; the future brings the packed answer, or raises the error that came back.

        Cancel the future to give up: the request is forgotten, a late answer ignored.
        """
        self._next += 1
        number = self._next.to_bytes(frames.NUMBER_BYTES, "big")
        message = [operation, number, payload]
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._pending[number] = _Pending(message, answer, self._loop.time() + RESEND_FIRST_S, RESEND_FIRST_S)
        self._port.send(message)  # a full queue is one more reason to send again later
        if self._timer is None:
            self._timer = self._loop.call_later(RESEND_FIRST_S, self._tick)
        return answer

    def tell(self, message: Message) -> None:
        """Send something that has no answer and may be lost."""
        self._port.send(message)

    def resend(self) -> None:
        """Send everything unanswered again, now: the server was born anew."""
        for pending in self._open():
            self._port.send(pending.message)

    def close(self) -> None:
        """Give up whatever is unanswered."""
        if self._timer:
            self._timer.cancel()
        for pending in self._pending.values():
            pending.answer.cancel()
        self._port.close()

    def _open(self) -> Iterator[_Pending]:
        for number, pending in list(self._pending.items()):
            if pending.answer.done():
                del self._pending[number]
            else:
                yield pending

    def _tick(self) -> None:
        now = self._loop.time()
        soonest = None
        for pending in self._open():
            if pending.again_at <= now:
                pending.wait_s = min(2 * pending.wait_s, RESEND_MAX_S)
                pending.again_at = now + pending.wait_s
                self._port.send(pending.message)
            soonest = min(soonest or pending.again_at, pending.again_at)
        self._timer = self._loop.call_at(soonest, self._tick) if soonest else None

    def _on_messages(self, batch: list[Message]) -> None:
        for message in batch:
            if len(message) != 3 or (pending := self._pending.pop(message[1], None)) is None or pending.answer.done():  # noqa: PLR2004
                continue  # the answer to a request sent twice, or given up
            if message[0] == frames.OK:
                pending.answer.set_result(message[2])
            else:
                pending.answer.set_exception(_error(message[2]))


def _error(payload: bytes) -> Exception:
    with contextlib.suppress(BadMessage):
        return frames.refused(payload)
    return BadMessage("the answer was neither ok nor a refusal")
