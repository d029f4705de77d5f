"""The skeleton every child runs in: it calls the daemon's `main` once and turns its end into an exit code.

output and log, title, faulthandler -> event loop: signals, lifeline, beats -> main(process) -> exit code
"""

import asyncio
import faulthandler
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import setproctitle

from anima.config.load import load_house
from anima.config.schema import House
from anima.errors import AnimaError, Exit
from anima.journald import STREAM, Journal
from anima.log.log import open_log
from anima.log.redact import redactor
from anima.paths import Home
from anima.process.notify import Notify
from anima.process.output import start_drain
from anima.process.process import Process
from anima.supervisor.boot import Boot

Main = Callable[[Process], Awaitable[None]]
_log = logging.getLogger(__name__)


def run(main: Main, boot: Boot) -> Exit:
    """Live as the child `boot` describes; the exit code says to the root why it ended. Never raises."""
    setproctitle.setproctitle(f"anima: {boot.name.replace(':', ' ')}")
    notify, redact = Notify(boot.notify_fd), redactor(())
    try:
        home = Home(Path(boot.home), Path(boot.run))
        settings = load_house(home)
        redact = redactor(settings.secrets)  # what it leaves with stands in the root's log and in the journal
        open_log(home, boot.name, settings.log, settings.secrets, _journal(settings))
        start_drain(boot.output_fd, logging.getLogger("output").info)
        faulthandler.enable(_stack_file(home, boot.name))
        asyncio.run(_live(main, Process(boot, home, settings, notify)))
    except AnimaError as error:
        _log.error("%s", error)
        notify.say(f"X_REASON={' '.join(redact(str(error)).split())}")
        return error.exit
    except Exception as error:  # noqa: BLE001 - the last place that can say what happened
        _log.exception("this process met a bug and ends")
        notify.say(f"X_REASON={type(error).__name__}: {' '.join(redact(str(error)).split())}")
        return Exit.BUG
    return Exit.OK


def _journal(settings: House) -> Journal | None:
    """Systemd's journal, if the house logs there: the root left the variable in place only if it is true."""
    return Journal() if settings.log.may_use_journal and STREAM in os.environ else None


def _stack_file(home: Home, name: str) -> int:
    """Where a fatal signal writes the stack; the root takes it from there, for a dying process says nothing to a journal.

    Open for the rest of this life; a file that cannot be opened must not keep anyone from living, stderr serves then.
    """
    try:
        return os.open(home.stack_file(name), os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return 2


async def _live(main: Main, process: Process) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop.set)
    loop.add_reader(process.notify.fd, _lifeline, process)
    _beat(loop, process)
    life = asyncio.ensure_future(main(process))
    stop = asyncio.ensure_future(process.stopping())
    await asyncio.wait([life, stop], return_when=asyncio.FIRST_COMPLETED)
    if not life.done() and not process.is_ready:
        life.cancel()  # it waits for something on its way up, and will not look at `stop` before that came
        await asyncio.wait([life])
    else:
        await life
    stop.cancel()
    process.notify.say("STOPPING=1")
    loop.remove_reader(process.notify.fd)


def _beat(loop: asyncio.AbstractEventLoop, process: Process) -> None:
    """Say that this loop still turns; only the loop itself can say so, which is the point."""
    process.notify.say("WATCHDOG=1")
    loop.call_later(process.boot.beat_s, _beat, loop, process)


def _lifeline(process: Process) -> None:
    """Leave at once when the root is gone: a new root will start its own children, and two of one name must not live.

    Nothing needs saving: whatever matters is in the journal already.
    """
    if process.notify.root_is_gone():
        _log.warning("the supervisor is gone; leaving at once")
        os._exit(Exit.TRY_LATER)
