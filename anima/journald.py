"""systemd's journal in its own words: the native protocol, https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.

An entry is one datagram of fields. Nothing here ever waits: a journal that does not take an entry at once does not get
it, and whoever sent it keeps it elsewhere. Standard library only, for the root speaks to the journal as well.
"""

import array
import errno
import fcntl
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

ADDRESS = "/run/systemd/journal/socket"
STREAM = "JOURNAL_STREAM"  #: set by systemd for what it starts: device and inode of the stream that is its stderr
PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  #: syslog(3), by the words of our logs
AWAY_S = 1.0  #: a journal that did not take an entry is left alone for so long; files have the lines meanwhile

Fields = dict[str, str | int]

#: What is said of the same thing has the same MESSAGE_ID; systemd/anima.catalog explains each to `journalctl -x`.
KNOWN = {
    "house_up": "f92655df728e48c384c8dd10222341f2",
    "house_down": "51610f07e21a431381667108b9d1d85b",
    "started": "3e33c899e883421f84665bf66b30af36",
    "up": "e0d9a6351c204a0db2e321519408b97f",
    "ended": "c3993f947e5c41ff83c9745cb620a848",
    "again": "f45d6121df4848438a37fe704c95fe58",
    "parked": "fa33932916144cbba1f1a14777d2dc1a",
    "reloaded": "5ced0608b10b4d6b975e41fe0e44c785",
    "reload_refused": "e989337025ee4024b9e62dd55fdd2ea9",
    "dropped": "31ad9407a52d4c9db57bcaf98a5edd36",
    "handed_back": "c2a6b256f21d400a822f7a1de197c863",
}


def is_ours(environ: Mapping[str, str], fd: int = 2) -> bool:
    """Whether the journal reads `fd`. The variable alone proves nothing: a shell inherits it from a desktop session."""
    device, _, inode = environ.get(STREAM, "").partition(":")
    try:
        here = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(here.st_dev), str(here.st_ino))


def identity(process: str, home: str) -> Fields:
    """The fields that say who speaks: `process` as the root knows it (`agent:arya`), of the house at `home`."""
    name = process.removeprefix("agent:")
    fields: Fields = {"SYSLOG_IDENTIFIER": f"anima-{name}", "ANIMA_PROCESS": process, "ANIMA_HOME": home}
    return fields if name == process else {**fields, "ANIMA_AGENT": name}


def encode(fields: Mapping[str, str | int]) -> bytes:
    """Fields as the journal reads them; an empty one is left out. Names are upper case, digits and underscores."""
    plain, several_lines = "", b""
    for name, value in fields.items():
        if isinstance(value, str) and "\n" in value:
            content = value.encode(errors="backslashreplace")
            several_lines += b"%s\n%s%s\n" % (name.encode(), len(content).to_bytes(8, "little"), content)
        elif value != "":
            plain += f"{name}={value}\n"
    return plain.encode(errors="backslashreplace") + several_lines


def handed_back(lines: int, where: Path) -> Fields:
    """What the journal is told before the first entry it takes again."""
    text = f"{lines} lines before this stand in {where}: the journal did not take them"
    return {"MESSAGE": text, "PRIORITY": PRIORITIES["WARNING"], "MESSAGE_ID": KNOWN["handed_back"]}


class Journal:
    """A connection to the journal. Must not cross a fork: the journal takes the sender's PID from the kernel's word."""

    def __init__(self, address: str | Path = ADDRESS) -> None:
        self._address = str(address)
        self._socket: socket.socket | None = None
        self._elsewhere = 0  #: entries it did not take since it last took one
        self._ask_at = 0.0  #: monotonic moment before which it is left alone

    def tell(self, entry: bytes, now: float, excuse: Callable[[int], bytes]) -> bool:
        """Hand over an encoded entry at `now` (monotonic), after `excuse(n)` if n went elsewhere before. False if not taken."""
        if now >= self._ask_at:
            if self._elsewhere and self.send(excuse(self._elsewhere)):
                self._elsewhere = 0
            if not self._elsewhere and self.send(entry):
                return True
            self._ask_at = now + AWAY_S
        self._elsewhere += 1
        return False

    def send(self, entry: bytes) -> bool:
        """Hand over one encoded entry. False if the journal is away or has no room now; it did not get it then."""
        try:
            self._connected().send(entry)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return self._send_by_file(entry)
            if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                return False
            self.close()  # it was started anew, perhaps: its old socket is nobody's now
            try:
                self._connected().send(entry)
            except OSError:
                self.close()
                return False
        return True

    def close(self) -> None:
        """Let go of the socket; the next entry opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            way = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                way.connect(self._address)
            except OSError:
                way.close()
                raise
            self._socket = way
        return self._socket

    def _send_by_file(self, entry: bytes) -> bool:
        """An entry too large for a datagram goes as a sealed file in memory, whose descriptor is the datagram."""
        fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(entry)
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            self._connected().sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        except OSError:
            return False
        finally:
            os.close(fd)
        return True
