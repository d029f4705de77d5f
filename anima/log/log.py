"""The log of one process: standard `logging`, ending in systemd's journal where there is one, else in a file.

Every record passes: who and in which turn (context), a limit against floods, the redaction of secrets, and then the
journal or the file. The file takes over while the journal takes nothing, and hands back as soon as it does again.
"""

import contextlib
import contextvars
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from anima import journald
from anima.journald import Fields, Journal
from anima.limits import log_records_burst_max, log_records_per_s_max
from anima.log.file import LogFile
from anima.log.lines import Origin, format_lines, format_printed, printable
from anima.log.redact import redactor
from anima.paths import Home

_CHATTY = ("httpx", "httpcore", "anthropic", "asyncio")  # they tell every request at INFO; ours say it with its turn


@dataclass(frozen=True, slots=True)
class Place:
    """In the middle of what something is logged. What does not apply is empty."""

    session: str = ""
    turn: str = ""
    call: str = ""  #: the intent of a tool call
    seq: int = 0  #: of the event that is dealt with


_NOWHERE = Place()
_place: contextvars.ContextVar[Place] = contextvars.ContextVar("place", default=_NOWHERE)


class Settings(Protocol):
    """What a log needs to be told; the house's `[log]` section is one."""

    @property
    def level(self) -> str:
        """Least important lines kept: debug, info, warning or error."""
        ...

    @property
    def bytes_max(self) -> int:
        """Size at which the file is put aside."""
        ...

    @property
    def files_max(self) -> int:
        """Files kept, the current one included."""
        ...


def open_log(
    home: Home, process: str, settings: Settings, secrets: Iterable[str] = (), journal: Journal | None = None
) -> logging.Logger:
    """Send everything this process logs to `journal`, or its file, and return its logger. Replaces an earlier set-up.

    What is logged under the name `output` counts as printed by the process. Never raises about the file: a disk that
    takes no lines must not keep an agent from thinking.
    """
    file = LogFile(home.log_file(process), settings.bytes_max, settings.files_max)
    writer = _Writer(process, file, redactor(secrets), _Entries(journal, process, home) if journal else None)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nobody reads them, and each record pays
    root.addHandler(writer)
    root.setLevel(settings.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if settings.level == "debug" else logging.WARNING)
    logging.captureWarnings(capture=True)
    return logging.getLogger("anima")


@contextlib.contextmanager
def log_context(session: str = "", turn: str = "", call: str = "", seq: int = 0) -> Iterator[None]:
    """Lines logged inside (also by tasks started inside) carry this session, turn, call and seq."""
    token = _place.set(Place(session, turn, call, seq))
    try:
        yield
    finally:
        _place.reset(token)


class Allowance:
    """How many records may be logged: `burst` at once, `rate` per second in the long run; the last tenth is for errors."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left = burst
        self._at = now

    def take(self, now: float, error: bool) -> bool:
        """Whether one more record may be logged at the monotonic moment `now`."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < (1 if error else 1 + self._burst / 10):
            return False
        self._left -= 1
        return True


@dataclass(slots=True)  # not frozen: that costs a microsecond, of a line's forty
class _Said:
    """One record on its way out: redacted, its place known."""

    ts: float
    level: str
    text: str
    place: Place = _NOWHERE
    printed: bool = False  #: by the process, not logged
    known: str = ""  #: a key of journald.KNOWN
    code: tuple[str, int, str] = ("", 0, "")  #: file, line and function

    def lines(self, process: str) -> list[str]:
        """As it stands in a file."""
        if self.printed:
            return format_printed(self.ts, self.level, process, self.text)
        return format_lines(self.ts, self.level, Origin(process, self.place.session, self.place.turn), self.text)


class _Entries:
    """What one process says to the journal, as long as that takes it; `file` has the rest."""

    def __init__(self, journal: Journal, process: str, home: Home) -> None:
        self._journal = journal
        self._identity = journald.encode(journald.identity(process, str(home.root)))
        self._file = home.log_file(process)

    def take(self, said: _Said, now: float) -> bool:
        """Give it to the journal. False if that does not take it."""
        return self._journal.tell(self._entry(said), now, self._excuse)

    def close(self) -> None:
        self._journal.close()

    def _excuse(self, records: int) -> bytes:
        return self._identity + journald.encode(journald.handed_back(records, self._file))

    def _entry(self, said: _Said) -> bytes:
        place, (file, line, function) = said.place, said.code
        fields: Fields = {
            "MESSAGE": printable(said.text),
            "PRIORITY": journald.PRIORITIES.get(said.level, journald.PRIORITIES["INFO"]),
            "MESSAGE_ID": journald.KNOWN.get(said.known, ""),
        }
        if said.printed:
            fields["ANIMA_PRINTED"] = 1
        if place is not _NOWHERE:
            fields |= {"ANIMA_SESSION": place.session, "ANIMA_TURN": place.turn, "ANIMA_CALL": place.call}
            fields["ANIMA_SEQ"] = place.seq or ""
        if file:
            fields |= {"CODE_FILE": file, "CODE_LINE": line, "CODE_FUNC": function}
        return self._identity + journald.encode(fields)


class _Writer(logging.Handler):
    """The end of the line for every record."""

    def __init__(self, process: str, file: LogFile, redact: Callable[[str], str], entries: _Entries | None) -> None:
        super().__init__()
        self._process = process
        self._file = file
        self._redact = redact
        self._entries = entries
        self._allowance = Allowance(log_records_per_s_max, log_records_burst_max, time.monotonic())
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it. Called with the handler's lock held."""
        now = time.monotonic()
        if not self._allowance.take(now, record.levelno >= logging.ERROR):
            self._dropped += 1
            return
        saying = []
        if self._dropped:
            saying.append(_notice(f"dropped {self._dropped} lines: more than {log_records_per_s_max} a second", "dropped"))
        text = self._redact(_told(record))
        if record.name == "output":
            saying.append(_Said(record.created, record.levelname, text, printed=True))
        else:
            code = (record.pathname, record.lineno, record.funcName)
            saying.append(_Said(record.created, record.levelname, text, _place.get(), code=code))
        taken = [self._put(said, now) for said in saying]
        if all(taken):
            self._dropped = 0

    def close(self) -> None:
        """Let go of the journal and the file."""
        if self._entries:
            self._entries.close()
        self._file.close()
        super().close()

    def _put(self, said: _Said, now: float) -> bool:
        if self._entries and self._entries.take(said, now):
            return True
        return self._file.write(said.lines(self._process), self._missing)

    def _missing(self, lines: int) -> list[str]:
        return _notice(f"{lines} lines are missing here: the disk did not take them").lines(self._process)


def _notice(text: str, known: str = "") -> _Said:
    """What the log itself has to say."""
    return _Said(time.time(), "WARNING", text, known=known)


def _told(record: logging.LogRecord) -> str:
    """The record's message and whole traceback; a record that cannot be formatted says so instead of being lost."""
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - any object may sit in the arguments, with any __str__
        text = f"{record.msg!r} with arguments that do not fit: {type(error).__name__}"
    if record.name not in {"root", "anima", "output"} and not record.name.startswith("anima."):
        text = f"{record.name}: {text}"
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    if record.stack_info:
        text += "\n" + record.stack_info
    return text
