"""A sandbox on an in-process bus, with jails that are played: what takes place is counted, a life can end at any instant."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anima.bus.loopback import Loopback
from anima.clock import SYSTEM
from anima.config.schema import Agent, Policy
from anima.errors import ConfigError
from anima.ids import new_id
from anima.log.redact import redactor
from anima.paths import Home
from anima.sandbox.carry import Kit
from anima.sandbox.catalogue import Catalogue
from anima.sandbox.desk import Desk
from anima.sandbox.hands import Hands
from anima.sandbox.intents import Intents
from anima.sandbox.jail.spec import Order, Outcome
from anima.sandbox.memory import Memory
from anima.sandbox.policies import Policies, Rules
from anima.sandbox.turnstile import Turnstile, Width
from anima.sandbox.workshop import Workshop
from anima.wire.cards import Card
from anima.wire.events import Body, Event, ToolCall, ToolResponse, event

EFFECTS = ("pure", "idempotent", "checkable", "unsafe")
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
RISK = {"pure": "safe", "idempotent": "risky", "checkable": "risky", "unsafe": "dangerous"}


def card(name: str, effect: str = "pure", **more: Any) -> Card:
    more = {"risk": RISK[effect], "wall_s": 60.0, "output_bytes": 1_000, **more}
    return Card(name, "It does.", SCHEMA, effect, prepares=effect == "checkable", **more)


CARDS = {
    **{name: card(name, name) for name in EFFECTS},
    "fetch": card("fetch", network=True),
    "ask_person": card("ask_person", "idempotent", place="runtime", risk="safe"),
    "sleep_until": card("sleep_until", "idempotent", place="runtime", risk="safe"),
    "notes": card("notes"),
}

Play = Callable[["Jails", Order], Awaitable[Outcome]]


@dataclass
class World:
    """What lasts beyond any life of the sandbox: the journal, and what took place."""

    home: Home
    bus: Loopback = field(default_factory=Loopback)
    effects: Counter[str] = field(default_factory=Counter)  #: by call: how often it took place
    keys: set[tuple[str, str]] = field(default_factory=set)  #: (call, key handed on)
    running: int = 0
    running_max: int = 0
    order: list[str] = field(default_factory=list)  #: "begin ID" and "end ID", as it went
    policies: dict[str, Policy] = field(default_factory=dict)
    plays: dict[str, Play] = field(default_factory=dict)  #: by tool, in place of what is usual
    extra: dict[str, Any] = field(default_factory=dict)  #: what a jailed child tells of foreign tools

    async def calls(self, tool: str, agent: str = "arya", session: str = "main", **more: Any) -> str:
        """A call by hand; its id."""
        return await self.says(ToolCall("", 0, "c", tool, more.pop("args", {}), **more), agent, session)

    async def step(self, *tools: str, agent: str = "arya", turn: str = "") -> list[str]:
        """The calls of one step, stored together; their ids."""
        turn = turn or new_id()
        told = [
            event(
                ToolCall(turn, 1, f"c{place}", tool, {}, place, len(tools)),
                agent=agent,
                session="main",
                source=f"agent:{agent}",
            )
            for place, tool in enumerate(tools)
        ]
        await self.bus.append(*told)
        return [each.id for each in told]

    async def says(self, body: Body, agent: str = "arya", session: str = "main") -> str:
        said = event(body, agent=agent, session=session, source="cli")
        await self.bus.append(said)
        return said.id

    def of(self, kind: str, intent: str = "") -> list[Event]:
        return [each for each in self.bus.events if each.kind == kind and intent in ("", each.data.get("intent"))]

    def outcome(self, intent: str) -> str:
        """What its one response says; "" without one."""
        found = [each.body for each in self.of("tool_response", intent)]
        assert len(found) <= 1, "a call has one response"
        return found[0].outcome if found and isinstance(found[0], ToolResponse) else ""

    async def response(self, intent: str) -> ToolResponse:
        async with asyncio.timeout(10):
            while not (found := self.of("tool_response", intent)):
                await asyncio.sleep(0.001)
        body = found[0].body
        assert isinstance(body, ToolResponse)
        return body

    async def until(self, kind: str, intent: str = "", count: int = 1) -> list[Event]:
        async with asyncio.timeout(10):
            while len(found := self.of(kind, intent)) < count:
                await asyncio.sleep(0.001)
        return found


class Jails:
    """One life of the jails. A dead one does nothing any more."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.orders: list[Order] = []
        self._interrupts: dict[str, asyncio.Event] = {}

    async def run(self, order: Order) -> Outcome:
        self.orders.append(order)
        function = order.target.rpartition(":")[2]
        if function == "catalogue":
            return answered(True, "", self.world.extra)
        return await getattr(self, f"_{function}")(order, order.arguments[0], order.arguments[2]["call"])

    def interrupt(self, id: str, grace_s: float = 2.0) -> bool:
        waiting = self._interrupts.get(id)
        if waiting:
            waiting.set()
        return waiting is not None

    async def converse(self, order: Order) -> Any:
        raise AssertionError(f"nobody asked for a host: {order}")

    async def interrupted(self, order: Order) -> None:
        """Wait until the order is interrupted."""
        await self._interrupts.setdefault(order.id, asyncio.Event()).wait()

    async def _run(self, order: Order, tool: str, call: str) -> Outcome:
        world = self.world
        world.running += 1
        world.running_max = max(world.running, world.running_max)
        world.order.append(f"begin {call}")
        try:
            await breathe()
            if play := world.plays.get(tool):
                return await play(self, order)
            self.acts(call)
            await breathe()
            return answered(True, f"{tool} is done")
        finally:
            world.running -= 1
            world.order.append(f"end {call}")

    def acts(self, call: str) -> None:
        """The effect itself."""
        if not self.dead:
            self.world.effects[call] += 1

    async def _prepare(self, _order: Order, _tool: str, call: str) -> Outcome:
        await breathe()
        return answered(True, "", {"before": self.world.effects[call]})

    async def _probe(self, order: Order, _tool: str, call: str) -> Outcome:
        await breathe()
        before = order.arguments[3].get("before")
        verdict = "unknown" if before is None else "done" if self.world.effects[call] > before else "undone"
        return answered(True, "", {"verdict": verdict})

    async def _plan(self, order: Order, tool: str, _call: str) -> Outcome:
        data = dict(order.arguments[1])
        return answered(tool == "sleep_until" or "question" in data, "there is no question", data)


