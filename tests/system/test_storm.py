"""A storm: random kill -9 over every process but the root, while agents answer a steady stream."""

import asyncio
import os
import random
import signal

import psutil
import pytest

from tests.system.conftest import House, eventually
from tests.system.person import say_steadily

pytestmark = pytest.mark.system
AGENTS = ["arya", "bran", "cersei", "davos", "edd"]


async def storm(house: House, seconds: float, chance: random.Random) -> tuple[int, int]:
    """(messages acknowledged, processes killed)."""
    loop = asyncio.get_running_loop()
    talking = asyncio.create_task(say_steadily(house, AGENTS, loop.time() + seconds, pause_s=0.2))
    kills = 0
    while not talking.done():
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        living = [each for each in house.processes().values() if each["pid"]]
        if living:
            os.kill(chance.choice(living)["pid"], signal.SIGKILL)
            kills += 1
    return await talking, kills


@pytest.mark.timeout(200)
@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_nothing_is_lost_and_nothing_doubled_in_a_storm(house: House, seconds: float) -> None:
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"the storm's seed is {seed}; STORM_SEED={seed} repeats it")
    house.settings = (
        "[supervisor]\nbeat_s = 1.0\nrestart_burst = 1000\nrestart_attempts_max = 100000\n"
        "restart_delay_s = 0.1\nrestart_delay_max_s = 0.5\n"
    )
    for name in AGENTS:
        house.agent(name, {"text": "one two three", "delay_s": 0.01})
    house.start()
    assert house.supervisor
    root = psutil.Process(house.supervisor.pid)
    before = house.held()

    accepted, kills = asyncio.run(storm(house, seconds, random.Random(seed)))

    for name in ("journal", *(f"agent:{name}" for name in AGENTS)):
        house.until_up(name, timeout_s=60)
    ledger = house.until_answered(accepted, timeout_s=60)
    print(f"{kills} kills, {ledger}")
    assert (ledger["lost"], ledger["doubled"], ledger["waiting"]) == (0, 0, 0)
    assert ledger["accepted"] == accepted
    assert kills >= seconds
    eventually(lambda: not any(child.status() == psutil.STATUS_ZOMBIE for child in root.children()), "zombies remain")
    eventually(lambda: house.held() == before, f"the root held {before} before and holds {house.held()} now", timeout_s=10)
