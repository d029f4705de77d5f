"""systemd's journal, read through its own program: the files have no other interface that every version keeps.

What is read becomes lines of the one shape again, the same words as in a log file.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anima.errors import Unavailable
from anima.journald import ADDRESS, PRIORITIES
from anima.paths import Home

_PLACES = ("/run/log/journal", "/var/log/journal", ADDRESS)
_LEVELS = {str(priority): level for level, priority in PRIORITIES.items()}
_FIELDS = "MESSAGE,PRIORITY,ANIMA_PROCESS,ANIMA_SESSION,ANIMA_TURN,ANIMA_PRINTED,_SOURCE_REALTIME_TIMESTAMP"
_ANSWER_S = 30.0


def journalctl() -> str | None:
    """The program, where there is a journal it could read."""
    return shutil.which("journalctl") if any(map(os.path.exists, _PLACES)) else None


def identifiers(program: str) -> list[str]:
    """Names of all processes of all houses that ever logged to this journal: `arya`, `journal`."""
    found = _run([program, "-q", "-F", "SYSLOG_IDENTIFIER"]).decode(errors="replace").splitlines()
    return [name.removeprefix("anima-") for name in found if name.startswith("anima-")]


def last_entries(program: str, home: Home, name: str, number: int) -> tuple[list[str], str]:
    """The last `number` lines of `name`, and the cursor behind them; "" if there is none. Raises Unavailable."""
    found = _run([*_question(program, home, name), "-n", str(max(number, 1))])
    entries = [json.loads(line) for line in found.splitlines()]
    lines = [line for entry in entries for line in entry_lines(entry)]
    return (lines[-number:] if number else []), entries[-1]["__CURSOR"] if entries else ""


class Follower:
    """New entries of one process as they come; to be asked again and again, and closed."""

    def __init__(self, program: str, home: Home, name: str, cursor: str) -> None:
        behind = ["--after-cursor", cursor, "-n", "all"] if cursor else ["-n", "0"]
        self._reader = subprocess.Popen([*_question(program, home, name), "-f", *behind], stdout=subprocess.PIPE)
        assert self._reader.stdout
        self.fd = self._reader.stdout.fileno()  #: readable when there is something, also when the program ended
        os.set_blocking(self.fd, False)
        self._held = b""

    def news(self) -> Iterator[str]:
        """Lines that are there now. Raises Unavailable if the program ended."""
        try:
            content = os.read(self.fd, 1 << 20)
        except BlockingIOError:
            return
        if not content:
            raise Unavailable(f"journalctl ended with code {self._reader.wait()}; try again")
        *whole, self._held = (self._held + content).split(b"\n")
        for line in whole:
            yield from entry_lines(json.loads(line))

    def close(self) -> None:
        """End the program."""
        self._reader.kill()
        self._reader.wait()


def entry_lines(entry: dict[str, Any]) -> list[str]:
    """An entry of `journalctl -o json` as lines of a log."""
    from anima.log.lines import Origin, format_lines, format_printed

    ts = int(_text(entry, "_SOURCE_REALTIME_TIMESTAMP") or _text(entry, "__REALTIME_TIMESTAMP")) / 1e6
    level, process = _LEVELS.get(_text(entry, "PRIORITY"), "INFO"), _text(entry, "ANIMA_PROCESS")
    if _text(entry, "ANIMA_PRINTED"):
        return format_printed(ts, level, process, _text(entry, "MESSAGE"))
    origin = Origin(process, _text(entry, "ANIMA_SESSION"), _text(entry, "ANIMA_TURN"))
    return format_lines(ts, level, origin, _text(entry, "MESSAGE"))


def _text(entry: dict[str, Any], field: str) -> str:
    """A field's text. One that is not printable comes as its bytes, one that occurs twice as a list of both."""
    value = entry.get(field)
    if isinstance(value, list):
        return bytes(value).decode(errors="replace") if all(isinstance(each, int) for each in value) else str(value[-1])
    return value or ""


def _question(program: str, home: Home, name: str) -> list[str]:
    matches = [f"SYSLOG_IDENTIFIER=anima-{name.removeprefix('agent:')}", f"ANIMA_HOME={home.root}"]
    return [program, "-q", "--all", "-o", "json", f"--output-fields={_FIELDS}", *matches]


def _run(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ANSWER_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} does not answer within {_ANSWER_S:g} s") from error
    if done.returncode and done.stderr:
        raise Unavailable(f"{Path(command[0]).name} cannot read the journal: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
