"""One call of a tool made by hand: stored as an intent like any other, followed to its response."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from anima.bus.bus import Bus
from anima.cli import hands
from anima.cli.demands import Asked, Decided, Demands
from anima.cli.live import CHECK_S, Watch, append, listening
from anima.errors import Spent, Unavailable
from anima.paths import Home
from anima.wire.events import Event, InterruptAsked, ToolCall, ToolResponse
from anima.wire.frames import Query


@dataclass(frozen=True)
class ByHand:
    """What is to be called, by whose policy, and how long the one who calls waits (0: as long as it takes)."""

    home: Home
    agent: str
    session: str
    tool: str
    args: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 0.0
    wall_s: float = 0.0  #: the limit asked for; 0 for the tool's own


@dataclass(frozen=True)
class Settled:
    """How it ended."""

    id: str
    response: ToolResponse
    interrupted: bool  #: by Ctrl-C of the one who waited


class Waiting(Spent):
    """The time is up, and the call still waits for a person's word."""


async def carry_out(bus: Bus, wanted: ByHand, show: Callable[[Asked | Decided], None]) -> Settled:
    """Store the intent and wait for its response; `show` gets what a person is asked meanwhile.

    Ctrl-C interrupts the call and still waits for what it came to; a second one stops waiting. Raises Spent when the time
    is up and Unavailable when nobody is there to carry it out; the call stands in the journal in both cases.
    """
    head = (await bus.read(Query(newest=True, limit=1))).head
    async with listening(bus, wanted.agent, head) as ear:
        call = ToolCall("", 0, "by-hand", wanted.tool, wanted.args, wall_s=wanted.wall_s)
        made = await append(bus, call, wanted.agent, wanted.session)
        with _CtrlC(lambda: append(bus, InterruptAsked(made.id), wanted.agent, wanted.session)) as stop:
            demands, watch = Demands(), Watch(wanted.home, hands.SANDBOX, hands.process)
            demands.take(made)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + wanted.timeout_s if wanted.timeout_s else float("inf")
            while (left_s := deadline - loop.time()) > 0:
                item = await ear.hear(min(left_s, CHECK_S))
                if item is None:
                    if reason := await watch.look():
                        raise Unavailable(f"{reason}; {_kept(made)}")
                elif isinstance(item, Event) and made.id == item.data.get("intent"):
                    for change in demands.take(item):
                        show(change)
                    if isinstance(body := item.body, ToolResponse):
                        return Settled(made.id, body, stop.pressed)
    raise _too_late(wanted, made, waiting=bool(demands.open))


def _too_late(wanted: ByHand, made: Event, *, waiting: bool) -> Spent:
    if waiting:
        return Waiting(f"nobody has decided about the call within {wanted.timeout_s:g} s; {_kept(made)}")
    return Spent(f"no response within {wanted.timeout_s:g} s; {_kept(made)}")


def _kept(made: Event) -> str:
    return f"the call is kept ({made.id[: hands.LONG]}), see `animactl intents --agent {made.agent}`"


class _CtrlC:
    """The first Ctrl-C asks for the call's end, the second one ends the waiting."""

    def __init__(self, interrupt: Callable[[], Any]) -> None:
        self.pressed = False
        self._interrupt = interrupt
        self._asking: asyncio.Future[Any] | None = None

    def __enter__(self) -> Self:
        self._waiting = asyncio.current_task()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        if self._asking:
            self._asking.cancel()

    def _press(self) -> None:
        if self.pressed and self._waiting:
            self._waiting.cancel()
        elif not self.pressed:
            self.pressed = True
            self._asking = asyncio.ensure_future(self._interrupt())
