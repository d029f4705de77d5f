"""The long-lived children of sessions: one jail for each in which shells and background commands live between calls.

A host is made at the first call that needs one, with the rules its agent has then; other rules make another host, and
the old one ends with everything in it. It also ends when it is idle for long. Nothing of it survives the sandbox:
a call that was running in it is told by its tool's effect, and background commands that are gone are told as gone.

The link carries frames (anima/wire/pipes.py) as at the top of anima/tools/shell/host.py.
"""

import asyncio
import contextlib
import itertools
import logging
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from anima.clock import SYSTEM, Clock
from anima.errors import AnimaError, BadMessage, Unavailable
from anima.limits import call_grace_s, host_idle_s, host_shell_idle_s, hosts_max
from anima.sandbox.jail.spec import Order, Outcome
from anima.sandbox.work import Told, answer
from anima.wire.pipes import Frames, pack_frame

TARGET = "anima.tools.shell.host:serve_standard"
_READ_BYTES = 65_536
_FAREWELL_S = 0.5  # what a host and all that lives in it has to end by itself
_ASK_S = 5.0  # a question that starts nothing
_log = logging.getLogger(__name__)


class Line(Protocol):
    """A link to a long-lived jailed child, as `Jails.converse` gives it."""

    @property
    def id(self) -> str:
        """Of its order."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises ConnectionError if the child is gone."""
        ...

    async def read(self, size: int = ...) -> bytes:
        """What has come; b"" when the child has closed its side."""
        ...

    def close(self) -> None:
        """Send no more: the child sees the end of its input."""
        ...

    async def wait(self) -> Outcome:
        """How it ended."""
        ...


class Keeper(Protocol):
    """What is needed of the jails here."""

    async def converse(self, order: Order) -> Any:
        """A `Line` to a child that stays. Raises Unavailable, or Refused if it may not begin."""
        ...

    def interrupt(self, id: str, grace_s: float = 2.0) -> bool:  # noqa: A002 - the order's own name
        """Ask what an order runs to end, and end it soon after."""
        ...


class Gone(Unavailable):
    """The host ended while the call ran in it."""


@dataclass(slots=True)
class Host:
    """One of them, and those who wait for an answer of it."""

    agent: str
    session: str
    stamp: str  #: of the rules it was made with
    line: Line
    used_at: float  #: monotonic
    shells: bool = False  #: whether a shell was ever asked for: its folder and variables may still be wanted
    reason: str = ""  #: why it ended; "" while it lives
    waiting: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None


