"""Limits of a jail: each is reached, ends what it must end, says so, and leaves the owner and the machine alone."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from conftest import eventually
from jail_ground import Yard, marked, yard

from anima.limits import MIB
from anima.sandbox.jail.spec import Limits, Outcome

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("limits")) as opened:
        yield opened


def jailed() -> list[psutil.Process]:
    """Everything below this process that is not gone, without the victim of the ground."""
    below = psutil.Process().children(recursive=True)
    return [each for each in below if each.is_running() and each.status() != psutil.STATUS_ZOMBIE and each.name() != "sleep"]


def alone() -> bool:
    """Whether nobody is below this process but the zygote and the one it keeps ready."""
    return len(jailed()) <= 2


def private(process: psutil.Process) -> int:
    """Bytes that nobody shares with it."""
    try:
        return int(process.memory_full_info().uss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """The most processes below this one, and the most memory of this one above its beginning, within the block."""
    me = psutil.Process()
    begun, before = me.memory_info().rss, len(jailed())
    most = {"processes": 0, "memory": 0, "jails": 0}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            most["memory"] = max(most["memory"], me.memory_info().rss - begun)
            try:
                below = me.children(recursive=True)
                most["processes"] = max(most["processes"], len(below) - before)
                most["jails"] = max(most["jails"], sum(private(each) for each in below))
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def test_a_fork_bomb_stays_within_its_number_and_leaves_nobody(ours: Yard) -> None:
    with watched() as most:
        outcome = ours.run("fork_bomb", 1.0, limits=Limits(processes=32, wall_s=10))
    assert outcome.how in ("answered", "limit"), outcome.reason
    if outcome.how == "answered":
        assert 0 < outcome.value <= 32
    else:
        assert outcome.limit == "processes"
    assert most["processes"] <= 40
    eventually(alone, "children of the bomb are left", 5)


def test_a_fork_bomb_of_one_jail_takes_nothing_from_another(ours: Yard) -> None:
    async def both() -> tuple[object, object]:
        bomb = asyncio.create_task(ours.jails.run(ours.order("fork_bomb", 1.5, limits=Limits(processes=32, wall_s=10))))
        await asyncio.sleep(0.7)
        calm = await ours.jails.run(ours.order("program", "/bin/true", limits=Limits(processes=32)))
        return await bomb, calm

    _, calm = ours.runner.run(both())
    assert calm.how == "answered", calm.reason
    assert calm.value == [0]


def test_memory_is_bounded_for_one_process(ours: Yard) -> None:
    outcome = ours.run("take_memory", 2048 * MIB, limits=Limits(memory_bytes=192 * MIB, wall_s=30))
    assert outcome.how in ("limit", "exited"), outcome
    assert outcome.limit == "memory" or b"MemoryError" in outcome.stderr or "memory" in outcome.reason.lower(), outcome


def test_memory_is_bounded_for_all_processes_together(ours: Yard) -> None:
    """None of them is over the limit alone. Where the kernel ends one after another, the rest goes on within the limit."""
    with watched() as most:
        outcome = ours.run("take_memory_in_many", 8, 64 * MIB, 2.0, limits=Limits(memory_bytes=192 * MIB, wall_s=20))
    assert outcome.limit == "memory", outcome
    assert most["jails"] < 288 * MIB


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_files_kept_in_memory_count_or_are_bounded(ours: Yard, folder: str) -> None:
    limits = Limits(memory_bytes=192 * MIB, wall_s=20)
    outcome = ours.run("fill", folder, 1024 * MIB, limits=limits)
    assert outcome.how != "answered", f"{outcome.value} bytes were written to {folder}"


@pytest.mark.parametrize("fill", ["fill_memory_file", "fill_shared_segments"])
def test_files_without_a_name_count_too(ours: Yard, fill: str) -> None:
    outcome = ours.run(fill, 1024 * MIB, limits=Limits(memory_bytes=192 * MIB, wall_s=20))
    assert outcome.how != "answered", f"{outcome.value} bytes were written"


def test_a_file_ends_at_its_limit(ours: Yard) -> None:
    path = ours.at.work / "big"
    outcome = ours.run("big_file", str(path), 96 * MIB, limits=Limits(file_bytes=64 * MIB))
    assert path.stat().st_size == 64 * MIB
    assert outcome.value == -27 or outcome.limit == "file", outcome  # EFBIG
    path.unlink()


def test_descriptors_end_at_their_limit(ours: Yard) -> None:
    assert ours.answer("descriptors", 400, limits=Limits(files=64)) < 64


def test_a_gigabyte_of_output_is_counted_and_its_ends_are_kept(ours: Yard) -> None:
    pieces = []
    with watched() as most:
        order = ours.order("flood", 1024 * MIB, limits=Limits(output_bytes=MIB, wall_s=60))
        outcome = ours.runner.run(ours.jails.run(order, lambda name, piece: pieces.append((name, len(piece)))))
    assert outcome.how in ("answered", "limit"), outcome.reason
    assert outcome.stdout_bytes >= 1024 * MIB
    assert len(outcome.stdout) <= MIB + 1000
    assert outcome.stdout.startswith(b"the first line\n")
    assert outcome.stdout.endswith(b"the last line\n")
    assert most["memory"] < 64 * MIB
    assert {name for name, _ in pieces} == {"stdout"}


def test_a_flood_of_one_jail_does_not_hold_up_another(ours: Yard) -> None:
    async def both() -> float:
        flood = asyncio.create_task(ours.jails.run(ours.order("flood", 4096 * MIB, limits=Limits(wall_s=60))))
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        calm = await ours.jails.run(ours.order("say", "calm"))
        took = time.monotonic() - begun
        assert calm.value == "calm"
        assert not flood.done(), "the flood was over before anybody could be held up"
        flood.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flood
        return took

    assert ours.runner.run(both()) < 3.0


def test_the_processor_is_bounded(ours: Yard) -> None:
    outcome = ours.run("spin", limits=Limits(cpu_s=1, wall_s=30))
    assert (outcome.how, outcome.limit) == ("limit", "cpu"), outcome
    assert outcome.duration_s < 20


def test_the_processor_is_bounded_for_all_processes_together(ours: Yard) -> None:
    outcome = ours.run("spin_in_many", 3, 1.0, limits=Limits(cpu_s=1, wall_s=20))
    assert (outcome.how, outcome.limit) == ("limit", "cpu"), outcome


def test_who_ignores_term_is_killed_at_the_wall_and_its_output_is_kept(ours: Yard) -> None:
    outcome = ours.run("sleep_deaf", 60.0, limits=Limits(wall_s=1.0))
    assert (outcome.how, outcome.limit) == ("limit", "wall"), outcome
    assert outcome.stdout == b"before the limit\n"
    assert 1.0 <= outcome.duration_s < 10
    assert "1" in outcome.reason
    eventually(alone, "the sleeper is left", 5)


def test_a_daemon_left_behind_ends_with_the_call(ours: Yard) -> None:
    mark = f"daemon-{os.getpid()}"
    begun = time.monotonic()
    outcome = ours.run("leave_a_daemon", mark, limits=Limits(wall_s=30))
    assert outcome.how == "answered", outcome.reason
    assert time.monotonic() - begun < 10, "an open pipe in the daemon's hands held the call"
    eventually(lambda: not marked(mark), "the daemon is left", 5)


def test_an_interrupted_call_keeps_its_output_and_leaves_nobody(ours: Yard) -> None:
    mark = f"interrupted-{os.getpid()}"

    async def interrupted() -> object:
        order = ours.order("stay", mark)
        heard = asyncio.Event()
        run = asyncio.create_task(ours.jails.run(order, lambda *_: heard.set()))
        await heard.wait()
        assert ours.jails.interrupt(order.id, 0.2)
        return await run

    outcome = ours.runner.run(interrupted())
    assert outcome.how == "interrupted", outcome
    assert outcome.stdout == b"here\n"
    eventually(lambda: not marked(mark), "its daemon is left", 5)


def test_a_cancelled_call_leaves_nobody(ours: Yard) -> None:
    mark = f"cancelled-{os.getpid()}"

    async def cancelled() -> None:
        heard = asyncio.Event()
        run = asyncio.create_task(ours.jails.run(ours.order("stay", mark), lambda *_: heard.set()))
        await heard.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    ours.runner.run(cancelled())
    eventually(lambda: not marked(mark), "something is left", 5)


def test_a_hundred_at_once_all_answer(ours: Yard) -> None:
    async def all_of_them() -> list[Outcome]:
        return await asyncio.gather(*(ours.jails.run(ours.order("say", number)) for number in range(100)))

    outcomes = ours.runner.run(all_of_them())
    assert [each.reason for each in outcomes if each.how != "answered"] == []
    assert [each.value for each in outcomes] == list(range(100))


def test_nothing_grows_with_the_number_of_calls(ours: Yard) -> None:
    ours.answer("say", 0)
    before = psutil.Process().num_fds()
    for number in range(20):
        ours.answer("say", number)
    assert psutil.Process().num_fds() == before
    eventually(alone, "processes of calls are left", 5)
