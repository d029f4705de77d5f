"""What the supervisor tells about processes, as events: one connection to its control socket, JSON lines.

A record is known for ever by the run of the root (`boot`) and its number (`n`); the event's id follows from both, so
a record told again after a reconnection or a restart of the journal is stored only once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from anima.errors import BadMessage, Refused, Unavailable
from anima.ids import check_name, derived_id
from anima.limits import control_line_bytes_max
from anima.paths import Home
from anima.supervisor.control import read_reply, request_line
from anima.wire.events import KINDS, Event, event

WHO_TIMEOUT_S = 5.0
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0

Record = dict[str, Any]
_log = logging.getLogger(__name__)


async def follow_records(home: Home) -> AsyncIterator[list[Record]]:
    """Every lifecycle record of the root, oldest first, in groups as they arrive; without end.

    Connects again when the connection is lost, and then hears everything the root still keeps once more.
    """
    wait_s = RETRY_FIRST_S
    while True:
        try:
            async for group in _watch(home):
                wait_s = RETRY_FIRST_S
                yield group
        except (OSError, BadMessage) as error:
            _log.debug("the supervisor's records cannot be followed now: %s", error)
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, RETRY_MAX_S)


async def who(home: Home, pid: int) -> str | None:
    """The name of the process with `pid`, None if it is none of the house. Raises Unavailable if the root does not answer."""
    try:
        async with asyncio.timeout(WHO_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(home.control)
            try:
                writer.write(request_line({"do": "who", "pid": pid}))
                answer = read_reply(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, BadMessage) as error:
        raise Unavailable(f"the supervisor cannot be asked who PID {pid} is ({error!r}); try again") from error
    if not answer.get("ok"):
        raise Unavailable(f"the supervisor does not say who PID {pid} is: {answer.get('error')}; try again")
    name = answer.get("name")
    return name if isinstance(name, str) else None


def to_event(record: Record) -> Event | None:
    """The `process_*` event of a record; None for a record that is none, or of a sort not kept.

    Raises BadMessage if it is malformed.
    """
    kind = KINDS.get(f"process_{record.get('what')}")
    if kind is None:
        return None
    boot, n, name = record.get("boot"), record.get("n"), record.get("name")
    if not isinstance(boot, str) or not isinstance(n, int) or not isinstance(name, str):
        raise BadMessage(f"a lifecycle record without boot, n and name: {record!r}")
    try:
        identity = derived_id(boot, "record", n)
    except ValueError as error:
        raise BadMessage(f"a lifecycle record whose boot is no UUID: {boot!r}") from error
    return event(kind.read(record), agent=_agent(name), source="supervisor", id=identity)


def _agent(process: str) -> str:
    """Whose life it is; the house's for infrastructure, and for a folder whose name no agent may bear."""
    sort, _, name = process.partition(":")
    try:
        return check_name(name) if sort == "agent" else ""
    except Refused:
        return ""


async def _watch(home: Home) -> AsyncIterator[list[Record]]:
    """The records of one connection."""
    reader, writer = await asyncio.open_unix_connection(home.control)
    try:
        writer.write(request_line({"do": "watch", "since": 0}))
        await writer.drain()
        rest = b""
        while data := await reader.read(control_line_bytes_max):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > control_line_bytes_max:
                raise BadMessage("a line of the control socket is too long")
            if records := [read_reply(line) for line in lines if line]:
                if records[0].get("ok") is False:
                    raise BadMessage(f"the supervisor refused: {records[0].get('error')}")
                yield records
    finally:
        writer.close()
