"""The skeleton of a child, in a real process without a root: what it prints, how it ends, what it says."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from anima.errors import ConfigError, Exit, Unavailable
from anima.paths import Home
from anima.process.process import Process
from anima.process.run import run
from anima.supervisor.boot import Boot
from tests.system.conftest import eventually

pytestmark = pytest.mark.system
Main = Callable[[Process], Awaitable[None]]


class Child:
    """A forked child running `main`, and this test in the place of the root."""

    def __init__(self, root: Path, main: Main, beat_s: float = 0.05) -> None:
        self.home = Home(root, root / "run")
        for folder in (self.home.run, self.home.log):
            folder.mkdir(exist_ok=True)
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output_r, output_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self.socket.close()
            os.dup2(output_w, 1)
            os.dup2(output_w, 2)
            sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
            boot = Boot("agent:arya", "agent", str(root), str(self.home.run), 1, theirs.detach(), output_r, beat_s, "")
            os._exit(run(main, boot))
        for fd in (theirs.detach(), output_r, output_w):
            os.close(fd)
        self.socket.settimeout(10)

    def words(self, wanted: str) -> str:
        """The first datagram that contains `wanted`."""
        while True:
            datagram = self.socket.recv(4096).decode()
            assert datagram, f"it left without saying {wanted}"
            if wanted in datagram:
                return datagram

    def exit(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def log(self) -> str:
        path = self.home.log_file("agent:arya")
        return path.read_text(errors="replace") if path.exists() else ""


async def wait(process: Process) -> None:
    process.ready("idle")
    await process.stopping()


def test_a_child_says_ready_beats_and_leaves_with_zero_when_told_to_stop(tmp_path: Path) -> None:
    child = Child(tmp_path, wait)
    assert "STATUS=idle" in child.words("READY=1")
    child.words("WATCHDOG=1")
    os.kill(child.pid, signal.SIGTERM)
    child.words("STOPPING=1")
    assert child.exit() == Exit.OK


def test_a_child_whose_root_hangs_up_leaves_at_once(tmp_path: Path) -> None:
    child = Child(tmp_path, wait)
    child.words("READY=1")
    child.socket.close()
    assert child.exit() == Exit.TRY_LATER


async def wrong(_: Process) -> None:
    raise ConfigError("agent.toml:3: colour: there is no such key; remove it")


async def away(_: Process) -> None:
    raise Unavailable("the disk is full; free space")


async def broken(_: Process) -> None:
    raise ZeroDivisionError("by nothing")


@pytest.mark.parametrize(("main", "code", "reason"), [(wrong, 78, "colour"), (away, 75, "disk"), (broken, 1, "by nothing")])
def test_the_exit_code_and_the_reason_say_why(tmp_path: Path, main: Main, code: int, reason: str) -> None:
    child = Child(tmp_path, main)
    assert reason in child.words("X_REASON=")
    assert child.exit() == code
    assert reason in child.log()


def test_a_bug_leaves_its_whole_traceback_in_the_log_each_line_in_the_one_shape(tmp_path: Path) -> None:
    child = Child(tmp_path, broken)
    assert child.exit() == Exit.BUG
    lines = child.log().splitlines()
    assert any("Traceback (most recent call last)" in line for line in lines)
    assert any('raise ZeroDivisionError("by nothing")' in line for line in lines)
    assert all(" agent:arya" in line for line in lines)


async def flood(process: Process) -> None:
    chunk = "x" * 1_000_000
    for _ in range(100):
        sys.stdout.write(chunk)
    sys.stdout.write("\nand a last line\n")
    process.ready("flooded")
    await process.stopping()


def test_a_hundred_megabytes_without_a_newline_become_one_cut_line_and_a_count(tmp_path: Path) -> None:
    child = Child(tmp_path, flood)
    child.words("READY=1")
    eventually(lambda: "dropped" in child.log(), "the loss was not told")
    os.kill(child.pid, signal.SIGTERM)
    assert child.exit() == Exit.OK
    log = child.log()
    assert len(log) < 200_000
    assert "(cut)" in log
    assert "and a last line" in log


async def spin(process: Process) -> None:
    process.ready()
    while True:
        pass


def test_a_loop_that_does_not_turn_leaves_its_stack_when_aborted(tmp_path: Path) -> None:
    child = Child(tmp_path, spin)
    child.words("READY=1")
    time.sleep(0.05)
    os.kill(child.pid, signal.SIGABRT)
    assert child.exit() == -signal.SIGABRT
    assert "in spin" in child.home.stack_file("agent:arya").read_text()  # from where the root takes it


async def waits_for_ever_on_its_way_up(_: Process) -> None:
    await asyncio.Event().wait()


def test_a_child_that_is_told_to_stop_on_its_way_up_stops(tmp_path: Path) -> None:
    child = Child(tmp_path, waits_for_ever_on_its_way_up)
    child.words("WATCHDOG=1")
    os.kill(child.pid, signal.SIGTERM)
    assert child.exit() == Exit.OK


async def says_too_much(process: Process) -> None:
    process.status("thinking in main\nWATCHDOG=trigger\nREADY=1")
    raise Unavailable("x" * 1_000_000)


def test_what_a_process_tells_of_itself_is_one_word_to_the_root_whatever_stands_in_it(tmp_path: Path) -> None:
    child = Child(tmp_path, says_too_much)
    assert child.words("STATUS=") == "STATUS=thinking in main WATCHDOG=trigger READY=1"
    assert child.words("X_REASON=").startswith("X_REASON=xxx")
    assert child.exit() == Exit.TRY_LATER
