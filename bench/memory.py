"""Memory of idle agents: `python bench/memory.py [--agents 100]`.

PSS divides a shared page among those who share it; USS is what would be free again if the process ended. With Claude's
SDK preloaded and without, newborn and after each agent has answered once (which makes the SDK's client); and after a full
collection of garbage in each agent, in a house whose root froze what it shares and in one whose root did not.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from claude import Claude  # noqa: E402
from house import ANIMAD, ANIMAD_COLLECTED, ANIMAD_UNFROZEN, CLAUDE, PRELOADED, REFLEX, House, environ, memory_mb  # noqa: E402
from tables import number, show, spread  # noqa: E402

from anima.bus.client import connect  # noqa: E402
from anima.wire.events import Event, UserMessage, event  # noqa: E402

SETTLE_S = 3.0
IMPORTS = "import daemons.agent, anthropic, anthropic.resources.messages"
INTERPRETERS = 3
Sizes = list[tuple[float, float]]


@dataclass
class Weighed:
    """MB as (PSS, USS) of each agent, newborn and after its first answer, and PSS of the whole tree."""

    newborn: Sizes
    answered: Sizes
    tree: float


async def weigh(model: str, agents: int, animad: tuple[str, ...]) -> Weighed:
    async with Claude() as claude:
        settings = f'[models]\nanthropic_base_url = "{claude.url}"\n'
        with House(agents, model, animad, settings) as house:
            await asyncio.sleep(SETTLE_S)
            pids = house.pids()
            newborn = [memory_mb(pids[name]) for name in house.agents]
            tree = sum(memory_mb(pid)[0] for pid in [house.pid, *pids.values()])
            await ask_all(house)
            await asyncio.sleep(SETTLE_S)
            return Weighed(newborn, [memory_mb(pids[name]) for name in house.agents], tree)


async def ask_all(house: House) -> None:
    """One question to every agent, and all the answers."""
    async with connect(house.home) as bus:
        waiting = {name.removeprefix("agent:") for name in house.agents}
        messages = [event(UserMessage("hello"), agent=name, session="main", source="cli") for name in sorted(waiting)]
        await bus.append(*messages)
        async with asyncio.timeout(120):
            async for seen in bus.follow(since=0):
                if isinstance(seen, Event) and seen.kind == "turn_ended":
                    assert seen.data["outcome"] == "answered", seen.data
                    waiting.discard(seen.agent)
                if not waiting:
                    return


def spawned() -> Sizes:
    """Fresh interpreters with the same imports, that wait."""
    code = f"{IMPORTS}; print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environ(CLAUDE), **pipes) for _ in range(INTERPRETERS)]
    for each in started:
        assert each.stdout
        each.stdout.readline()
    time.sleep(0.2)
    sizes = [memory_mb(each.pid) for each in started]
    for each in started:
        each.communicate(b"\n")
    return sizes


def row(name: str, sizes: Sizes, tree: str = "") -> list[str]:
    return [name, spread([pss for pss, _ in sizes]), spread([uss for _, uss in sizes]), tree]


def main() -> None:
    """Weigh four houses and some interpreters; print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=100)
    agents = parser.parse_args().agents
    rows = []
    houses = (
        (CLAUDE, ANIMAD, ""),
        (REFLEX, ANIMAD, ""),
        (CLAUDE, ANIMAD_COLLECTED, ", garbage collected"),
        (CLAUDE, ANIMAD_UNFROZEN, ", garbage collected, root not frozen"),
    )
    for model, animad, variant in houses:
        weighed = asyncio.run(weigh(model, agents, animad))
        name = f"agent, {PRELOADED[model]}"
        rows.append(row(f"{name}, newborn{variant}", weighed.newborn, number(weighed.tree)))
        if not variant:
            rows.append(row(f"{name}, after its first answer", weighed.answered))
    rows.append(row(f"fresh interpreter, `{IMPORTS}`", spawned()))
    show(
        f"Memory of one idle agent of {agents} (aim: PSS <= 9 MB)",
        ["", "PSS MB", "USS MB", "PSS MB of the whole tree"],
        rows,
    )
    print(f"load average {os.getloadavg()[0]:.1f} at the end, the bench itself included")


if __name__ == "__main__":
    main()
