"""What the house adds to one model call: `python bench/turn.py [--turns 60]`.

Claude is played by a server of this bench that answers at once. Before the call: from the acknowledgement of a person's
message until the whole request is at the server. After it: from the last byte of the answer until answer and end of the
turn are stored and published. Beside it, in the same run: this disk's fdatasync, and the SDK asked by a bare program.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from claude import Claude  # noqa: E402
from house import CLAUDE, REFLEX, House  # noqa: E402
from tables import show, spread  # noqa: E402

from anima.bus.client import Client, connect  # noqa: E402
from anima.wire.events import Event, UserMessage, event  # noqa: E402

MS = 1000.0
SESSIONS = 6  # so that each conversation has a history, but no endless one
SYNC_BYTES = 4096
Spans = dict[str, list[float]]


def ms(values: list[float]) -> str:
    return f"{spread(values, MS)} ms, n={len(values)}"


class Person:
    """Says something to an agent and sees, on the bus, when the answer is there."""

    def __init__(self, bus: Client, agent: str) -> None:
        self._bus = bus
        self._agent = agent
        self._ended: dict[str, asyncio.Future[float]] = {}
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async for seen in self._bus.follow(agent=self._agent):
            if isinstance(seen, Event) and seen.kind == "turn_ended":
                assert seen.data["outcome"] == "answered", seen.data
                self._ended[seen.data["turn"]].set_result(time.monotonic())

    async def say(self, text: str, session: str) -> tuple[float, float, float]:
        """Moments: said, acknowledged, answer and end stored and seen."""
        said = event(UserMessage(text), agent=self._agent, session=session, source="cli")
        self._ended[said.id] = asyncio.get_running_loop().create_future()
        begun = time.monotonic()
        await self._bus.append(said)
        acknowledged = time.monotonic()
        return begun, acknowledged, await asyncio.wait_for(self._ended[said.id], 30)

    async def leave(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)


async def talk(house: House, turns: int) -> list[tuple[float, float, float]]:
    """`turns` messages to the one agent, each said after the answer to the one before."""
    agent = house.agents[0].removeprefix("agent:")
    async with connect(house.home) as bus:
        person = Person(bus, agent)
        await asyncio.sleep(0.5)  # the subscription has reached the journal
        moments = []
        for number in range(turns):
            moments.append(await person.say(f"this is number {number}", f"s{number % SESSIONS}"))
            await asyncio.sleep(0.02)
        await person.leave()
    return moments


async def with_claude(turns: int) -> Spans:
    """A house whose agent asks the stand-in; the first turn, in which the client is made, is told apart."""
    async with Claude() as claude:
        settings = f'[models]\nanthropic_base_url = "{claude.url}"\n'
        with House(1, CLAUDE, settings=settings) as house:
            moments = await talk(house, turns + 1)
        await asyncio.sleep(0)
    before = [asked - ack for (_, ack, _), asked in zip(moments, claude.asked_at, strict=True)]
    after = [stored - answered for (_, _, stored), answered in zip(moments, claude.answered_at, strict=True)]
    return {
        "accepted": [ack - said for said, ack, _ in moments[1:]],
        "before": before[1:],
        "after": after[1:],
        "added": [one + other for one, other in zip(before[1:], after[1:], strict=True)],
        "first": [before[0] + after[0]],
    }


async def with_reflex(turns: int) -> list[float]:
    with House(1, REFLEX) as house:
        return [stored - said for said, _, stored in await talk(house, turns)]


async def sdk_alone(turns: int) -> list[float]:
    """The same two stretches in a program that has nothing but the SDK: call to request, last byte to end of stream."""
    import anthropic

    added = []
    async with Claude() as claude, anthropic.AsyncAnthropic(api_key="sk-ant-x", base_url=claude.url, max_retries=0) as client:
        for _ in range(turns + 1):
            begun = time.monotonic()
            stream = await client.messages.create(
                model="claude-bench", max_tokens=100, stream=True, messages=[{"role": "user", "content": "this is number 1"}]
            )
            async with stream as events:
                async for _event in events:
                    pass
            added.append(claude.asked_at[-1] - begun + time.monotonic() - claude.answered_at[-1])
            await asyncio.sleep(0.02)
    return added[1:]


def fdatasync(count: int) -> list[float]:
    """Seconds each of 4 KiB appended and made durable, where the house keeps its journal in this bench."""
    spans = []
    with tempfile.TemporaryFile(dir="/tmp", buffering=0) as file:
        for _ in range(count):
            begun = time.monotonic()
            file.write(b"x" * SYNC_BYTES)
            os.fdatasync(file.fileno())
            spans.append(time.monotonic() - begun)
    return spans


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=60)
    turns = parser.parse_args().turns
    disk = fdatasync(200)
    claude = asyncio.run(with_claude(turns))
    sdk = asyncio.run(sdk_alone(turns))
    reflex = asyncio.run(with_reflex(turns))
    disk += fdatasync(200)
    show(
        "What the house adds to one model call (aim: <= 2 fsyncs + 10 ms)",
        ["", "time"],
        [
            ["a person's message said to acknowledged (stored)", ms(claude["accepted"])],
            ["acknowledged to the whole request at the server", ms(claude["before"])],
            ["last byte of the answer to answer stored, published and seen", ms(claude["after"])],
            ["added in all (the two above)", ms(claude["added"])],
            ["of these the SDK's own: the same two stretches, SDK alone", ms(sdk)],
            ["added to the first call of an agent's life, which makes the SDK's client", ms(claude["first"])],
            ["floor: fdatasync of 4 KiB on this disk", ms(disk)],
            ["question said to answer seen, reflex", ms(reflex)],
        ],
    )
    print(f"load average {os.getloadavg()[0]:.1f} at the end, the bench itself included")


if __name__ == "__main__":
    main()
