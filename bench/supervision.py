"""The root beside its floors and its peers: `python bench/supervision.py [--agents 100] [--rounds 3] [--idle 30]`.

Birth, a hundred births, death and return, idling, a clean stop; in a house whose root has Claude's SDK preloaded (the
usual case, and the heavier fork) and in one whose agents are all reflex. Peers keep `sleep 1000` alive, which needs no
interpreter to start; what they are asked for is what a supervisor itself adds.
"""

import argparse
import contextlib
import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from house import CLAUDE, PRELOADED, REFLEX, House, environ, idle, kill_and_wait_for_another, told, wait_until  # noqa: E402
from keepers import KEEPERS, command_of  # noqa: E402
from tables import NOT_INSTALLED, number, show, spread  # noqa: E402

KILLS, KILLS_OF_A_PEER, BIRTHS, FORKS, INTERPRETERS = 30, 10, 30, 200, 5
MODULES = {REFLEX: ["daemons.agent"], CLAUDE: ["daemons.agent", "anthropic", "anthropic.resources.messages"]}
MS = 1000.0
Row = list[str]


@dataclass
class Seen:
    """What was measured of one candidate; all in seconds, idling in % of a core and wake-ups per 10 s."""

    born: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    burst: list[float] = field(default_factory=list)
    forks: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    idle: list[tuple[float, float]] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)
    stop_whole: list[float] = field(default_factory=list)


# -- the house -------------------------------------------------------------------------------------------------------------


def see_house(model: str, agents: int, idle_s: float, seen: Seen) -> None:
    """One round: a house from its first process to its last."""
    with House(agents, model) as house:
        records = house.until(lambda _: True, 0)
        seen.cold.append(told(records, "ready", "agent:")[-1]["ts"] - house.told_at)
        time.sleep(2)  # the journal has written down what happened
        seen.idle.append(idle({house.pid}, idle_s))
        for name in house.agents[:BIRTHS]:
            house.do("stop", name, wait=True)
            head = house.head()
            time.sleep(0.2)  # the dead one's own work, and the journal's about it, is over
            house.do("start", name, wait=True)
            seen.born += [each["boot_s"] for each in told(house.until(lambda found: bool(told(found, "ready")), head), "ready")]
        pids = house.pids()
        for name in house.agents[:KILLS]:
            forked_s, ready_s = house.kill_and_watch(name, pids[name])
            seen.forks.append(forked_s)
            seen.ready.append(ready_s)
        for _ in range(3):
            time.sleep(1)
            begun = time.monotonic()
            house.do("stop", "all", wait=True)
            seen.stop.append(time.monotonic() - begun)
            time.sleep(1)
            head, told_at = house.head(), time.time()
            house.do("start", "all")
            records = house.until(lambda found: len(told(found, "ready")) == agents, head)
            seen.burst.append(records[-1]["ts"] - told_at)
        begun = time.monotonic()
        house.process.send_signal(signal.SIGTERM)
        house.process.wait(60)
        seen.stop_whole.append(time.monotonic() - begun)


# -- the floors ------------------------------------------------------------------------------------------------------------


def floor(model: str) -> None:
    """Printed by a process of its own: what a root with these imports could do if it did nothing but fork."""
    for name in ["daemons.supervisor", *MODULES[model]]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    read, write = os.pipe()

    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            os.write(write, b"!")
            signal.pause()
            os._exit(0)
        return pid

    born, forks, ready = [], [], []
    for _ in range(FORKS):
        begun = time.monotonic()
        pid = fork()
        os.read(read, 1)
        born.append(time.monotonic() - begun)
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pid = fork()
        forks.append(time.monotonic() - begun)
        os.read(read, 1)
        ready.append(time.monotonic() - begun)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps([born, forks, ready]))


def see_floor(model: str) -> Seen:
    done = subprocess.run([sys.executable, __file__, "--floor", model], env=environ(model), capture_output=True, check=True)
    born, forks, ready = json.loads(done.stdout)
    return Seen(born=born, forks=forks, ready=ready)


def interpreters(model: str, count: int) -> float:
    """Seconds until `count` fresh interpreters, started at once, have imported what an agent needs."""
    code = f"import {', '.join(MODULES[model])}; print(flush=True)"
    begun = time.monotonic()
    started = [subprocess.Popen([sys.executable, "-c", code], env=environ(model), stdout=subprocess.PIPE) for _ in range(count)]
    for each in started:
        assert each.stdout
        assert each.stdout.readline()
    took_s = time.monotonic() - begun
    for each in started:
        each.communicate()
    return took_s


# -- the peers -------------------------------------------------------------------------------------------------------------


