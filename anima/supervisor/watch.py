"""The one place where the root sleeps. Signals and readable descriptors end the sleep; signals only leave a flag behind."""

import os
import select
import selectors
import signal
import time
from collections.abc import Callable
from types import FrameType

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Watch:
    """Descriptors with what to do when they are ready, and signals as facts that stay true until they are taken."""

    def __init__(self) -> None:
        self.stops = 0  #: TERM and INT so far; never goes down
        self.reload = False  #: HUP came; whoever reloads takes it back
        self.died = False  #: CHLD came; whoever reaps takes it back
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        for fd in (self._wake, self._woken):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hup)
        signal.signal(signal.SIGCHLD, self._chld)
        self.listen(self._wake, READ, self._drain)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _hup(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True

    def _chld(self, _number: int, _frame: FrameType | None) -> None:
        self.died = True

    def _drain(self) -> None:
        try:
            os.read(self._wake, select.PIPE_BUF)
        except BlockingIOError:
            return

    def listen(self, fd: int, events: int, act: Callable[[], None]) -> None:
        """Call `act` from `sleep` whenever `fd` is ready for `events`; replaces what was asked for before."""
        try:
            self._selector.modify(fd, events, act)
        except KeyError:
            self._selector.register(fd, events, act)

    def forget(self, fd: int) -> None:
        """Stop listening to `fd`; call it before closing. Fine if nobody did."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def sleep(self, until: float | None) -> None:
        """Sleep until something happens, at latest `until` (monotonic; None: no limit), then do what was asked for it."""
        timeout_s = None if until is None else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(timeout_s):
            if self._selector.get_map().get(key.fd) is key:  # an earlier one of this batch may have closed it
                key.data()

    def close(self) -> None:
        """Give the descriptors back; whoever signals from now on comes too late, because this process is about to exit.

        But for signals that are held back: whatever code goes on in this process is meant as well, and ignoring loses them.
        """
        signal.set_wakeup_fd(-1)
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL if number in held_back else signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)
