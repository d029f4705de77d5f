"""What each layer of the jail costs: `python bench/jail.py [--rounds 200]`.

A call is `Jails.run` of a function that starts /bin/true and waits for it, one after another, layers off one at a time, in
turns so that a slow minute of the machine touches all rows alike. Beside it: the same with nothing but a Python function;
bwrap, unshare and docker running `true` as they come; and a bare posix_spawn.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from tables import NOT_INSTALLED, show, spread  # noqa: E402

from anima.sandbox.jail.jails import Jails  # noqa: E402
from anima.sandbox.jail.spec import LAYERS, JailSpec, Order  # noqa: E402

MS = 1000
QUIET_WAIT_S = 1.0
TRUE = "/bin/true"
BWRAP = (
    "bwrap --unshare-all --die-with-parent --new-session --ro-bind /usr /usr --proc /proc --dev /dev --tmpfs /tmp "
    f"--symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 {TRUE}"
).split()
UNSHARE = f"unshare --mount --pid --net --ipc --uts --fork --kill-child {TRUE}".split()
DOCKER = ["docker", "run", "--rm", "--network=none", "busybox", "true"]
SPACES = frozenset({"namespaces", "network", "user"})
Run = Callable[[int], Awaitable[float]]
Row = tuple[str, Run]


def jailed(jails: Jails, workspace: Path, off: frozenset[str], target: str, *arguments: object) -> Run:
    spec = JailSpec(workspace=workspace, off=off)

    async def run(number: int) -> float:
        begun = time.perf_counter()
        outcome = await jails.run(Order(f"{id(spec)}-{number}", target, arguments, spec))
        took = time.perf_counter() - begun
        if outcome.how != "answered":
            sys.exit(f"{sorted(off) or 'all layers'}: {outcome.how}: {outcome.reason}")
        return took

    return run


def alone(words: list[str]) -> Run:
    async def run(_: int) -> float:
        begun = time.perf_counter()
        pid = os.posix_spawnp(words[0], words, os.environ)  # noqa: ASYNC221 - nothing else is to run meanwhile
        if os.waitpid(pid, 0)[1]:  # noqa: ASYNC222
            sys.exit(f"{' '.join(words)} failed")
        return time.perf_counter() - begun

    return run


def works(words: list[str]) -> bool:
    try:
        return shutil.which(words[0]) is not None and not subprocess.run(words, capture_output=True, check=False).returncode
    except OSError:
        return False


def line(name: str, found: list[float]) -> list[str]:
    ordered = sorted(found)
    return [name, spread(found, MS), f"{ordered[int(len(ordered) * 0.99)] * MS:.3g}"] if found else [name, NOT_INSTALLED, ""]


def wait_for_quiet() -> None:
    """Wait a little while others want the processor: what is measured is the jail, not the neighbours."""
    until = time.monotonic() + QUIET_WAIT_S
    alone = 0
    while alone < 3 and time.monotonic() < until:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
        alone = alone + 1 if running <= 1 else 0
        time.sleep(0.01)


async def measure(rows: list[Row], rounds: int) -> list[list[str]]:
    found: dict[str, list[float]] = {name: [] for name, _ in rows}
    for number in range(-3, rounds):
        for name, run in rows:
            wait_for_quiet()
            took = await run(number)
            if number >= 0:  # the first ones warm up
                found[name].append(took)
    return [line(name, each) for name, each in found.items()]


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="anima-bench-") as folder:
        jails = await Jails.open(("subprocess",))
        bubbled = await Jails.open(("subprocess",), builder="bubblewrap") if works(["bwrap", "--version"]) else None
        call = ("subprocess:call", [TRUE])
        workspace = Path(folder)
        rows: list[Row] = [
            ("jailed, a Python function", jailed(jails, workspace, frozenset(), "os:getpid")),
            ("jailed `true`, all layers", jailed(jails, workspace, frozenset(), *call)),
            *(
                (f"without {name}", jailed(jails, workspace, frozenset({name}), *call))
                for name in LAYERS
                if name != "namespaces"
            ),
            (
                "without namespaces, network, user",
                jailed(jails, workspace, frozenset({"namespaces", "network", "user"}), *call),
            ),
            ("without any", jailed(jails, workspace, frozenset(LAYERS), *call)),
        ]
        absent = []
        if bubbled:
            lost = frozenset({"user"}) if os.geteuid() == 0 else frozenset()
            rows.append(("built by bwrap, all its layers", jailed(bubbled, workspace, lost, *call)))
        for name, words in (("bwrap alone", BWRAP), ("unshare", UNSHARE), ("docker run", DOCKER), ("no jail", [TRUE])):
            if works(words):
                rows.append((name, alone(words)))
            else:
                absent.append(line(name, []))
        table = await measure(rows, rounds)
        await jails.close()
        if bubbled:
            await bubbled.close()
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    show(f"One jailed call, ms, {rounds} rounds (load average {load})", ("", "p50 [p10-p90]", "p99"), [*table, *absent])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    asyncio.run(main(parser.parse_args().rounds))
