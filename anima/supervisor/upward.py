"""The root's own words to systemd, if systemd listens. Never an error: a house without systemd is as good."""

import os
import socket
import time
from collections.abc import Mapping

_EXTENDED_S_MIN = 1.0  # less is not worth a word


def is_service(environ: Mapping[str, str]) -> bool:
    """Whether systemd (from version 248 on) started this very process; a shell in a service inherits another's number."""
    return environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


class Upward:
    """sd_notify to the address in $NOTIFY_SOCKET. `beat_s` is how often systemd wants WATCHDOG=1; 0 for never."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._until = 0.0  #: what systemd was asked to wait until
        self.beat_s = _watchdog_s(environ) / 2 if address else 0.0

    def say(self, *words: str) -> bool:
        """Send `words` in one datagram. False if nobody took it."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as way:
                lines = (word.replace("\n", " ") for word in words)  # an error's text must not become another word
                way.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except (OSError, ValueError):
            return False
        return True

    @property
    def heard(self) -> bool:
        """Whether somebody wants to know."""
        return bool(self._address)

    def extend(self, seconds: float, now: float) -> None:
        """Say that the start takes so much longer from `now` on (monotonic), if that is later than was said before."""
        if now + seconds > self._until + _EXTENDED_S_MIN:
            self._until = now + seconds
            self.say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def reloading(self) -> None:
        """Say that a reload begins; READY=1 must follow whatever comes of it."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def _watchdog_s(environ: Mapping[str, str]) -> float:
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit()) or pid not in ("", str(os.getpid())):
        return 0.0
    return int(usec) / 1e6
