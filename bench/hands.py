"""What hands cost and whom they disturb: `python bench/hands.py [--calls 200] [--asks 300] [--only true parallel noise]`.

true      one jailed `true`: from before its tool_call is appended until its tool_response is stored, published and seen; beside
          it this disk's fdatasync, bubblewrap, docker and no jail at all
parallel  100 pure calls of one step, each 50 ms of work, against what the cores could do; meanwhile a second agent's pure
          calls, one after another, against the same alone
noise     questions to one agent (reflex), quiet and while a tool of another loops, forks without end, fills 2 GB, writes 1 GB
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from house import REFLEX, House  # noqa: E402
from tables import show, spread  # noqa: E402
from turn import MS, Person, fdatasync, ms  # noqa: E402

from anima.bus.client import Client, connect  # noqa: E402
from anima.ids import new_id  # noqa: E402
from anima.wire.events import Event, InterruptAsked, ToolCall, event  # noqa: E402

A, B = "a000", "a001"
AIM_MS = 25.0  # and three fsyncs
WORK_MS = 50
PARALLEL = 100
WARM = 5
ROUNDS = 5  #: quiet and not, by turns
BURN = '''
import time

from anima.tools.tool import tool


@tool(risk="safe", effect="pure", wall_s=60, keywords=("burn",))
def burn(milliseconds: int) -> str:
    """Use the processor.

    Args:
        milliseconds: of processor time
    """
    end = time.process_time() + milliseconds / 1000
    while time.process_time() < end:
        pass
    return "burnt"
'''

#: What agent A's tool does meanwhile; each is begun again as long as the questions last.
NOISES = {
    "loops": "while :; do :; done",
    "forks without end": "f() { f | f & }; f; wait; sleep 1",
    "fills 2 GB": 'python3 -c "x = bytearray(1)\nwhile True: x += bytes(16 << 20)"',
    "writes 1 GB to stdout": "head -c 1G /dev/zero",
}


class Hands:
    """Appends tool calls of one agent and sees when their responses are stored."""

    def __init__(self, bus: Client, agent: str) -> None:
        self._bus = bus
        self.agent = agent
        self._ended: dict[str, asyncio.Future[Event]] = {}
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async for seen in self._bus.follow(agent=self.agent):
            if isinstance(seen, Event) and seen.kind == "tool_response" and (waiting := self._ended.get(seen.data["intent"])):
                waiting.set_result(seen)

    async def step(self, calls: list[tuple[str, dict[str, object]]], session: str = "hands") -> list[Event]:
        """The responses to all calls of one step."""
        turn = new_id()
        events = [
            event(
                ToolCall(turn if len(calls) > 1 else "", 1, f"call-{place}", tool, args, place, len(calls)),
                agent=self.agent,
                session=session,
                source="cli",
            )
            for place, (tool, args) in enumerate(calls)
        ]
        self._ended.update({each.id: asyncio.get_running_loop().create_future() for each in events})
        await self._bus.append(*events)
        return [await asyncio.wait_for(self._ended[each.id], 180) for each in events]

    async def call(self, tool: str, **args: object) -> float:
        """Seconds one call takes; it has to succeed."""
        begun = time.monotonic()
        (response,) = await self.step([(tool, args)])
        took_s = time.monotonic() - begun
        assert response.data["ok"], response.data
        return took_s

    async def interrupt(self, session: str) -> None:
        await self._bus.append(event(InterruptAsked(), agent=self.agent, session=session, source="cli"))

    async def leave(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)


@asynccontextmanager
async def hands(house: House, *agents: str) -> AsyncIterator[tuple[Hands, ...]]:
    async with connect(house.home) as bus:
        found = tuple(Hands(bus, agent) for agent in agents)
        await asyncio.sleep(0.5)  # the subscriptions have reached the journal
        try:
            yield found
        finally:
            for each in found:
                await each.leave()


def house_of_two() -> House:
    house = House(2, REFLEX)
    (house.root / "tools").mkdir()
    (house.root / "tools" / "burn.py").write_text(BURN)
    return house


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def tail(values: list[float]) -> str:
    return f"{ms(values)}, p99 {p99(values) * MS:.1f}"


# -- one call ------------------------------------------------------------------------------------------------------------


def outside(argv: list[str], count: int) -> list[float]:
    """Seconds a command takes, started from this process."""
    spans = []
    for _ in range(count):
        begun = time.monotonic()
        subprocess.run(argv, check=True, capture_output=True)
        spans.append(time.monotonic() - begun)
    return spans


def beside(count: int) -> list[list[str]]:
    bwrap = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent", "true"]
    rows = [["no jail: fork, exec, wait", tail(outside(["true"], count))]]
    if shutil.which("bwrap"):
        rows.append(["bwrap --unshare-all true", tail(outside(bwrap, count))])
    else:
        rows.append(["bwrap --unshare-all true", "not installed"])
    docker = ["docker", "run", "--rm", "--network", "none", "busybox", "true"]
    there = shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    rows.append(["docker run true", tail(outside(docker, 10)) if there else "not there"])
    return rows


async def one_call(count: int) -> dict[str, list[float]]:
    with house_of_two() as house:
        async with hands(house, A) as (mine,):
            spans: dict[str, list[float]] = {"exec": [], "now": []}
            for _ in range(WARM):
                await mine.call("exec", argv=["true"])
            for _ in range(count):
                spans["exec"].append(await mine.call("exec", argv=["true"]))
                spans["now"].append(await mine.call("now"))
    return spans


def measure_true(count: int) -> None:
    disk = fdatasync(200)
    spans = asyncio.run(one_call(count))
    disk += fdatasync(200)
    aim = AIM_MS + 3 * sorted(disk)[len(disk) // 2] * MS
    show(
        f"One jailed call, submitted to response stored (aim: p50 <= {AIM_MS:.0f} ms + 3 fsyncs = {aim:.1f} ms)",
        ["", "time"],
        [
            ["exec `true`, all layers", tail(spans["exec"])],
            ["now (no program of its own)", tail(spans["now"])],
            *beside(count),
            ["floor: fdatasync of 4 KiB on this disk", ms(disk)],
        ],
    )


# -- many calls of one agent ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def meanwhile(mine: Hands, calls: list[tuple[str, dict[str, object]]]) -> AsyncIterator[list[float]]:
    """Let an agent make these calls again and again, as one step each; the seconds each step took that came to its end."""
    took: list[float] = []

    async def again() -> None:
        while True:
            begun = time.monotonic()
            responses = await mine.step(calls, "noise")
            if all(each.data["outcome"] != "interrupted" for each in responses):
                took.append(time.monotonic() - begun)

    making = asyncio.create_task(again())
    await asyncio.sleep(0.5)
    try:
        yield took
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        await mine.interrupt("noise")
        await asyncio.sleep(0.5)


async def parallel(count: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of each flood, and of B's calls alone and during floods, by turns: others may be at work on the machine."""
    work = [("burn", {"milliseconds": WORK_MS})] * PARALLEL
    floods: list[float] = []
    alone: list[float] = []
    beside_flood: list[float] = []
    with house_of_two() as house:
        async with hands(house, A, B) as (mine, other):
            for _ in range(WARM):
                await other.call("now")
            begun = time.monotonic()
            await mine.step(work)
            floods.append(time.monotonic() - begun)
            for _ in range(ROUNDS):
                alone += [await other.call("now") for _ in range(count // ROUNDS)]
                async with meanwhile(mine, work):
                    beside_flood += [await other.call("now") for _ in range(count // ROUNDS)]
    return floods, alone, beside_flood


def measure_parallel(count: int) -> None:
    floods, alone, beside_flood = asyncio.run(parallel(count))
    ideal_s = PARALLEL * WORK_MS / MS / (os.cpu_count() or 1)
    show(
        f"{PARALLEL} pure calls of one agent at once, {WORK_MS} ms of work each (aim: bounded by cores; B's p99 < 2 x alone)",
        ["", "time"],
        [
            ["what the cores need for the work alone", f"{ideal_s:.2f} s"],
            [f"all {PARALLEL} responses stored", f"{spread(floods)} s, n={len(floods)}"],
            ["a second agent's pure call (now), alone", tail(alone)],
            ["the same meanwhile", tail(beside_flood)],
            ["ratio of the p99", f"{p99(beside_flood) / p99(alone):.2f}"],
        ],
    )


# -- a noisy neighbour ----------------------------------------------------------------------------------------------------


async def questions(person: Person, count: int, when: str) -> list[float]:
    """Seconds from said to answer seen, `count` times; no conversation grows long, which would cost time of its own."""
    spans = []
    for number in range(count):
        begun, _, stored = await person.say(f"this is number {number}", f"{when.replace(' ', '-')}-{number // 10}")
        spans.append(stored - begun)
        await asyncio.sleep(0.02)
    return spans


async def noise(count: int) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of B's answers, by noise: quiet and during it, by turns."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in NOISES}
    with house_of_two() as house:
        async with hands(house, A) as (mine,), connect(house.home) as bus:
            person = Person(bus, B)
            await asyncio.sleep(0.5)
            await questions(person, 30, "warm")
            for number in range(ROUNDS):
                for name, command in NOISES.items():
                    quiet, loud = found[name]
                    quiet += await questions(person, count // ROUNDS, f"quiet-{name}-{number}")
                    async with meanwhile(mine, [("exec", {"command": command})]):
                        loud += await questions(person, count // ROUNDS, f"loud-{name}-{number}")
            await person.leave()
    return found


def measure_noise(count: int) -> None:
    found = asyncio.run(noise(count))
    all_quiet = [each for quiet, _ in found.values() for each in quiet]
    show(
        "A question to agent B, said to answer seen, while a tool of agent A... (aim: p99 < 2 x quiet)",
        ["agent A's tool", "B quiet", "B meanwhile", "p99 against quiet", "against all quiet"],
        [
            [name, tail(quiet), tail(loud), f"{p99(loud) / p99(quiet):.2f}", f"{p99(loud) / p99(all_quiet):.2f}"]
            for name, (quiet, loud) in found.items()
        ],
    )


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--only", nargs="+", choices=("true", "parallel", "noise"), default=("true", "parallel", "noise"))
    wanted = parser.parse_args()
    for name, measure, count in (
        ("true", measure_true, wanted.calls),
        ("parallel", measure_parallel, wanted.calls),
        ("noise", measure_noise, wanted.asks),
    ):
        if name in wanted.only:
            measure(count)
    print(f"load average {os.getloadavg()[0]:.1f} at the end, the bench itself included")


if __name__ == "__main__":
    main()