def see_peer(start: Callable[..., contextlib.AbstractContextManager], count: int, idle_s: float) -> Seen:
    """One peer keeping `count` sleeping processes."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    try:
        begun = time.monotonic()
        with start(folder, count) as keeper:
            wait_until(lambda: len(keeper.family()) == count, "not all were started")
            seen = Seen(cold=[time.monotonic() - begun])
            time.sleep(2)  # runit and supervisord trust a child after a second
            seen.idle.append(idle(keeper.processes(), idle_s))
            for pid, parent in list(keeper.family().items())[:KILLS_OF_A_PEER]:
                seen.forks.append(kill_and_wait_for_another(parent, pid, lambda found: command_of(found) == "sleep"))
                time.sleep(0.2)
            wait_until(lambda: len(keeper.family()) == count, "not all came back")
            begun = time.monotonic()
            keeper.stop()
            seen.stop.append(time.monotonic() - begun)
        return seen
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- the tables ------------------------------------------------------------------------------------------------------------


def ms(values: list[float]) -> str:
    return f"{spread(values, MS)} ms, n={len(values)}" if values else ""


def seconds(values: list[float]) -> str:
    return f"{spread(values)} s" + (f", n={len(values)}" if len(values) > 1 else "") if values else ""


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f} at the end, the bench itself included"


def tables(houses: dict[str, Seen], floors: dict[str, Seen], peers: dict[str, Seen | None], agents: int) -> None:
    """Measure what is left (fresh interpreters) and print one table per claim."""

    def each(cell: Callable[[Seen], list[str]], what: str) -> Iterator[Row]:
        for model, seen in houses.items():
            yield [what.format(PRELOADED[model]), *cell(seen)]

    def others(cell: Callable[[Seen], list[str]], width: int) -> Iterator[Row]:
        for name, seen in peers.items():
            yield [f"{name}, {agents} x `sleep`", *(cell(seen) if seen else [NOT_INSTALLED] * width)]

    bare = {model: f"floor: bare fork of the same parent, {PRELOADED[model]}" for model in floors}
    born = [*each(lambda seen: [ms(seen.born)], "anima, {}")]
    born += [[bare[model], f"{ms(seen.born)} (to its first byte)"] for model, seen in floors.items()]
    for model in houses:
        alone = [interpreters(model, 1) for _ in range(INTERPRETERS)]
        born.append([f"fresh interpreter, `import {', '.join(MODULES[model])}`", ms(alone)])
    show("The root's fork to READY of one agent (aim: p50 <= 12 ms)", ["", "fork to READY"], born)

    many = [*each(lambda seen: [seconds(seen.burst), seconds(seen.cold)], "anima, {}")]
    for model in houses:
        ten_s = interpreters(model, 10)
        many.append(
            [f"fresh interpreters, {PRELOADED[model]} (10 at once, x {agents / 10:g})", seconds([ten_s * agents / 10]), ""]
        )
    many += others(lambda seen: ["", seconds(seen.cold)], 2)
    show(
        f"{agents} agents READY (aim: <= 1 s once the root is told)",
        ["", f"told to start all, to the {agents}th READY", "root executed, to the last child"],
        many,
    )

    back = [*each(lambda seen: [ms(seen.forks), ms(seen.ready)], "anima, {}")]
    back += [[bare[model], ms(seen.forks), f"{ms(seen.ready)} (first byte)"] for model, seen in floors.items()]
    back += others(lambda seen: [ms(seen.forks), ""], 2)
    show("kill -9 to the replacement (aim: p50 <= 8 ms forked, <= 20 ms READY)", ["", "forked", "READY"], back)

    def at_rest(seen: Seen) -> list[str]:
        return [f"{spread([cpu for cpu, _ in seen.idle])} %", number(max(woken for _, woken in seen.idle))]

    show(
        f"Idle with {agents} children, beats of anima's children served (aim: <= 0.1 % of a core)",
        ["", "processor", "wake-ups in 10 s"],
        [*each(at_rest, "the root of anima, {}"), *others(at_rest, 2)],
    )
    show(
        f"A clean stop of {agents} (aim: <= 0.6 s)",
        ["", "all children", "and the house itself"],
        [
            *each(lambda seen: [seconds(seen.stop), seconds(seen.stop_whole)], "anima, {}"),
            *others(lambda seen: ["", seconds(seen.stop)], 2),
        ],
    )
    print(load())


def main() -> None:
    """Measure houses and floors in turn, so that a slow minute of the machine hits both; then the peers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling per round")
    parser.add_argument("--floor", choices=list(MODULES), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.floor:
        floor(chosen.floor)
        return
    houses = {model: Seen() for model in MODULES}
    for _ in range(chosen.rounds):
        for model, seen in houses.items():
            see_house(model, chosen.agents, chosen.idle, seen)
    floors = {model: see_floor(model) for model in MODULES}
    peers: dict[str, Seen | None] = {}
    for name, program, start in KEEPERS:
        peers[name] = see_peer(start, chosen.agents, chosen.idle / 3) if shutil.which(program) else None
    tables(houses, floors, peers, chosen.agents)


if __name__ == "__main__":
    main()
