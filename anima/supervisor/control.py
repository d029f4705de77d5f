"""The root's control socket as its clients see it: one JSON object per line each way, over a Unix socket of the same user.

    {"do": "status"}                                   the supervisor and every process
    {"do": "start", "names": ["arya", "ag*", "all"]}   also stop, restart, reset, pause, resume; "wait": true answers when done
    {"do": "reload"}    {"do": "down"}                 "wait": true answers `down` when everybody is gone
    {"do": "upgrade", "check": false, "to": ""}        go on in the code on disk (or in that environment); the answer comes
                                                       after the preflight, all else in records
    {"do": "who", "pid": 812}                          whose process that is
    {"do": "watch", "since": 17}                       lifecycle records from n = 18 on, one per line, without end

Answers carry "ok"; a refusal carries "error", a sentence, and "sort", the name of the error class in `anima.errors`.
Blocking and small, for commands that live for a moment; `request_line` and `read_reply` also serve asyncio clients.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from anima.errors import BadMessage, Unavailable
from anima.limits import control_line_bytes_max
from anima.paths import Home

ORDERS = frozenset({"start", "stop", "restart", "reset", "pause", "resume"})  #: verbs that take names
_VERBS = ORDERS | {"status", "watch", "reload", "down", "who", "upgrade"}
_RETRY_S = 0.01


@dataclass(frozen=True)
class Request:
    """One line of a client, understood."""

    do: str
    names: tuple[str, ...] = ()
    wait: bool = False
    since: int = 0
    pid: int = 0
    check: bool = False
    to: str = ""


def parse_request(line: bytes) -> Request:
    """The request in `line`. Raises BadMessage with a sentence for anything else; unknown keys are left out."""
    said = _object(line)
    do = said.get("do")
    if not isinstance(do, str) or do not in _VERBS:
        raise BadMessage(f'a request needs "do", one of: {", ".join(sorted(_VERBS))}')
    names, wait = said.get("names", []), said.get("wait", False)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadMessage('"names" is a list of names or patterns')
    if do in ORDERS and not names:
        raise BadMessage(f'"{do}" needs "names", e.g. ["arya"] or ["all"]')
    check, to = said.get("check", False), said.get("to", "")
    if not isinstance(wait, bool) or not isinstance(check, bool):
        raise BadMessage('"wait" and "check" are true or false')
    if not isinstance(to, str) or (to and not os.path.isabs(to)):  # noqa: PTH117 - a plain look at a string
        raise BadMessage('"to" is the whole path of an environment')
    return Request(do, tuple(names), wait, _count(said, "since"), _count(said, "pid"), check, to)


def _count(said: dict[str, Any], key: str) -> int:
    value = said.get(key, 0)
    if type(value) is not int or value < 0:
        raise BadMessage(f'"{key}" is a whole number, not below 0')
    return value


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage("a line is one JSON object") from error
    if not isinstance(said, dict):
        raise BadMessage("a line is one JSON object")
    return said


def request_line(request: dict[str, Any]) -> bytes:
    """`request` as the line to send. Raises BadMessage if it is longer than `control_line_bytes_max`."""
    line = json.dumps(request).encode() + b"\n"
    if len(line) > control_line_bytes_max:
        raise BadMessage(
            f"a request of {len(line)} bytes is longer than {control_line_bytes_max}; name fewer processes at a time"
        )
    return line


def read_reply(line: bytes) -> dict[str, Any]:
    """The answer or record in `line`. Raises BadMessage for anything else."""
    return _object(line)


def ask(home: Home, request: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
    """Send `request` to the root of `home` and wait for its answer, which may be a refusal ("ok": false).

    Raises Unavailable if the house is not running or does not answer within `timeout_s`, BadMessage for a request that
    is too long.
    """
    line = request_line(request)
    with _connected(home, timeout_s) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it refused us and hung up; its reason waits to be read
            connection.sendall(line)
        reply = connection.makefile("rb").readline()
    if not reply.endswith(b"\n"):
        raise Unavailable(
            f"the supervisor of {home.root} hung up without an answer; `animactl status` tells whether it still runs"
        )
    return read_reply(reply)


def watch(home: Home, since: int = 0) -> Iterator[dict[str, Any]]:
    """Lifecycle records with a higher number than `since`, as they come; ends when the root ends.

    Raises Unavailable if the house is not running, or if the root refuses or drops this client.
    """
    with _connected(home, 5.0) as connection:
        connection.sendall(request_line({"do": "watch", "since": since}))
        connection.settimeout(None)
        for line in connection.makefile("rb"):
            record = read_reply(line)
            if record.get("ok") is False:
                raise Unavailable(str(record.get("error", "the supervisor refused")))
            yield record


@contextmanager
def _connected(home: Home, timeout_s: float) -> Iterator[socket.socket]:
    give_up_at = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        while True:
            try:
                connection.connect(str(home.control))
                break
            except BlockingIOError:  # its queue of new clients is full
                if time.monotonic() > give_up_at:
                    raise _silent(home, timeout_s) from None
                time.sleep(_RETRY_S)
            except OSError as error:
                raise Unavailable(f"the house at {home.root} is not running; start it with `animactl up --detach`") from error
        try:
            yield connection
        except TimeoutError:
            raise _silent(home, timeout_s) from None
        except ConnectionResetError:
            raise Unavailable(f"the supervisor of {home.root} hung up; `animactl status` tells whether it still runs") from None


def _silent(home: Home, timeout_s: float) -> Unavailable:
    return Unavailable(
        f"the supervisor of {home.root} did not answer within {timeout_s:g} s; its log is {home.log_file('supervisor')}"
    )
