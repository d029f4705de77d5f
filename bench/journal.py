"""The journal beside its floors and its peers, all in one run: `python bench/journal.py [--events 1000000] [--rounds 5]`.

Every round measures each candidate once, one after the other, so that a slow minute of the machine hits all of them.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

REPO = Path(__file__).parent.parent
sys.path[:0] = [str(REPO), str(Path(__file__).parent)]

import zmq  # noqa: E402
from peers import Nats, Redis, nats, redis  # noqa: E402
from tables import NOT_INSTALLED, show, spread  # noqa: E402

from anima.bus.client import Client, connect  # noqa: E402
from anima.ids import new_id  # noqa: E402
from anima.journal.admission import admit  # noqa: E402
from anima.journal.ledger import Ledger  # noqa: E402
from anima.paths import Home  # noqa: E402
from anima.supervisor.boot import Boot  # noqa: E402
from anima.wire.events import UserMessage, event  # noqa: E402
from anima.wire.frames import Query  # noqa: E402

JOURNAL = (
    "import os, sys; from anima.process.run import run; from anima.supervisor.boot import Boot\n"
    "from daemons.journal import main\n"
    "os._exit(run(main, Boot.from_json(sys.argv[1])))"
)
PRODUCERS, IN_FLIGHT = 8, 100
BLOB = 300
fork = multiprocessing.get_context("fork")

Measures = dict[str, list[float]]


def message(agent: str = "arya"):
    return event(UserMessage("x" * 182), agent=agent, source="cli", session="main")


@contextlib.contextmanager
def journal(root: Path) -> Iterator[Home]:
    """A journal process on a home below `root`, without a supervisor; gone at the end."""
    home = Home(root, root / "run")
    for each in (home.state, home.log, home.run):
        each.mkdir(parents=True, exist_ok=True)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    out, into = os.pipe()
    boot = Boot("journal", "journal", str(home.root), str(home.run), 1, theirs.fileno(), out, 5.0, "")
    command = [sys.executable, "-c", JOURNAL, boot.to_json()]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(), out), stdout=into, stderr=into, cwd=REPO)
    for each in (out, into):
        os.close(each)
    theirs.close()
    ours.settimeout(60)
    while b"READY=1" not in (said := ours.recv(65_536)):
        assert said, f"the journal did not start; see {home.log}"
    try:
        yield home
    finally:
        process.terminate()
        process.wait()
        ours.close()


def timed(action: Callable[[], object], count: int) -> list[float]:
    """Seconds of each of `count` calls."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return taken


