"""Curves as an SVG, small and without a library: one panel a curve, time from left to right. Pure."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH = 900
LEFT, RIGHT, TOP, GAP, PANEL = 110, 20, 44, 14, 64
TOP_VALUE = 100.0
TICKS = 6
MARKS_MAX = 400
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.small{font-size:10px;fill:#777}"
    "svg{background:#fff}.frame{fill:#f6f6f4;stroke:none}.curve{fill:none;stroke:#2864b4;stroke-width:1.5}"
    ".rest{stroke:#bbb;stroke-dasharray:3 3}.mark{stroke:#c0392b;stroke-opacity:.35}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#999}svg{background:#1c1c1e}.frame{fill:#2a2a2d}"
    ".curve{stroke:#7db3ff}.rest{stroke:#555}.mark{stroke:#ff8a7a}}"
)


def curves(
    title: str, times: Sequence[float], series: Mapping[str, Sequence[float]], marks: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The picture: each of `series` has a value from 0 to 100 for each of `times` (seconds since 1970, ascending)."""
    height = TOP + len(series) * (PANEL + GAP) + 24
    begun, ended = times[0], times[-1]
    room = WIDTH - LEFT - RIGHT

    def across(ts: float) -> float:
        return LEFT + room * (ts - begun) / (ended - begun or 1.0)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="none"/>',
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
    ]
    for place, (name, values) in enumerate(series.items()):
        top = TOP + place * (PANEL + GAP)
        points = " ".join(
            f"{across(ts):.1f},{top + PANEL * (1 - value / TOP_VALUE):.1f}" for ts, value in zip(times, values, strict=True)
        )
        parts += [
            f'<rect class="frame" x="{LEFT}" y="{top}" width="{room}" height="{PANEL}"/>',
            *(_mark(across(each["ts"]), top, str(each["stimulus"])) for each in marks[-MARKS_MAX:]),
            f'<polyline class="curve" points="{points}"/>',
            f'<text x="{LEFT - 8}" y="{top + PANEL / 2}" text-anchor="end">{escape(name)}</text>',
            f'<text class="small" x="{LEFT - 8}" y="{top + PANEL / 2 + 13}" text-anchor="end">now {values[-1]:.0f}</text>',
        ]
    parts += [_tick(begun + (ended - begun) * n / TICKS, across, height, ended - begun) for n in range(TICKS + 1)]
    return "\n".join([*parts, "</svg>\n"])


def _mark(x: float, top: float, stimulus: str) -> str:
    line = f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + PANEL}">'
    return f"{line}<title>{escape(stimulus)}</title></line>"


def _tick(ts: float, across: Any, height: int, span_s: float) -> str:
    form = "%H:%M:%S" if span_s < 600 else "%H:%M" if span_s <= 2 * 86_400 else "%d %b"  # noqa: PLR2004 - ten minutes, two days
    text = time.strftime(form, time.localtime(ts))
    return f'<text class="small" x="{across(ts):.1f}" y="{height - 8}" text-anchor="middle">{text}</text>'
