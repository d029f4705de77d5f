"""Asking and serving over real sockets: wrong users, garbage, servers that come and go, contexts that crossed a fork."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from anima.bus.client import Client, connect
from anima.bus.port import context, open_socket
from anima.bus.zap import judge
from anima.errors import Refused, Unavailable
from anima.paths import Home
from anima.wire import frames
from anima.wire.events import UserMessage, event

pytestmark = pytest.mark.system


@pytest.fixture
def home(tmp_path: Path) -> Home:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    return Home(tmp_path, run)


async def echo(arguments: dict[str, Any]) -> Any:
    if "refuse" in arguments:
        raise Refused("not that")
    if "bug" in arguments:
        raise ZeroDivisionError
    return arguments


@pytest.fixture
async def bus(home: Home) -> AsyncIterator[Client]:
    async with connect(home) as client:
        yield client


async def test_a_question_is_answered_refused_or_met_by_a_bug_and_the_server_lives_on(home: Home, bus: Client) -> None:
    await bus.serve("mneme", {"echo": echo})
    assert await bus.ask("mneme", "echo", word="hé") == {"word": "hé"}
    with pytest.raises(Refused, match="not that"):
        await bus.ask("mneme", "echo", refuse=True)
    with pytest.raises(Unavailable, match="bug"):
        await bus.ask("mneme", "echo", bug=True)
    with pytest.raises(Refused, match="no question 'sing'"):
        await bus.ask("mneme", "sing")
    assert await bus.ask("mneme", "echo", still="here") == {"still": "here"}


async def test_a_question_to_nobody_is_unavailable_in_time_and_one_to_a_late_server_is_answered(
    home: Home, bus: Client
) -> None:
    with pytest.raises(Unavailable, match="mneme did not answer"):
        await bus.ask("mneme", "echo", 0.2)
    asked = asyncio.create_task(bus.ask("mneme", "echo", 10.0, patient=True))
    await asyncio.sleep(0.3)
    async with connect(home) as late:
        await late.serve("mneme", {"echo": echo})
        assert await asked == {"patient": True}


async def test_garbage_at_a_server_is_dropped_and_others_are_served(home: Home, bus: Client) -> None:
    await bus.serve("mneme", {"echo": echo})
    rude = open_socket(zmq.DEALER)
    rude.connect(home.endpoint("mneme"))
    for garbage in (
        [b""],
        [b"ask"],
        [b"ask", b"1", b"\xc1"],
        [b"x"] * 50,
        [b"ask", b"12345678", frames.pack("no list")],
        [os.urandom(100_000)],
    ):
        rude.send_multipart(garbage)
    assert await bus.ask("mneme", "echo", fine=True) == {"fine": True}
    rude.close()


async def test_a_frame_larger_than_the_limit_disconnects_its_sender_only(home: Home, bus: Client) -> None:
    await bus.serve("mneme", {"echo": echo})
    rude = open_socket(zmq.DEALER)
    rude.connect(home.endpoint("mneme"))
    rude.send(b"x" * (3 * 1024 * 1024))
    assert await bus.ask("mneme", "echo", fine=True) == {"fine": True}
    rude.close()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
async def test_another_user_may_not_exchange_a_message(home: Home, bus: Client) -> None:
    for folder in (home.run, *home.run.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    await bus.serve("mneme", {"echo": echo})
    home.socket("mneme").chmod(0o777)
    script = (
        "import os, zmq; os.setuid(65534); c = zmq.Context(); s = c.socket(zmq.DEALER); s.linger = 0;"
        f"s.connect({home.endpoint('mneme')!r}); s.send_multipart([b'ask', b'12345678', {frames.pack(['echo', {}])!r}]);"
        "print('answered' if s.poll(1000) else 'silence')"
    )
    stranger = await asyncio.create_subprocess_exec(
        "/usr/bin/env",
        "python3",
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_site())},
    )
    said, _ = await stranger.communicate()
    assert said.decode().strip() == "silence"
    assert await bus.ask("mneme", "echo", we="may") == {"we": "may"}


def _site() -> list[str]:
    return [str(Path(zmq.__file__).parent.parent)]


@pytest.mark.parametrize(
    "address", [b"", b"127.0.0.1", b"localhost:1:2", b"localhost:x:0:5", b"localhost:65534:0:5", b"localhost:0:0:-1"]
)
def test_an_address_that_is_not_one_of_our_own_is_denied(address: bytes) -> None:
    assert judge([b"1.0", b"1", b"anima", address, b"", b"NULL"], {0, 1000})[2] == b"400"


def test_a_process_gets_a_context_of_its_own_after_a_fork() -> None:
    parent = context()
    child = os.fork()
    if child == 0:
        os._exit(0 if context() is not parent else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert context() is parent


def test_a_process_whose_peer_is_gone_leaves_within_two_seconds(home: Home) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(10)

        async def talk_to_nobody() -> None:
            async with connect(home) as bus:
                for _ in range(100):
                    bus._link("journal").tell([b"x" * 1000])

        asyncio.run(talk_to_nobody())
        context().term()
        os._exit(0)
    begun = time.monotonic()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert time.monotonic() - begun < 2.5


async def test_whoever_waits_for_the_journal_when_the_bus_is_closed_waits_no_longer_and_nothing_is_opened_anew(
    home: Home,
) -> None:
    said = [event(UserMessage("hi"), agent="arya", source="cli") for _ in range(100)]
    async with connect(home) as client:
        waiting = [asyncio.create_task(client.append(*said)) for _ in range(15)]
        await asyncio.sleep(0.05)
    done, _ = await asyncio.wait(waiting, timeout=2)
    assert len(done) == len(waiting)
    with pytest.raises(Unavailable, match="closed"):
        await client.append(*said)
    assert not client._links
