"""The house as a service: `python bench/service.py [--rounds 10] [--agents 100]`.

A real systemd on a machine of its own (tests/system/box.py; needs root) starts the installed wheel: from `systemctl start` to
READY, with journal, mneme, thymos, sandbox, purser and one agent; cold means that the machine's page cache was dropped before
(where that is allowed), warm that it was not. And `systemctl stop`, with one agent and with many, all idle. Beside them: what
systemd itself takes to start and to stop a unit that does nothing.
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

REPO = Path(__file__).parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(REPO)]

from tables import NOT_INSTALLED, number, show, spread  # noqa: E402

from tests.system.box import Box, Service, a_box, timed, why_not  # noqa: E402

AGENTS = "/home/person/.anima/agents"
NOTHING = """[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep infinity'
"""


def drop_caches() -> bool:
    """Forget every file that was read. False where this machine forbids it."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def starts_and_stops(service: Service, unit: str, rounds: int, *, cold: bool) -> tuple[list[float], list[float]]:
    """Seconds of so many starts to READY, and of as many stops."""
    starts, stops = [], []
    for _ in range(rounds):
        if cold:
            drop_caches()
        service.systemctl("reset-failed", unit, check=False)  # not the sort of starts that StartLimitBurst= counts
        starts.append(timed(lambda: service.systemctl("start", unit))[1])
        time.sleep(2)  # idle: vectors are made, caches written
        stops.append(timed(lambda: service.systemctl("stop", unit))[1])
    return starts, stops


def crowd(box: Box, count: int) -> None:
    """Make `count` agents out of the one there is."""
    copy = 'i=1; while [ $i -lt $1 ]; do cp -r "$2/arya" "$2/a$i"; i=$((i+1)); done'
    box.run("sh", "-c", copy, "sh", str(count), AGENTS, user="person")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--agents", type=int, default=100)
    chosen = parser.parse_args()
    if why := why_not():
        print(f"{NOT_INSTALLED}: {why}")
        return
    with contextlib.ExitStack() as stack:
        begun = time.monotonic()
        box = stack.enter_context(a_box())
        boot_s = time.monotonic() - begun
        service = Service(box, "person", "/home/person/.anima", "/run/user/4200/anima")
        box.write("/home/person/.config/systemd/user/nothing.service", NOTHING, user="person")
        done, install_s = timed(lambda: service.ctl("install", "--agent", "arya"))
        assert done.returncode == 0, done.stderr
        service.systemctl("stop", "anima")
        cold_allowed = drop_caches()
        floor = starts_and_stops(service, "nothing", chosen.rounds, cold=False)
        cold = starts_and_stops(service, "anima", chosen.rounds, cold=True) if cold_allowed else ([], [])
        warm = starts_and_stops(service, "anima", chosen.rounds, cold=False)
        crowd(box, chosen.agents)
        many = starts_and_stops(service, "anima", max(3, chosen.rounds // 2), cold=False)
    rows = [
        [name, *(f"{spread(values)} s, n={len(values)}" if values else NOT_INSTALLED for values in pair)]
        for name, pair in (
            ("systemd's own: a unit that does nothing", floor),
            ("one agent, cold", cold),
            ("one agent, warm", warm),
            (f"{chosen.agents} agents, warm", many),
        )
    ]
    show(
        f"Service start to READY (aim: <= 3 s cold), clean stop (aim: <= 1.5 s with {chosen.agents} idle agents)",
        ["", "start to READY", "stop to inactive"],
        rows,
    )
    print(
        f"The box booted, with anima built and installed, in {number(boot_s)} s; `animactl install` took {number(install_s)} s."
    )


if __name__ == "__main__":
    main()
