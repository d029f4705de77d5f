"""What a person's program does on the bus, for tests that need it without a terminal."""

import asyncio

from anima.bus.client import connect
from anima.ids import new_id
from anima.wire.events import InterruptAsked, UserMessage, event
from tests.system.conftest import House


def interrupt(house: House, agent: str, session: str = "main") -> None:
    """Ask for the end of the running turn."""

    async def ask() -> None:
        async with connect(house.home) as bus:
            await bus.append(event(InterruptAsked(), agent=agent, session=session, source="cli"), timeout_s=10)

    asyncio.run(ask())


async def say_steadily(house: House, agents: list[str], until: float, pause_s: float) -> int:
    """Append messages to all agents in turn until the loop's time is `until`; how many were acknowledged."""
    count = 0
    async with connect(house.home) as bus:
        while asyncio.get_running_loop().time() < until:
            for agent in agents:
                said = event(UserMessage(f"message {count}"), agent=agent, session=f"s{count % 3}", source="cli", id=new_id())
                await bus.append(said)
                count += 1
            await asyncio.sleep(pause_s)
    return count