class Hosts:
    """All hosts, by agent and session."""

    def __init__(self, jails: Keeper, clock: Clock = SYSTEM) -> None:
        self._jails = jails
        self._clock = clock
        self._hosts: dict[tuple[str, str], Host] = {}
        self._making: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self._interrupting: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    async def call(self, order: Order, stamp: str, session: tuple[str, str], wall_s: float) -> Told:
        """One call in the host of `session`, which is made from `order` when it is missing.

        `order` is that of a call in a jail of its own: (name, args, context). Raises Gone if the host ended meanwhile, and
        Unavailable if none could be made: then nothing happened.
        """
        host = await self._host(order, stamp, session)
        name, args, context = order.arguments[:3]
        host.shells = host.shells or name == "shell_session"
        asked = asyncio.create_task(self._ask(host, order.id, {"name": name, "args": args, "context": context}))
        try:
            done, _ = await asyncio.wait([asked], timeout=wall_s)
            if not done:
                self.interrupt(session, order.id)
                done, _ = await asyncio.wait([asked], timeout=2 * call_grace_s)
            if not done:
                await self._end(host, f"{name} did not end within its {wall_s:g} s, nor when it was asked to")
            return _told(await asked)
        finally:
            asked.cancel()
            host.used_at = self._clock.monotonic()

    def interrupt(self, session: tuple[str, str], call: str) -> bool:
        """Ask the session's host to end what a call runs; False if there is no such call."""
        host = self._hosts.get(session)
        if host is None or call not in host.waiting:
            return False
        asking = asyncio.create_task(self._quietly(host, {"interrupt": call}))
        self._interrupting.add(asking)
        asking.add_done_callback(self._interrupting.discard)
        return True

    async def look(self, agent: str, name: str, args: Mapping[str, Any], session: str | None = None) -> dict[str, Told]:
        """What a tool that only looks says in each live host of `agent`, by session. No call of the journal."""
        found = {}
        for key, host in list(self._hosts.items()):
            if key[0] != agent or session not in (None, key[1]) or host.reason:
                continue
            context = {"workdir": "/", "agent": agent, "session": key[1], "call": f"look-{next(self._numbers)}"}
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_ASK_S):
                    asked = {"name": name, "args": dict(args), "context": context}
                    found[key[1]] = _told(await self._ask(host, context["call"], asked))
        return found

    async def tidy(self) -> None:
        """End hosts that are idle for long, and the one idle for longest where there are too many."""
        now = self._clock.monotonic()
        oldest = sorted(self._hosts.values(), key=lambda host: host.used_at)
        spare = len(oldest) - hosts_max
        for host in oldest:
            idle_s = now - host.used_at
            limit_s = host_shell_idle_s if host.shells else host_idle_s
            if not host.waiting and (idle_s > limit_s or spare > 0) and not await self._works(host):
                await self._end(host, f"it was idle for {idle_s:.0f} s")
                spare -= 1

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self._end(host, "the sandbox stops") for host in list(self._hosts.values())))

    def __len__(self) -> int:
        return len(self._hosts)

    # -- one host ----------------------------------------------------------------------------------------------------------

    async def _host(self, order: Order, stamp: str, session: tuple[str, str]) -> Host:
        making = self._making.setdefault(session, asyncio.Lock())  # as long as somebody wants it
        async with making:
            host = self._hosts.get(session)
            if host is not None and host.stamp == stamp and not host.reason:
                return host
            if host is not None:
                await self._end(host, "its agent's policy has changed")
            line = await self._jails.converse(Order(f"host-{next(self._numbers)}", TARGET, (), order.spec))
            host = Host(*session, stamp, line, self._clock.monotonic())
            host.reading = asyncio.create_task(self._read(host))
            self._hosts[session] = host
            return host

    async def _ask(self, host: Host, number: str, request: dict[str, Any]) -> dict[str, Any]:
        if host.reason:
            raise Gone(host.reason)
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        host.waiting[number] = answered
        try:
            await host.line.send(pack_frame({"id": number, **request}))
            return await answered
        except OSError as error:
            raise Gone(host.reason or str(error)) from error
        finally:
            host.waiting.pop(number, None)

    async def _quietly(self, host: Host, request: dict[str, Any]) -> None:
        with contextlib.suppress(AnimaError, TimeoutError):
            async with asyncio.timeout(_ASK_S):
                await self._ask(host, f"quiet-{next(self._numbers)}", request)

    async def _read(self, host: Host) -> None:
        """Hand out the answers as they come; the end of the link is the end of the host."""
        frames = Frames()
        reason = "the session's long-lived child ended"
        try:
            while piece := await host.line.read(_READ_BYTES):
                for message in frames.feed(piece):
                    waiting = host.waiting.get(str(message.get("id")))
                    if waiting and not waiting.done():
                        waiting.set_result(message)
        except (OSError, BadMessage, Unavailable) as error:
            reason = f"{reason}: {error}"
        self._jails.interrupt(host.line.id, _FAREWELL_S)  # whatever may be left of it
        outcome = await host.line.wait()
        self._bury(host, f"{reason}: {outcome.reason}" if outcome.reason else reason)

    async def _works(self, host: Host) -> bool:
        """Whether a background command runs in it."""
        told = (await self.look(host.agent, "background_list", {}, host.session)).get(host.session)
        jobs = told.data.get("jobs", []) if told else []
        return any(isinstance(job, dict) and job.get("state") == "running" for job in jobs)

    async def _end(self, host: Host, reason: str) -> None:
        self._bury(host, reason)
        host.line.close()
        self._jails.interrupt(host.line.id, _FAREWELL_S)
        if host.reading:
            await asyncio.wait([host.reading], timeout=_ASK_S)
            host.reading.cancel()

    def _bury(self, host: Host, reason: str) -> None:
        if host.reason:
            return
        host.reason = reason
        key = (host.agent, host.session)
        if self._hosts.get(key) is host:
            del self._hosts[key]
        _log.info("the long-lived child of %s/%s is gone: %s", host.agent, host.session, reason)
        for waiting in host.waiting.values():
            if not waiting.done():
                waiting.set_exception(Gone(f"the shells and background commands of this session were ended: {reason}"))


def _told(message: Mapping[str, Any]) -> Told:
    told = answer({key: message.get(key) for key in ("ok", "text", "data")})
    if told is None:
        raise Gone("the session's long-lived child gave an answer that is none")
    return told
