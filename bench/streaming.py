"""What the house adds to a streamed answer: `python bench/streaming.py [--deltas 400] [--agents 20] [--turns 200]`.

Claude is played by a server of this bench that stamps each delta with the time it is written. First one answer is watched
at a real terminal (`animactl chat` in a pty): from the write of a delta until its text is on the terminal. Beside it, in
the same run, a bare program that prints what the SDK gives it: the difference is the house's. Then many turns stream at
once over many agents, in rounds: every answer must be whole, and agents and journal must weigh what they did before.
"""

import argparse
import asyncio
import os
import pty
import re
import statistics
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import ioctl
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from house import CLAUDE, House, environ, memory_mb  # noqa: E402
from paced import Paced  # noqa: E402
from tables import number, show  # noqa: E402

from anima.bus.client import connect  # noqa: E402
from anima.wire.events import Event, UserMessage, event  # noqa: E402

MS = 1e3
NS = 1e9
WARM_UP = 20  # deltas: the first ones meet cold code
PARALLEL = 16  # turns of one agent
ROUND_S = 300
PROGRAM = ("-c", "from anima.cli.main import main; main()")
BARE = """
import asyncio, sys
from anthropic import AsyncAnthropic
async def go():
    client = AsyncAnthropic(api_key="k", base_url=sys.argv[1], max_retries=0)
    ask = dict(model="m", max_tokens=100, messages=[{"role": "user", "content": "go"}])
    async with await client.messages.create(stream=True, **ask) as events:
        async for each in events:
            if each.type == "content_block_delta":
                print(each.delta.text, end="", flush=True)
asyncio.run(go())
"""


