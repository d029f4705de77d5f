"""Aligned columns that fit the terminal. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anima.cli.terminal import clip, columns_of

GAP = "  "


FLEXIBLE_COLUMNS_MIN = 16  #: what a flexible column keeps; for that, others are left out


@dataclass(frozen=True, slots=True)
class Column:
    """One column. The `flexible` one takes what is left; the one of the lowest `leaves` (not 0) goes first for want of room."""

    title: str
    right: bool = False
    flexible: bool = False
    leaves: int = 0


def render(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    total: int,
    paint: Callable[[int, str, str], str] = lambda _row, _title, text: text,
) -> list[str]:
    """Header and rows as lines of at most `total` columns; `paint(row, title, text)` may colour a finished cell."""
    cells = [[column.title, *(row[place] for row in rows)] for place, column in enumerate(columns)]
    widths = [max(map(columns_of, column)) for column in cells]
    kept = _kept(columns, widths, total)
    for place in kept:
        if columns[place].flexible:
            others = sum(widths[other] + len(GAP) for other in kept if other != place)
            widths[place] = max(min(widths[place], total - others), 1)
    lines = []
    for number in range(-1, len(rows)):
        line = [_cell(columns[place], cells[place][number + 1], widths[place]) for place in kept]
        if number >= 0:
            line = [paint(number, columns[place].title, text) for place, text in zip(kept, line, strict=True)]
        lines.append(GAP.join(line).rstrip())
    return lines


def _kept(columns: Sequence[Column], widths: Sequence[int], total: int) -> list[int]:
    """The places of the columns that fit."""
    kept = list(range(len(columns)))
    for leaving in sorted((place for place in kept if columns[place].leaves), key=lambda place: columns[place].leaves):
        needed = (min(widths[each], FLEXIBLE_COLUMNS_MIN) if columns[each].flexible else widths[each] for each in kept)
        if sum(needed) + len(GAP) * (len(kept) - 1) <= total:
            break
        kept.remove(leaving)
    return kept


def _cell(column: Column, text: str, wide: int) -> str:
    text = clip(text, wide)
    padding = " " * (wide - columns_of(text))
    return padding + text if column.right else text + padding


def duration(seconds: float) -> str:
    """A span of time in one or two units: 3s, 4m 10s, 5h 2m, 3d 4h."""
    whole = max(int(seconds), 0)
    for size, unit, smaller, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit} {rest}{small_unit}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def size(octets: float) -> str:
    """An amount of memory: 812 KB, 7.2 MB, 1.4 GB."""
    amount = octets / 1024
    for unit in ("KB", "MB"):
        if amount < 1000:  # noqa: PLR2004 - three digits at most
            return f"{amount:.0f} {unit}" if unit == "KB" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"
