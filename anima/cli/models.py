"""`models`: what can think here, what it costs, and whether its key works."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from anima.cli.table import Column, render
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clean, colour, one_line, width
from anima.errors import Refused
from anima.paths import Home

COLUMNS = (
    Column("MODEL", flexible=True),
    Column("KEY"),
    Column("PRICE", right=True, leaves=3),
    Column("WINDOW", right=True, leaves=2),
    Column("USED BY", leaves=1),
)
_COLOURS = {"works": "green", "set": "green", "none": "grey", "missing": "yellow", "refused": "red", "unreachable": "red"}
_BAD = ("refused", "unreachable")
_USERS_COLUMNS_MAX = 24
_THOUSAND, _MILLION = 1_000, 1_000_000


def models(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Ask each provider whether key and model are right.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")] = False,
) -> None:
    """List what can think here: price, window, key, users.

    Those that the settings or models/*.toml name, and those that a key in this environment would allow. Prices are US
    dollars for a million tokens read and written. With --check a provider is asked for its list, which is free, or for
    one word; exits 1 if one that is used does not work.

    Example: animactl models --check
    """
    home: Home = context.obj
    listed = []
    for each in _catalog(home, check):
        listed.append(each)
        if as_json:
            print(json.dumps(each, ensure_ascii=False), flush=True)
    if not as_json:
        print("\n".join(lines(listed, width())))
    broken = [each for each in listed if each["used_by"] and each["key"] in (*_BAD, "missing")]
    if check and broken:
        count = f"{len(broken)} models" if len(broken) > 1 else "a model"
        raise Refused(f"{count} in use cannot answer: {', '.join(each['name'] for each in broken)}")


def _catalog(home: Home, check: bool) -> Iterator[dict[str, Any]]:
    """The list as the program tells it that knows the providers; they stay out of this process, and so do their keys."""
    command = [sys.executable, "-m", "anima.nous.catalog", "--home", str(home.root), *(["--check"] if check else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stderr
        for line in program.stdout:
            yield json.loads(line)
        said = program.stderr.read().strip()
    if program.returncode:
        raise Refused(said.splitlines()[-1] if said else f"the list of models broke off with code {program.returncode}")


def lines(listed: list[dict[str, Any]], columns: int) -> list[str]:
    """The table for a terminal of that width, and below it a sentence for each model that has one."""

    def paint(row: int, title: str, text: str) -> str:
        return colour(text, _COLOURS.get(listed[row]["key"], "yellow")) if title == "KEY" else text

    table = render(COLUMNS, [_cells(each) for each in listed], columns, paint)
    notes = [one_line(f"{each['name']}: {clean(each['note'])}", NO_TERMINAL_COLUMNS) for each in listed if each["note"]]
    return [*table, *([""] if notes else []), *notes]


def _cells(each: dict[str, Any]) -> list[str]:
    return [
        one_line(each["name"], NO_TERMINAL_COLUMNS),
        each["key"],
        price(each["price_in"], each["price_out"]),
        window(each["window_tokens"]),
        one_line(", ".join(each["used_by"]), _USERS_COLUMNS_MAX) or "-",
    ]


def price(read: float | None, written: float | None) -> str:
    """US dollars for a million tokens, read / written."""
    if read is None or written is None:
        return "?"
    return f"${read:g}/${written:g}" if read or written else "free"


def window(tokens: int) -> str:
    """A window's size in one short word: 200k, 1M."""
    if not tokens:
        return "?"
    for unit, name in ((_MILLION, "M"), (_THOUSAND, "k")):
        if tokens >= unit:
            return f"{tokens / unit:.3g}{name}"
    return str(tokens)
