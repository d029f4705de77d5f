"""How long nobody answers while a house moves to other code: `python bench/upgrade.py [--rounds 9]`.

Under load: one client asks the control socket without a pause, three people talk to three agents, each says the next thing
when the last is answered. A gap is the longest time between two answers in a row. `the exec` is from the end of the preflight
to the root's first words in the new code; `the whole upgrade` lasts until everybody has begun anew. `before` is the longest gap
of 3 s without an upgrade, in the same house: what the load itself does. On a machine that others use: `nice -n -15`.
"""

import argparse
import asyncio
import itertools
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from house import PRELOADED, REFLEX, House  # noqa: E402
from tables import show, spread  # noqa: E402
from turn import Person  # noqa: E402

from anima.bus.client import connect  # noqa: E402
from anima.supervisor import control  # noqa: E402

MS = 1000.0


def gap(moments: list[float], begun: float, ended: float) -> float:
    """The longest time between two of `moments`, if it touches the span from `begun` to `ended`."""
    pairs = itertools.pairwise(moments)
    return max((after - before for before, after in pairs if after > begun and before < ended), default=0.0)


class Load:
    """Moments (monotonic) of every answer of the control socket and of every agent."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._over = threading.Event()
        self.control: list[float] = []
        self.agents: dict[str, list[float]] = {name: [] for name in house.agents}
        self._threads = [threading.Thread(target=self._ask), threading.Thread(target=lambda: asyncio.run(self._talk()))]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            assert control.ask(self._house.home, {"do": "who", "pid": 1}, 30)["ok"]
            self.control.append(time.monotonic())
            time.sleep(0.001)

    async def _talk(self) -> None:
        async with connect(self._house.home) as bus:
            await asyncio.gather(*(self._converse(Person(bus, name.removeprefix("agent:")), name) for name in self.agents))

    async def _converse(self, person: Person, name: str) -> None:
        count = 0
        while not self._over.is_set():
            await person.say(f"message {count}", f"s{count % 3}")
            self.agents[name].append(time.monotonic())
            count += 1
        await person.leave()

    def gaps(self, begun: float, ended: float) -> tuple[float, float]:
        """Of the control socket, and the longest of all agents."""
        return gap(self.control, begun, ended), max(gap(moments, begun, ended) for moments in self.agents.values())


def upgrade(house: House) -> tuple[float, float, float]:
    """Moments: the preflight has ended, the new code has said its first words, all is over."""
    begun = control.ask(house.home, {"do": "upgrade"}, 120)
    left = time.monotonic()
    assert begun["ok"], begun
    landed = ended = 0.0
    for record in control.watch(house.home, begun["since"]):
        if record["what"] == "upgrade":
            ended = time.monotonic()
            landed = landed or ended
            if record["over"]:
                assert record["over"] == "done", record
                break
    return left, landed, ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    told = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"before": [], "the exec": [], "the whole upgrade": []}
    lasted = []
    with House(3, REFLEX) as house:
        load = Load(house)
        for _ in range(told.rounds):
            calm = time.monotonic()
            time.sleep(3)
            found["before"].append(load.gaps(calm, time.monotonic()))
            left, landed, ended = upgrade(house)
            time.sleep(0.5)
            found["the exec"].append(load.gaps(left, landed))
            found["the whole upgrade"].append(load.gaps(left, ended))
            lasted.append(ended - left)
        load.end()
        count = sum(map(len, load.agents.values()))
    rows = [
        [name, f"{spread([c for c, _ in gaps], MS)} ms", f"{spread([a for _, a in gaps], MS)} ms"]
        for name, gaps in found.items()
    ]
    title = (
        f"longest gap in answers, {PRELOADED[REFLEX]}, {told.rounds} upgrades of {spread(lasted)} s, {count} messages answered"
    )
    show(title, ["", "control socket", "an agent, message to answer"], rows)


if __name__ == "__main__":
    main()
