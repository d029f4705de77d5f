"""sandbox: the hands. Carries out every tool call of the journal in a jail, once, and tells what came of it.

Owns:  the jails and everything that runs in them; $ANIMA_HOME/state/output/ (whole outputs), made workspaces
Life:  start the process that makes jails, read the journal from where every call was settled, announce ready, carry calls
       on until told to stop; then ask what runs to end. What a death interrupts is taken up by the tool's effect.
Bus:   follows the whole journal; appends approvals and questions asked, starts and responses; serves sandbox (tools,
       intents, waiting, jobs, job_tail, jail).
Dies:  75 when the journal has lost what was seen. A journal that is away is waited for. Its jails never survive it.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, cast

from anima.bus.client import connect
from anima.clock import SYSTEM
from anima.errors import Unavailable
from anima.ids import new_id
from anima.limits import calls_agent_max, calls_running_max
from anima.log.redact import redactor
from anima.paths import Home
from anima.process.crash import crash_points
from anima.process.process import Process
from anima.sandbox.carry import Kit
from anima.sandbox.catalogue import Catalogue
from anima.sandbox.desk import Desk
from anima.sandbox.hands import Hands
from anima.sandbox.intents import Intents
from anima.sandbox.jail.bubblewrap import Builder
from anima.sandbox.jail.jails import Jails
from anima.sandbox.jail.spec import JailSpec, Order
from anima.sandbox.memory import Memory
from anima.sandbox.policies import Policies
from anima.sandbox.turnstile import Turnstile, Width
from anima.sandbox.work import answer
from anima.sandbox.workshop import Workshop
from anima.tools.registry import BUILT_IN, built_in
from anima.tools.run import wrong_with

#: What every jailed child finds imported already: the tools, and what they import when they reach the network.
PRELOAD = ("anima.tools.run", "anima.tools.shell.host", *dict.fromkeys(BUILT_IN.values()))


async def main(process: Process) -> None:
    """Live until told to stop."""
    reach = crash_points(process.home)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(process.home))
        builder = cast("Builder", process.settings.sandbox.builder)
        jails = await Jails.open(PRELOAD, parallel=calls_running_max, builder=builder)  # whose turn it is decides the turnstile
        stack.push_async_callback(jails.close)
        workshop = Workshop(process.home, jails)
        stack.push_async_callback(workshop.close)
        intents, memory, policies = Intents(), Memory(bus), Policies(process.home)
        cards = {name: tool.card() for name, tool in built_in().tools.items()}
        catalogue = Catalogue(cards, process.home.tools, partial(load_foreign, process.home, jails))
        hands = Hands(bus, memory, intents, process.status)
        kit = Kit(
            bus=bus,
            boot=new_id(),
            workshop=workshop,
            catalogue=catalogue,
            policies=policies,
            memory=memory,
            intents=intents,
            turnstile=Turnstile(Width(calls_running_max, calls_agent_max, max(2, os.cpu_count() or 1))),
            check=wrong_with,
            reach=reach,
            clock=SYSTEM,
            redact=redactor(process.settings.secrets),
            stored=hands.stored,
        )
        desk = Desk(bus, intents, catalogue, policies, workshop.hosts, partial(describe, jails), SYSTEM)
        await bus.serve(process.name, desk.verbs())

        await process.patiently(wake(hands, catalogue), "waiting for the journal")
        process.ready("idle")

        await hands.until(process.stop, kit)


async def wake(hands: Hands, catalogue: Catalogue) -> None:
    """What there is to do, and with what."""
    await asyncio.gather(hands.remember(), catalogue.refresh())


async def load_foreign(home: Home, jails: Jails) -> Mapping[str, Any]:
    """The tools of packages and of the house, as a jailed child without a network tells them. Raises Unavailable."""
    ground = home.outputs / "_house"
    ground.mkdir(mode=0o700, parents=True, exist_ok=True)
    extra = home.tools if home.tools.is_dir() else None
    context = {"workdir": str(ground), "extra": str(extra) if extra else None}
    spec = JailSpec(workspace=ground, read=(extra,) if extra else (), protected=(home.root, home.run))
    outcome = await jails.run(Order(f"catalogue-{new_id()}", "anima.tools.run:catalogue", (context,), spec))
    told = answer(outcome.value)
    if told is None:
        raise Unavailable(outcome.reason or "the jailed child that should list them gave no answer")
    return told.data


def describe(jails: Jails) -> dict[str, Any]:
    """What this machine gives a jail, for `animactl doctor`."""
    layers = [{"name": each.name, "there": each.there, "reason": each.reason} for each in jails.report()]
    return {"layers": layers, "builder": jails.builder}
