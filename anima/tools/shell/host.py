"""The long-lived jailed child of one session: shells and background commands live in it between calls.

It is started in the same jail as a call of `exec` would be, with its input and output as the link, and serves until its
input ends. What it needs of the sandbox: a jailed child without a wall limit of its own, that can be written to and read from.

    frame   = see anima/wire/pipes.py
    request = {id, name, args, context}    answered by {id, ok, text, data}, in the order in which they end
            | {id, interrupt: CALL}        ends what the call CALL runs; answered by {id, ok, text, data}

Calls run beside each other, each in a thread; a shell takes one at a time. When the input ends everything is ended.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anima.errors import BadMessage
from anima.tools.context import Context
from anima.tools.run import answer, perform
from anima.tools.shell.kept import Kept
from anima.tools.tool import Result
from anima.wire.pipes import HEAD, frame_size, pack_frame, read_body

_CALLS_MAX = 32  #: at the same time; further ones wait in the link


def serve_standard() -> None:
    """Serve on standard input and output, which nothing else may use then: what is printed by mistake goes to stderr."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    serve(reading, writing)


def serve(read_fd: int, write_fd: int) -> None:
    """Serve requests until `read_fd` ends; then end every shell and job. The descriptors may be one and the same socket."""
    kept = Kept()
    writing = threading.Lock()
    free = threading.Semaphore(_CALLS_MAX)

    def take(request: Mapping[str, Any]) -> None:
        try:
            found = _answer_to(request, kept)
            with writing:
                send_frame(write_fd, {"id": request.get("id"), **found})
        except OSError:
            kept.close()  # nobody is there to hear it; the loop below ends too
        finally:
            free.release()

    try:
        while (request := read_frame(read_fd)) is not None:
            free.acquire()
            threading.Thread(target=take, args=(request,), daemon=True).start()
    finally:
        kept.close()


def _answer_to(request: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    if "interrupt" in request:
        there = kept.interrupt(str(request["interrupt"]))
        return answer(lambda: Result(ok=there, text="interrupted" if there else "that call runs nothing here"))
    return answer(
        lambda: perform(
            str(request.get("name")),
            request.get("args", {}),
            replace(Context.read(request.get("context", {})), kept=kept),
        )
    )


def send_frame(fd: int, message: Mapping[str, Any]) -> None:
    """Send one frame whole. Raises OSError if the other side is gone."""
    rest = memoryview(pack_frame(message))
    while rest:
        rest = rest[os.write(fd, rest) :]


def read_frame(fd: int) -> dict[str, Any] | None:
    """The next frame, None when the input ends or what comes is no frame (both sides are ours: then it is over)."""
    head = _exactly(fd, HEAD.size)
    if head is None:
        return None
    try:
        body = _exactly(fd, frame_size(head))
        return None if body is None else read_body(body)
    except BadMessage:
        return None


def _exactly(fd: int, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        try:
            piece = os.read(fd, size - len(found))
        except ConnectionError:
            return None
        if not piece:
            return None
        found += piece
    return bytes(found)