def answered(ok: bool, text: str, data: dict[str, Any] | None = None) -> Outcome:
    return Outcome("answered", {"ok": ok, "text": text, "data": data or {}})


async def breathe(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


class Told(Policies):
    """Policies as the test says; an agent that is not named may do everything."""

    def __init__(self, world: World) -> None:
        super().__init__(world.home, {})
        self._world = world

    def of(self, agent: str) -> Rules:
        policy = self._world.policies.get(agent, Policy())
        if policy.workspace == "wrong":
            raise ConfigError("agent.toml:3: it is wrong")
        return Rules(agent, Agent(policy=policy), self._world.home.workspace(agent))


class Life:
    """One life of the sandbox, from its birth to a stop or to a death without a word."""

    def __init__(self, world: World, *, reach: Callable[[str, str], None] = lambda _point, _agent: None) -> None:
        self.world = world
        self.jails = Jails(world)
        self.stop = asyncio.Event()
        self._others = asyncio.all_tasks()
        bus, intents = world.bus, Intents()
        self.intents = intents
        memory = Memory(bus)
        self.hands = Hands(bus, memory, intents, lambda _: None)
        self.workshop = Workshop(world.home, self.jails)
        self.catalogue = Catalogue(CARDS, world.home.tools, self._foreign)
        self.kit = Kit(
            bus=bus,
            boot=new_id(),
            workshop=self.workshop,
            catalogue=self.catalogue,
            policies=Told(world),
            memory=memory,
            intents=intents,
            turnstile=Turnstile(Width(16, 8, 2)),
            check=lambda found, args: f"wrong arguments for {found.name}: it expects {{}}" if "wrong" in args else "",
            reach=reach,
            clock=SYSTEM,
            redact=redactor(["sk-of-the-house"]),
            stored=self.hands.stored,
        )
        jail = {"layers": [], "builder": "played"}
        self.desk = Desk(bus, intents, self.catalogue, self.kit.policies, self.workshop.hosts, lambda: jail, SYSTEM)
        self.task = asyncio.create_task(self._live())

    async def _foreign(self) -> dict[str, Any]:
        return self.world.extra

    async def _live(self) -> None:
        await self.hands.remember()
        await self.hands.until(self.stop, self.kit)

    async def ask(self, verb: str, **arguments: Any) -> Any:
        return await self.desk.verbs()[verb](arguments)

    async def ends(self) -> None:
        """A stop as the root asks for it."""
        self.stop.set()
        async with asyncio.timeout(10):
            await self.task

    async def dies(self) -> None:
        """Of kill -9: whatever it does from now on reaches nobody."""
        self.jails.dead = True
        self.hands._stopped = True
        nowhere = Loopback()
        object.__setattr__(self.kit, "bus", nowhere)
        self.hands._bus = nowhere
        own = asyncio.all_tasks() - self._others - {asyncio.current_task()}
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)


def a_world(folder: Path) -> World:
    return World(Home(folder, folder / "run"))