class Screen:
    """A program at a terminal of its own, and when which stamp appeared there."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.delays: list[float] = []
        self.seen = ""
        self._rest = b""
        self._heard = asyncio.Event()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execve(sys.executable, [sys.executable, *arguments], environment)
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._fd)
            return
        now = time.monotonic_ns()
        self.seen = (self.seen + data.decode(errors="replace"))[-2000:]
        text = self._rest + data
        end = 0
        for found in re.finditer(rb"\d{19}", text):
            self.delays.append((now - int(found[0])) / NS)
            end = found.end()
        self._rest = text[end:][-40:]
        self._heard.set()

    async def until(self, text: str, timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while text not in self.seen:
                self._heard.clear()
                await self._heard.wait()

    async def until_shown(self, count: int, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while len(self.delays) < count:
                self._heard.clear()
                await self._heard.wait()

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def leave(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
        os.close(self._fd)


async def at_the_terminal(server: Paced, deltas: int) -> list[float]:
    """Seconds of each delta through the whole house."""
    with House(1, CLAUDE, settings=f'[models]\nanthropic_base_url = "{server.url}"\n') as house:
        screen = Screen([*PROGRAM, "--home", str(house.root), "chat", "a000"], {**environ(CLAUDE), "TERM": "xterm"})
        try:
            await screen.until("you> ")
            screen.type("go\r")
            await screen.until_shown(deltas, 30 + deltas * server.gap_s * 2)
        finally:
            screen.leave()
        return screen.delays[WARM_UP:]


async def bare(server: Paced, deltas: int) -> list[float]:
    """The same, printed by a program that has nothing but the SDK."""
    screen = Screen(["-c", BARE, server.url], environ(CLAUDE))
    try:
        await screen.until_shown(deltas, 30 + deltas * server.gap_s * 2)
    finally:
        screen.leave()
    return screen.delays[WARM_UP:]


class Crowd:
    """Many turns at once, each in a session of its own."""

    def __init__(self, house: House, turns: int) -> None:
        self.whole = self.broken = 0
        self._house = house
        self._turns = turns

    async def round(self, number: int, deltas: int) -> float:
        """One message to each session; seconds until all are answered."""
        names = [each.removeprefix("agent:") for each in self._house.agents]
        said = [
            event(UserMessage("go"), agent=names[turn % len(names)], session=f"r{number}s{turn // len(names)}", source="cli")
            for turn in range(self._turns)
        ]
        begun = time.monotonic()
        async with connect(self._house.home) as bus:
            await bus.append(*said)
            waiting = {each.id for each in said}
            async with asyncio.timeout(ROUND_S):
                async for seen in bus.follow(since=0):
                    if not isinstance(seen, Event) or seen.data.get("turn") not in waiting:
                        continue
                    if seen.kind == "agent_message":
                        right = len(re.findall(r"\d{19}", seen.data["text"])) == deltas
                        self.whole, self.broken = self.whole + right, self.broken + (not right)
                    elif seen.kind == "turn_ended":
                        self.broken += seen.data["outcome"] != "answered"
                        waiting.discard(seen.data["turn"])
                    if not waiting:
                        break
        return time.monotonic() - begun

    def weight(self) -> tuple[float, float]:
        """PSS in MB of all agents together, and of the journal."""
        pids = self._house.pids()
        agents = sum(memory_mb(pid)[0] for name, pid in pids.items() if name.startswith("agent:"))
        return agents, memory_mb(pids["journal"])[0]


async def crowd(server: Paced, agents: int, turns: int, rounds: int) -> list[list[str]]:
    rows = []
    with House(agents, CLAUDE, settings=f'[models]\nanthropic_base_url = "{server.url}"\n') as house:
        for name in house.agents:
            file = house.home.agent(name.removeprefix("agent:")) / "agent.toml"
            file.write_text(file.read_text() + f"sessions_parallel_max = {PARALLEL}\n")
        house.do("reload")
        await asyncio.sleep(3)
        everyone = Crowd(house, turns)
        for each in range(rounds + 1):
            server.most = 0
            took_s = await everyone.round(each, server.deltas)
            await asyncio.sleep(2)
            agents_mb, journal_mb = everyone.weight()
            rows.append(
                [
                    f"round {each}" + (" (makes the SDK's clients)" if each == 0 else ""),
                    f"{took_s:.1f} s",
                    str(server.most),
                    f"{everyone.whole} / {everyone.broken}",
                    f"{agents_mb:.0f}",
                    f"{journal_mb:.0f}",
                ]
            )
    return rows


@asynccontextmanager
async def playing(deltas: int, gap_s: float) -> AsyncIterator[Paced]:
    async with Paced(deltas, gap_s) as server:
        yield server


def quantiles(values: list[float]) -> list[str]:
    ordered = sorted(values)
    cuts = statistics.quantiles(ordered, n=100)
    return [number(cuts[49] * MS), number(cuts[98] * MS), number(ordered[-1] * MS), str(len(ordered))]


async def measure(options: argparse.Namespace) -> None:
    async with playing(options.deltas, 0.01) as server:
        first = await bare(server, options.deltas)
        ours = await at_the_terminal(server, options.deltas)
        floor = first + await bare(server, options.deltas)
    added = [number((one - other) * MS) for one, other in zip(_ends(ours), _ends(floor), strict=True)]
    show(
        "One streamed answer, a delta written by the provider until it is on the terminal (aim: added <= 1 / 5 ms)",
        ["", "p50 ms", "p99 ms", "longest", "n"],
        [
            ["animactl chat, through the house", *quantiles(ours)],
            ["a bare program with the SDK", *quantiles(floor)],
            ["added by the house", *added, "", ""],
        ],
    )
    async with playing(100, 0.1) as server:
        rows = await crowd(server, options.agents, options.turns, options.rounds)
    show(
        f"{options.turns} turns at once over {options.agents} agents, each {server.deltas} deltas, one in {server.gap_s:g} s",
        ["", "took", "streams at once", "answers whole / not", "agents MB", "journal MB"],
        rows,
    )


def _ends(values: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("deltas", 400), ("agents", 20), ("turns", 200), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asyncio.run(measure(parser.parse_args()))
    print(f"load average {os.getloadavg()[0]:.1f} at the end, the bench itself included")


if __name__ == "__main__":
    main()
