"""`logs`: what a process wrote, its last lines and what comes next; from systemd's journal, the log file, or both.

A house that is a service logs to the journal, and to files while that is away; one started by hand has files only.
"""

import heapq
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from anima.cli.journalctl import Follower, identifiers, journalctl, last_entries
from anima.cli.names import complete
from anima.cli.terminal import clean, colour, note
from anima.errors import Refused, Unavailable
from anima.paths import Home

POLL_S = 0.2
_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "DEBUG": "grey"}


def logs(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="An agent, or journal, supervisor, ...", show_default=False, autocompletion=complete)
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    number: Annotated[int, typer.Option("-n", help="So many of the last lines.", min=0)] = 50,
) -> None:
    """Show the log of one process, also while the house is down.

    A house that runs as a service logs to systemd's journal; then this is what `journalctl ANIMA_AGENT=NAME` shows, too.

    Example: animactl logs arya -f
    """
    home: Home = context.obj
    path, program = home.log_file(name), journalctl()
    try:
        noted, cursor = last_entries(program, home, name, number) if program else ([], "")
    except Unavailable as error:  # e.g. the system's journal, for somebody who may not read it
        note(f"only files are shown: {error}")
        program, noted, cursor = None, [], ""
    if not noted and not path.exists() and name.removeprefix("agent:") not in (known := _known(home, program)):
        from anima.config.check import unknown

        raise Refused(f"'{name}': {unknown(name, known, 'process') if known else 'there is no log yet'}")
    tail, place = last_lines(path, number)
    for line in merged(tail, noted)[-number:] if number else ():
        print(painted(line))
    if follow:
        sys.stdout.flush()
        follower = Follower(program, home, name, cursor) if program else None
        try:
            for line in _following(path, place, follower):
                print(painted(line), flush=True)
        finally:
            if follower:
                follower.close()


def merged(*logs: list[str]) -> list[str]:
    """Several logs as one, by time; each keeps its own order. A line without a time stays behind the one before it."""
    return [line for _, line in heapq.merge(*map(_timed, logs), key=lambda timed: timed[0])]


def _timed(lines: list[str]) -> Iterator[tuple[str, str]]:
    from anima.log.lines import parse_line

    moment = ""
    for line in lines:
        parsed = parse_line(line)
        moment = max(moment, parsed.time if parsed else "")
        yield moment, line


def last_lines(path: Path, number: int) -> tuple[list[str], int]:
    """The last `number` whole lines of a log, older files included, and how far the newest file was read (bytes)."""
    lines: list[str] = []
    place = 0
    for file in _files(path):
        content = _tail(file, number - len(lines))
        lines = content[0] + lines
        if file == path:
            place = content[1]
        if len(lines) >= number:
            break
    return lines[-number:] if number else [], place


def painted(line: str) -> str:
    """The line, cleaned, its level coloured."""
    from anima.log.lines import parse_line

    parsed = parse_line(line)
    if parsed is None or parsed.level not in _COLOURS:
        return clean(line)
    return clean(line).replace(f" {parsed.level} ", f" {colour(parsed.level, _COLOURS[parsed.level])} ", 1)


def _files(path: Path) -> Iterator[Path]:
    """The current log, then those put aside, newest first."""
    if path.exists():
        yield path
    number = 1
    while (older := path.with_name(f"{path.name}.{number}")).exists():
        yield older
        number += 1


def _tail(path: Path, number: int, chunk_bytes: int = 1 << 16) -> tuple[list[str], int]:
    """The last `number` lines that end with a newline, and the place behind them."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        content = b""
        while place > 0 and content.count(b"\n") <= number:
            step = min(chunk_bytes, place)
            place = file.seek(place - step)
            content = file.read(step) + content
    whole, newline, rest = content.rpartition(b"\n")
    lines = whole.decode(errors="replace").split("\n") if newline else []
    end = place + len(content) - len(rest)
    return (lines[-number:] if number else []), end


def _following(path: Path, place: int, follower: Follower | None) -> Iterator[str]:
    """New lines for ever, of the file and of the journal."""
    written = _written(path, place)
    while True:
        line = next(written)
        if line is not None:
            yield line
        elif follower is None:
            time.sleep(POLL_S)
        elif select.select([follower.fd], [], [], POLL_S)[0]:
            yield from follower.news()


def _written(path: Path, place: int) -> Iterator[str | None]:
    """New lines of the file, None whenever there is none. One that was put aside is read to its end before its successor."""
    file, held = None, b""
    while True:
        if file is None:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                yield None
                continue
            file.seek(min(place, os.fstat(file.fileno()).st_size))
        content = file.read(1 << 20)
        if content:
            *lines, held = (held + content).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
            continue
        if _is_other(path, file.fileno()):
            content = file.read()  # what came between our last read and its putting aside
            yield from (line.decode(errors="replace") for line in (held + content).split(b"\n") if line)
            file.close()
            file, held, place = None, b"", 0
            continue
        yield None


def _is_other(path: Path, descriptor: int) -> bool:
    try:
        named, opened = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino) or named.st_size < os.lseek(
        descriptor, 0, os.SEEK_CUR
    )


def _known(home: Home, program: str | None) -> list[str]:
    """Every process that may have a log: those that have one, the supervisor, and all agents."""
    from anima.config.load import agent_names

    written = {path.name.removesuffix(".log") for path in home.log.glob("*.log")}
    noted = identifiers(program) if program else []
    return sorted({"supervisor", "journal", *noted, *written, *agent_names(home)})
