"""The log of one process: standard `logging`, ending in one file with one shape of line.

Every record passes: who and in which turn (context), a limit against floods, the redaction of secrets, the file.
"""

import contextlib
import contextvars
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from anima.limits import log_records_burst_max, log_records_per_s_max
from anima.log.file import LogFile
from anima.log.lines import Origin, format_lines, format_printed
from anima.log.redact import redactor
from anima.paths import Home

_CHATTY = ("httpx", "httpcore", "anthropic", "asyncio")  # they tell every request at INFO; ours say it with its turn

_place: contextvars.ContextVar[tuple[str, str]] = contextvars.ContextVar("place", default=("", ""))


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


def open_log(home: Home, process: str, settings: Settings, secrets: Iterable[str] = ()) -> logging.Logger:
    """Send everything this process logs to its file, and return its logger. Replaces what an earlier call set up.

    What is logged under the name `output` counts as printed by the process. Never raises about the file: a disk that
    takes no lines must not keep an agent from thinking.
    """
    writer = _Writer(process, LogFile(home.log_file(process), settings.bytes_max, settings.files_max), redactor(secrets))
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.addHandler(writer)
    root.setLevel(settings.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if settings.level == "debug" else logging.WARNING)
    logging.captureWarnings(capture=True)
    return logging.getLogger("anima")


@contextlib.contextmanager
def turn_context(session: str, turn: str) -> Iterator[None]:
    """Lines logged inside (also by tasks started inside) carry this session and turn."""
    token = _place.set((session, turn))
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


class _Writer(logging.Handler):
    """The end of the line for every record."""

    def __init__(self, process: str, file: LogFile, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._process = process
        self._file = file
        self._redact = redact
        self._allowance = Allowance(log_records_per_s_max, log_records_burst_max, time.monotonic())
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it. Called with the handler's lock held."""
        if not self._allowance.take(time.monotonic(), record.levelno >= logging.ERROR):
            self._dropped += 1
            return
        lines = self._say(f"dropped {self._dropped} lines: more than {log_records_per_s_max} a second") if self._dropped else []
        text = self._redact(_told(record))
        if record.name == "output":
            lines += format_printed(record.created, record.levelname, self._process, text)
        else:
            session, turn = _place.get()
            lines += format_lines(record.created, record.levelname, Origin(self._process, session, turn), text)
        if self._file.write(lines, lambda lost: self._say(f"{lost} lines are missing here: the disk did not take them")):
            self._dropped = 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()

    def _say(self, text: str) -> list[str]:
        return format_lines(time.time(), "WARNING", Origin(self._process), text)


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
