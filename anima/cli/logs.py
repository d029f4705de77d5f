"""`logs`: what a process wrote, its last lines and what comes next."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from anima.cli.names import complete
from anima.cli.terminal import clean, colour
from anima.errors import Refused
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

    Example: animactl logs arya -f
    """
    home: Home = context.obj
    path = home.log_file(name)
    if not path.exists() and name.removeprefix("agent:") not in (known := _known(home)):
        from anima.config.check import unknown

        raise Refused(f"'{name}': {unknown(name, known, 'process') if known else 'there is no log yet'}")
    tail, place = last_lines(path, number)
    for line in tail:
        print(painted(line))
    if follow:
        sys.stdout.flush()
        for line in _following(path, place):
            print(painted(line), flush=True)


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


def _following(path: Path, place: int) -> Iterator[str]:
    """New lines for ever. A file that was put aside is read to its end before its successor is begun."""
    file, held = None, b""
    while True:
        if file is None:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                time.sleep(POLL_S)
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
        time.sleep(POLL_S)


def _is_other(path: Path, descriptor: int) -> bool:
    try:
        named, opened = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino) or named.st_size < os.lseek(
        descriptor, 0, os.SEEK_CUR
    )


def _known(home: Home) -> list[str]:
    """Every process that may have a log: those that have one, the supervisor, and all agents."""
    from anima.config.load import agent_names

    written = {path.name.removesuffix(".log") for path in home.log.glob("*.log")}
    return sorted({"supervisor", "journal", *written, *agent_names(home)})
