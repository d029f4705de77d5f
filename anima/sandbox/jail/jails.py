"""The door to the jail: orders go in, outcomes come out. For a process with an event loop, threads and sockets of its own.

Covers: an order that cannot have every layer it did not say it can do without is refused; output is kept within bounds and read
as it comes; what is cancelled or interrupted is gone when the caller goes on; nothing outlives the process that opened it.
Does not cover: whether an order is wise: policy is decided before (gate.py). Values and output are a prisoner's words.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from anima.errors import Refused, Unavailable
from anima.sandbox.jail import passing
from anima.sandbox.jail.bubblewrap import Builder
from anima.sandbox.jail.line import Line
from anima.sandbox.jail.link import ZygoteLink
from anima.sandbox.jail.output import Kept
from anima.sandbox.jail.spec import Layer, Order, Outcome
from anima.sandbox.jail.verdict import Ended, answer_bytes_max, outcome, refused, why_not

OnOutput = Callable[[str, bytes], None]

_PARALLEL_PER_CORE = 4
_CHUNK_BYTES = 64 * 1024
_WALL_MIN_S = 0.001  #: no wall time at all does not mean without a limit
_GONE_S = 5.0  #: how long the end of killed jails is waited for; the kernel takes milliseconds


@dataclass(slots=True)
class _Run:
    """One order on its way."""

    order: Order
    ended: Ended
    done: "asyncio.Future[dict[str, Any]]"
    on_output: OnOutput | None = None
    turn: "asyncio.Future[bool] | None" = None  #: while it waits for its turn
    started_at: float = 0.0
    reading: dict[int, Callable[[bytes], None]] = field(default_factory=dict)  #: by descriptor, until its end


class Jails:
    """Makes jails through one zygote, which is started again when it dies. `open` it."""

    def __init__(self, preload: Sequence[str], parallel: int, builder: Builder) -> None:
        self._preload = tuple(preload)
        self._wanted = builder
        self._loop = asyncio.get_running_loop()
        self._link: ZygoteLink | None = None
        self._starting = asyncio.Lock()
        self._runs: dict[str, _Run] = {}
        self._free = parallel
        self._waiting: deque[_Run] = deque()
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._layers: list[Layer] = []
        self._closed = False

    @classmethod
    async def open(cls, preload: Sequence[str] = (), *, parallel: int = 0, builder: Builder = "auto") -> Self:
        """Start the zygote, which imports `preload` for all children. At most `parallel` calls run at once (0: by cores).

        `builder`: who mounts the view; auto is native where the kernel lets us, else bwrap where it lets that.
        """
        jails = cls(preload, parallel or max(1, os.cpu_count() or 1) * _PARALLEL_PER_CORE, builder)
        await jails._zygote()
        return jails

    def report(self) -> list[Layer]:
        """What this machine gives, layer by layer."""
        return list(self._layers)

    @property
    def builder(self) -> str:
        """Who mounts the view: native or bubblewrap."""
        return self._link.builder if self._link else ""

    @property
    def problems(self) -> list[str]:
        """What could not be preloaded, as sentences."""
        return list(self._link.problems) if self._link else []

    async def run(self, order: Order, on_output: OnOutput | None = None) -> Outcome:
        """Have `order` done in a jail of its own. Cancelling kills the jail, and is over when the jail is.

        `on_output` gets ("stdout" or "stderr", piece) as it is printed, up to what is kept. Raises Unavailable if there is
        no zygote to be had; what becomes of the order is never an exception.
        """
        run = self._enter(order, on_output)
        try:
            if not await self._turn(run):
                run.ended.interrupted = True
                return outcome(run.ended, order.spec.limits)
            try:
                return await self._run(run)
            finally:
                self._next()
        finally:
            del self._runs[order.id]

    async def converse(self, order: Order) -> Line:
        """A child with a link as its standard input and output, outside the number of calls.

        It has no limit of wall time, and its limit of CPU time counts for each of its processes alone.
        Raises Unavailable, or Refused if it may not begin.
        """
        link = await self._zygote()
        if reason := why_not(order.spec, self._layers):
            raise Refused(reason)
        run = self._enter(order, None)
        mine, its = socket.socketpair()
        fd = its.detach()
        with contextlib.ExitStack() as undo:
            undo.callback(mine.close)
            undo.callback(self._runs.pop, order.id)
            undo.callback(self._stop_reading, run)
            self._begin(link, run, [fd, os.dup(fd)], 0.0)
            undo.pop_all()
        return await Line.open(mine, order.id, self._loop.create_task(self._see_out_line(run)))

    def interrupt(self, id: str, grace_s: float = 2.0) -> bool:  # noqa: A002 - the word of the contract
        """Ask what an order runs to end, and end its jail after `grace_s`. False if there is no such order."""
        run = self._runs.get(id)
        if run is None:
            return False
        run.ended.interrupted = True
        if run.turn is not None and not run.turn.done():
            run.turn.set_result(False)
        elif self._link:
            self._link.send({"do": "end", "id": id, "grace_s": grace_s})
        return True

    async def close(self) -> None:
        """End the zygote and every jail. What runs is answered as killed."""
        self._closed = True
        link, self._link = self._link, None
        if link:
            await link.close()
        self._hear(None)
        os.close(self._nothing)

    # turns

    def _enter(self, order: Order, on_output: OnOutput | None) -> _Run:
        if order.id in self._runs:
            raise ValueError(f"an order {order.id!r} runs already; ids are given once")
        kept = order.spec.limits.output_bytes
        run = self._runs[order.id] = _Run(order, Ended(Kept(kept), Kept(kept)), self._loop.create_future(), on_output)
        return run

    async def _turn(self, run: _Run) -> bool:
        """Wait until the order may begin; False if it was interrupted before."""
        if self._free > 0:
            self._free -= 1
            return True
        run.turn = self._loop.create_future()
        self._waiting.append(run)
        try:
            mine = await run.turn
        except asyncio.CancelledError:
            if run.turn.done() and not run.turn.cancelled() and run.turn.result():
                self._next()  # it was given to us in the same moment
            raise
        run.turn = None
        return mine

    def _next(self) -> None:
        while self._waiting:
            run = self._waiting.popleft()
            if run.turn is not None and not run.turn.done():
                run.turn.set_result(True)
                return
        self._free += 1

    # one order

    async def _run(self, run: _Run) -> Outcome:
        link = await self._zygote()
        if reason := why_not(run.order.spec, self._layers):
            return refused(reason)
        try:
            out_w = self._pipe(run, lambda piece: self._print(run, "stdout", run.ended.stdout, piece))
            self._begin(link, run, [os.dup(self._nothing), out_w], max(run.order.spec.limits.wall_s, _WALL_MIN_S))
            return await self._see_out(run)
        except asyncio.CancelledError:
            await self._kill(run)
            raise
        finally:
            self._stop_reading(run)

    def _begin(self, link: ZygoteLink, run: _Run, ends: list[int], wall_s: float) -> None:
        """Send the order; `ends` are its standard input and output, and closed here whatever happens."""
        order, spec = run.order, run.order.spec
        with contextlib.ExitStack() as undo:
            undo.callback(_close, ends)
            body = {"spec": spec.wire(), "target": order.target, "arguments": list(order.arguments)}
            ends.append(self._pipe(run, lambda piece: self._print(run, "stderr", run.ended.stderr, piece)))
            ends.append(self._pipe(run, lambda piece: self._take(run, piece)))
            ends.insert(0, passing.wrap(body))
            undo.pop_all()
        bounds = {name: getattr(spec.limits, name) for name in ("memory_bytes", "processes", "cpu_s")}
        message = {
            "do": "start",
            "id": order.id,
            "off": sorted(spec.off),
            "network": spec.network,
            "paths": [str(each) for each in (spec.workspace, *spec.read, *spec.write)],
            "limits": {"wall_s": wall_s, **bounds, **({} if wall_s else {"cpu_s": 0.0})},
        }
        run.started_at = self._loop.time()
        link.send(message, ends)

    async def _see_out(self, run: _Run) -> Outcome:
        """Wait for the end, and take what is still in the pipes: nobody is left to write to them."""
        told = await asyncio.shield(run.done)
        run.ended.told = told
        run.ended.duration_s = self._loop.time() - run.started_at
        if told.get("lost"):
            await self._silence(run)
        for fd in list(run.reading):
            while fd in run.reading and self._readable(run, fd):
                pass
        return outcome(run.ended, run.order.spec.limits)

    async def _see_out_line(self, run: _Run) -> Outcome:
        try:
            return await self._see_out(run)
        finally:
            self._stop_reading(run)
            self._runs.pop(run.order.id, None)

    async def _kill(self, run: _Run) -> None:
        """End the jail of a cancelled call, and see that it is gone."""
        if run.done.done() or self._link is None:
            return
        self._link.send({"do": "end", "id": run.order.id, "grace_s": 0.0})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GONE_S):
                await asyncio.shield(run.done)

    # what comes back

    def _pipe(self, run: _Run, take: Callable[[bytes], None]) -> int:
        """A pipe that is read as it fills; its other end, for the child."""
        mine, its = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(mine, False)
        run.reading[mine] = take
        self._loop.add_reader(mine, self._readable, run, mine)
        return its

    def _readable(self, run: _Run, fd: int) -> bool:
        """Take one piece from a pipe; False if there is none now, or no more."""
        try:
            piece = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if piece:
            run.reading[fd](piece)
            return True
        self._close(run, fd)
        return False

    def _close(self, run: _Run, fd: int) -> None:
        if run.reading.pop(fd, None):
            self._loop.remove_reader(fd)
            os.close(fd)

    def _stop_reading(self, run: _Run) -> None:
        for fd in list(run.reading):
            self._close(run, fd)

    async def _silence(self, run: _Run) -> None:
        """After the death of a zygote: wait until the kernel has ended the jail, which closes its pipes."""
        until = self._loop.time() + _GONE_S
        while run.reading and self._loop.time() < until:
            await asyncio.sleep(0.01)

    def _print(self, run: _Run, stream: str, kept: Kept, piece: bytes) -> None:
        if run.on_output and kept.total < run.order.spec.limits.output_bytes:
            run.on_output(stream, piece)
        kept.add(piece)

    def _take(self, run: _Run, piece: bytes) -> None:
        """A piece of the answer. What comes beyond its limit is only counted as too much, not kept."""
        room = answer_bytes_max + 1 - len(run.ended.answer)
        run.ended.answer += piece[:room]

    def _hear(self, message: dict[str, Any] | None) -> None:
        if message is None:
            for run in self._runs.values():
                if run.started_at and not run.done.done():
                    run.done.set_result({"lost": True})
        elif (ended := self._runs.get(message["ended"])) and not ended.done.done():
            ended.done.set_result(message)

    async def _zygote(self) -> ZygoteLink:
        async with self._starting:
            if self._closed:
                raise Unavailable("the jails are closed; nothing was done")
            if self._link is None or not self._link.alive:
                self._link = await ZygoteLink.start(self._preload, self._hear, self._wanted)
                self._layers = self._link.layers
            return self._link


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
