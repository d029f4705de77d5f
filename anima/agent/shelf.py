"""Parts of recorded calls on disk: by digest, compressed, each once a file. One file per day and life of the agent.

    state/record/AGENT/2026-11-24-LIFE.parts  =  (digest 16 bytes, length 4 bytes big-endian, zlib of the part)*

Whoever opens a file is its only writer, for ever: a new life begins a new file, so what a kill -9 tore stays at the end of
a file that nobody writes to any more. A file holds all parts of every call that is recorded in it; to forget a day is to
unlink its files. Nothing is synced: the journal is what must survive a power loss, a record may lack its last seconds.
"""

import contextlib
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from anima.agent.spelling import DIGEST_BYTES, digest
from anima.clock import SYSTEM, Clock
from anima.errors import Refused
from anima.ids import new_id
from anima.limits import record_part_bytes_max

_HEAD = struct.Struct(f">{DIGEST_BYTES}sI")
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-[0-9a-f]{12}\.parts")
_DAY_S = 86_400


class Shelf:
    """Where one life of an agent puts its parts."""

    def __init__(self, folder: Path, keep_days: int, clock: Clock = SYSTEM) -> None:
        self._folder = folder
        self._keep_days = keep_days
        self._clock = clock
        self._day = ""
        self._fd = -1
        self._size = 0
        self._known: set[str] = set()
        self.name = ""  #: of the file that was last written to

    def put(self, parts: Mapping[str, bytes]) -> int:
        """Store those of `parts` that the day's file lacks; returns how many bytes that took. Raises OSError."""
        self._open()
        new = {name: data for name, data in parts.items() if name not in self._known}
        pieces = []
        for name, data in new.items():
            small = zlib.compress(data)
            pieces.append(_HEAD.pack(bytes.fromhex(name), len(small)) + small)
        written = b"".join(pieces)
        try:
            view = memoryview(written)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self._size)  # a full disk cuts in the middle; the next part must stand behind a whole one
            os.lseek(self._fd, self._size, os.SEEK_SET)
            raise
        self._size += len(written)
        self._known |= new.keys()
        return len(written)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        """Begin the day's file, and forget the days that are over, if the day is a new one."""
        day = _day(self._clock.now())
        if day == self._day and self._fd >= 0:
            return
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{day}-{new_id()[-12:]}.parts"
        self._fd = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._day, self.name, self._size = day, name, 0
        self._known.clear()
        self.forget()

    def forget(self) -> None:
        """Delete the files of days that are over for longer than they are kept. Raises OSError."""
        oldest = _day(self._clock.now() - self._keep_days * _DAY_S)
        for path in list(self._folder.iterdir()):
            if (match := _NAME.fullmatch(path.name)) and match[1] < oldest:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


class Finder:
    """Reads parts from the files of one agent, also while it writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, dict[str, tuple[int, int]]] = {}  # by file: where each part lies

    def get(self, file: str, name: str) -> bytes:
        """The part of that digest, checked against it. Raises Refused, one sentence, if it is gone or damaged."""
        path = self._folder / file
        if not _NAME.fullmatch(file):
            raise Refused(f"'{file}' is no file of recorded calls; the journal names it, so look at `animactl audit`")
        try:
            if name not in self._places.get(file, {}):
                self._places[file] = dict(_places(path))
            if name not in self._places[file]:
                raise Refused(f"{path} lacks the part {name}: its last words did not reach the disk; it cannot be shown")
            at, length = self._places[file][name]
            with path.open("rb") as opened:
                opened.seek(at)
                data = _inflated(opened.read(length))
        except FileNotFoundError:
            raise Refused(f"the record of this turn is gone ({path}); [record] keep_days says how long it is kept") from None
        except OSError as error:
            raise Refused(f"{path} cannot be read ({error.strerror}); correct its rights, or look at the disk") from None
        if digest(data) != name:
            raise Refused(f"{path} is damaged at byte {at}: the part {name} was changed after it was stored")
        return data


def _places(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where the whole parts of a file lie; what is torn at its end is none."""
    size = path.stat().st_size
    with path.open("rb") as opened:
        at = 0
        while at + _HEAD.size <= size:
            opened.seek(at)
            name, length = _HEAD.unpack(opened.read(_HEAD.size))
            at += _HEAD.size
            if at + length > size:
                return
            yield name.hex(), (at, length)
            at += length


def _inflated(small: bytes) -> bytes:
    """The part, or b"" if it is none or larger than any part can be."""
    inflating = zlib.decompressobj()
    try:
        data = inflating.decompress(small, record_part_bytes_max)
    except zlib.error:
        return b""
    return data if inflating.eof else b""