async def timed_async(action, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        await action()
        taken.append(time.perf_counter() - began)
    return taken


def p50(taken: list[float]) -> float:
    return statistics.median(taken)


def together(count: int, work: Callable[[int, Callable[[], object]], None]) -> float:
    """Seconds from the common start of `count` processes, each doing `work(number, start)`, to the end of the last."""
    barrier, ends = fork.Barrier(count), fork.Queue()

    def one(number: int) -> None:
        begun = []

        def start() -> None:
            barrier.wait()
            begun.append(time.monotonic())

        work(number, start)
        ends.put((begun[0], time.monotonic()))
        ends.close()
        ends.join_thread()
        os._exit(0)

    processes = [fork.Process(target=one, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    times = [ends.get() for _ in processes]
    for process in processes:
        process.join()
    return max(end for _, end in times) - min(begin for begin, _ in times)


# -- floors ------------------------------------------------------------------------------------------------------------------


def bare_fdatasync(folder: Path) -> float:
    """p50 of overwriting 4 KiB of a file and waiting for the disk."""
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, bytes(1 << 20), 0)
    os.fsync(fd)
    places = iter(range(1 << 30))

    def once() -> None:
        os.pwrite(fd, b"x" * 4096, next(places) % 256 * 4096)
        os.fdatasync(fd)

    taken = timed(once, 300)
    os.close(fd)
    return p50(taken)


@contextlib.contextmanager
def raw_sqlite(folder: Path) -> Iterator[sqlite3.Connection]:
    """The journal's own schema, without anything of ours around it."""
    path = folder / f"raw{time.monotonic_ns()}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    for script in sorted((REPO / "anima" / "journal" / "schema").glob("*.sql")):
        connection.executescript(script.read_text())
    yield connection
    connection.close()


INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def raw_rows(first: int, count: int) -> list[tuple]:
    return [(first + n, new_id(), 1.0, "user_message", f"a{n % 8}", "main", bytes(BLOB), bytes(16)) for n in range(count)]


def raw_single(folder: Path) -> float:
    with raw_sqlite(folder) as connection:
        rows = iter(raw_rows(1, 600))
        return p50(timed(lambda: connection.execute(INSERT, next(rows)), 600))


def raw_groups(folder: Path) -> float:
    """Rows a second in transactions of 400, the size a group commit has under load."""
    count = 40_000
    with raw_sqlite(folder) as connection:
        rows = raw_rows(1, count)
        began = time.perf_counter()
        for start in range(0, count, 400):
            connection.execute("BEGIN")
            connection.executemany(INSERT, rows[start : start + 400])
            connection.execute("COMMIT")
        return count / (time.perf_counter() - began)


# -- ours --------------------------------------------------------------------------------------------------------------------


def append_single(home: Home) -> float:
    async def go() -> float:
        async with connect(home) as bus:
            await timed_async(lambda: bus.append(message()), 50)
            return p50(await timed_async(lambda: bus.append(message()), 600))

    return asyncio.run(go())


def append_saturated(home: Home, each: int = 6_000) -> float:
    def work(number: int, start) -> None:
        async def go() -> None:
            async with connect(home) as bus:
                await bus.append(message())
                events = iter([message(f"a{number}") for _ in range(each)])
                start()
                await asyncio.gather(*[_append_all(bus, events) for _ in range(IN_FLIGHT)])

        asyncio.run(go())

    return PRODUCERS * each / together(PRODUCERS, work)


async def _append_all(bus: Client, events) -> None:
    for each in events:
        await bus.append(each)


def append_to_subscriber(home: Home, count: int = 400) -> float:
    """p50 from the call of append in one process to the event in the hands of a follower in another."""
    told = fork.Queue()
    ready = fork.Event()

    def follow() -> None:
        async def go() -> None:
            async with connect(home) as bus:
                await bus.subscribed()
                since = (await bus.ask("journal", "head"))["head"]
                ready.set()
                seen: dict[str, float] = {}
                async for each in bus.follow(agent="heard", since=since):
                    seen[each.id] = time.monotonic()
                    if len(seen) == count:
                        break
                told.put(seen)

        asyncio.run(go())
        told.close()
        told.join_thread()
        os._exit(0)

    follower = fork.Process(target=follow)
    follower.start()
    ready.wait(20)

    async def append() -> dict[str, float]:
        sent = {}
        async with connect(home) as bus:
            for _ in range(count):
                each = message("heard")
                sent[each.id] = time.monotonic()
                await bus.append(each)
        return sent

    sent = asyncio.run(append())
    seen = told.get(timeout=30)
    follower.join()
    return p50([seen[name] - at for name, at in sent.items()])


def through_proxy(folder: Path, count: int = 400) -> float:
    """p50 of 300 bytes through a bare XSUB/XPUB proxy in a process of its own, to a subscriber in another. Not durable."""
    front, back = f"ipc://{folder}/front", f"ipc://{folder}/back"

    def relay() -> None:
        context = zmq.Context()
        sub, pub = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
        sub.bind(front)
        pub.bind(back)
        zmq.proxy(sub, pub)

    def listen(ready, told) -> None:
        socket_ = zmq.Context().socket(zmq.SUB)
        socket_.connect(back)
        socket_.setsockopt(zmq.SUBSCRIBE, b"")
        taken = []
        while len(taken) < count:
            (_, sent_at) = socket_.recv_multipart()
            if sent_at == b"hello":
                ready.set()
            else:
                taken.append(time.monotonic() - float(sent_at))
        told.put(taken)

    ready, told = fork.Event(), fork.Queue()
    proxy = fork.Process(target=relay, daemon=True)
    listener = fork.Process(target=listen, args=(ready, told), daemon=True)
    proxy.start()
    listener.start()
    context = zmq.Context()
    publisher = context.socket(zmq.PUB)
    publisher.connect(front)
    while not ready.is_set():
        publisher.send_multipart([b"x" * BLOB, b"hello"])
        time.sleep(0.01)
    for _ in range(count):
        publisher.send_multipart([b"x" * BLOB, repr(time.monotonic()).encode()])
        time.sleep(0.0005)
    taken = told.get(timeout=30)
    proxy.terminate()
    for process in (proxy, listener):
        process.join()
    context.destroy(0)
    return p50(taken)


def fill(root: Path, count: int) -> Home:
    """A journal of `count` events, 100 sessions of 10 agents interleaved, written by the ledger itself."""
    home = Home(root, root / "run")
    home.state.mkdir(parents=True)
    ledger = Ledger.open(home.journal)
    chance = random.Random(1)
    for start in range(0, count, 4_000):
        blobs = [
            event(
                UserMessage("x" * 182), agent=f"a{chance.randrange(10)}", source="cli", session=f"s{chance.randrange(10)}"
            ).encode()
            for _ in range(min(4_000, count - start))
        ]
        ledger.append([admit(blobs)])
        ledger.tidy()
    ledger.close()
    return home


NEWEST = """
    SELECT seq, ts, blob, chain FROM events INDEXED BY events_by_session
    WHERE agent = ? AND session = ? ORDER BY seq DESC LIMIT 200
"""


def raw_reads(home: Home) -> tuple[float, float]:
    """p50 of the newest 200 of one session, and rows a second of a scan, by sqlite3 alone."""
    with contextlib.closing(sqlite3.connect(home.journal)) as connection:
        chance = random.Random(2)
        pairs = iter([(f"a{chance.randrange(10)}", f"s{chance.randrange(10)}") for _ in range(200)])
        newest = p50(timed(lambda: connection.execute(NEWEST, next(pairs)).fetchall(), 200))
        began = time.perf_counter()
        count = sum(1 for _ in connection.execute("SELECT seq, ts, blob, chain FROM events"))
        return newest, count / (time.perf_counter() - began)


def our_reads(home: Home, replay_max: int) -> tuple[float, float]:
    async def go() -> tuple[float, float]:
        async with connect(home) as bus:
            chance = random.Random(2)

            async def newest() -> None:
                pair = {"agent": f"a{chance.randrange(10)}", "session": f"s{chance.randrange(10)}"}
                page = await bus.read(Query(**pair, newest=True, limit=200))
                assert len(page.events) == 200

            await timed_async(newest, 20)
            taken = p50(await timed_async(newest, 200))
            began, count = time.perf_counter(), 0
            async for _ in bus.follow(since=0):
                count += 1
                if count == replay_max:
                    break
            return taken, count / (time.perf_counter() - began)

    return asyncio.run(go())


# -- the run -----------------------------------------------------------------------------------------------------------------


def measure_writes(folder: Path, rounds: int) -> Measures:
    found: Measures = {}
    with journal(folder / "house") as home, redis(folder) as path, nats(folder) as port:
        for _ in range(rounds):
            once = {
                "fdatasync": bare_fdatasync(folder),
                "sqlite single": raw_single(folder),
                "anima single": append_single(home),
                "sqlite groups": raw_groups(folder),
                "anima saturated": append_saturated(home),
                "anima told": append_to_subscriber(home),
                "proxy": through_proxy(folder),
            }
            for name, peer, address in (("redis", Redis, path), ("nats", Nats, port)):
                if address:
                    once |= measure_peer(name, peer, address)
            for name, value in once.items():
                found.setdefault(name, []).append(value)
    return found


def measure_peer(name: str, peer, address, each: int = 6_000) -> dict[str, float]:
    one = peer(address)

    def work(_number: int, start) -> None:
        mine = peer(address)
        start()
        for _ in range(0, each, IN_FLIGHT):
            mine.add(bytes(BLOB), IN_FLIGHT)

    return {
        f"{name} single": p50(timed(lambda: one.add(bytes(BLOB)), 600)),
        f"{name} saturated": PRODUCERS * each / together(PRODUCERS, work),
    }


def measure_reads(folder: Path, rounds: int, events: int) -> Measures:
    home = fill(folder / "large", events)
    found: Measures = {"raw newest": [], "raw replay": [], "anima newest": [], "anima replay": []}
    for _ in range(rounds):
        raw = raw_reads(home)
        with journal(home.root):
            ours = our_reads(home, min(events, 300_000))
        for name, value in zip(found, (*raw, *ours), strict=True):
            found[name].append(value)
    return found


def rows_of(found: Measures, events: int) -> list[list[str]]:
    """The table's rows: what, reach, ours, and beside it."""

    def beside(scale: float, **peers: str) -> str:
        told = {
            name.replace("_", " "): spread(found[key], scale) if key in found else NOT_INSTALLED for name, key in peers.items()
        }
        return "; ".join(f"{name} {value}" for name, value in told.items())

    ms, per_s = 1e3, 1.0
    single = beside(
        ms, fdatasync="fdatasync", SQLite_alone="sqlite single", Redis_always="redis single", JetStream_unsynced="nats single"
    )
    many = beside(per_s, SQLite_alone="sqlite groups", Redis_always="redis saturated", JetStream_unsynced="nats saturated")
    saturated = f"durable appends, {PRODUCERS} producers x {IN_FLIGHT} in flight, {BLOB} B, events/s"
    newest = f"newest 200 events of one session among {events:,}, p50, ms"
    return [
        ["durable append, one producer waits for each ack, p50, ms", "≤ 0.5", spread(found["anima single"], ms), single],
        [saturated, "≥ 35,000", spread(found["anima saturated"], per_s), many],
        [
            "append to a follower in another process, p50, ms",
            "≤ 0.9",
            spread(found["anima told"], ms),
            beside(ms, bare_proxy="proxy"),
        ],
        [newest, "≤ 1", spread(found["anima newest"], ms), beside(ms, SQLite_alone="raw newest")],
        [
            "replay by a follower, events/s",
            "≥ 150,000",
            spread(found["anima replay"], per_s),
            beside(per_s, raw_rows="raw replay"),
        ],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="anima-bench-"))
    try:
        found = measure_writes(folder, asked.rounds) | measure_reads(folder, asked.rounds, asked.events)
    finally:
        shutil.rmtree(folder)
    title = f"Journal: median [lowest-highest tenth] of {asked.rounds} rounds, all candidates in each round"
    print("Redis: Streams, appendfsync always. JetStream: on disk, but it does not fsync each message. Both over raw sockets.")
    show(title, ("what", "reach", "anima", "beside it, same run"), rows_of(found, asked.events))


if __name__ == "__main__":
    main()
