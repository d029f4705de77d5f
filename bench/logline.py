"""What a log line costs the one who writes it: to a journal's socket, to a file, and with the library's own ways.

The journal's end is a process that reads and throws away; `--real` takes the running journald instead. Lines come one a
millisecond, as in a program that does something else between them; the ways take turns, so that a busy moment of the
machine hits all alike. A last row has a journal that reads nothing, which must not make anybody wait.

    python bench/logline.py [LINES] [--real]
"""

import logging
import logging.handlers
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tables import show, spread

from anima.config.schema import Log
from anima.journald import ADDRESS, Journal
from anima.log import log as own
from anima.paths import Home

REACH_US = 40.0
SECRETS = ("sk-ant-0123456789abcdef", "another-secret-0123")
Write = Callable[[int], None]


@contextmanager
def reader(address: str, *, frozen: bool = False) -> Iterator[None]:
    """A journal's end of a socket in a process of its own."""
    desk = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    desk.bind(address)
    pid = os.fork()
    while pid == 0:
        if frozen:
            signal.pause()
        desk.recv(1 << 20)
    desk.close()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def ours(home: Home, name: str, journal: Journal | None) -> Write:
    """A line of an agent in a turn, redacted and limited as ever."""
    own.open_log(home, name, Log(), SECRETS, journal)
    (handler,) = logging.getLogger().handlers
    handler._allowance = own.Allowance(1e9, 1e9, 0.0)  # type: ignore[attr-defined]  # what is measured are lines that pass
    logging.getLogger().removeHandler(handler)
    return _through(handler, f"anima.{name}")


def _through(handler: logging.Handler, name: str) -> Write:
    log = logging.getLogger(name)
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.INFO)
    return lambda number: log.info("the model answered after %d ms with %d tokens", number, 7)


def main() -> None:
    lines = int(next((word for word in sys.argv[1:] if word.isdigit()), "3000"))
    real = "--real" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder), Path(folder) / "run")
        home.log.mkdir()
        there, frozen = (ADDRESS if real else f"{folder}/journal"), f"{folder}/frozen"
        shape = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
        with reader(f"{folder}/syslog"), reader(frozen, frozen=True), reader(f"{folder}/journal"):
            theirs = [logging.FileHandler(f"{folder}/plain.log"), logging.handlers.SysLogHandler(f"{folder}/syslog")]
            for handler in theirs:
                handler.setFormatter(shape)
            ways = {
                f"anima, to {'journald' if real else 'a journal'}": ours(home, "journal", Journal(there)),
                "anima, to its file": ours(home, "file", None),
                "anima, to a journal that reads nothing": ours(home, "frozen", Journal(frozen)),
                "logging.FileHandler": _through(theirs[0], "plain"),
                "logging.SysLogHandler": _through(theirs[1], "syslog"),
            }
            took: dict[str, list[float]] = {name: [] for name in ways}
            with own.log_context("main", "0192f0c1-7d3a-7000-8000-000000000001", seq=812):
                for number in range(lines):
                    for name, write in ways.items():
                        time.sleep(0.001)
                        before = time.perf_counter()
                        write(number)
                        took[name].append((time.perf_counter() - before) * 1e6)
    rows = [(name, spread(each), f"{sorted(each)[len(each) * 99 // 100]:.0f}") for name, each in took.items()]
    show(f"one line, of {lines}; to the journal in {REACH_US:g} us", ("", "p50 [p10-p90], us", "p99, us"), rows)


if __name__ == "__main__":
    main()
