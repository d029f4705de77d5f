"""What the commands about feelings share: questions to thymos, sparklines, spans of time."""

import re
from typing import Any

from anima.cli import live, root
from anima.cli.table import duration
from anima.errors import Refused
from anima.paths import Home

TIMEOUT_S = 5.0
_BARS = "▁▂▃▄▅▆▇█"
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def ask(home: Home, verb: str, name: str, **more: Any) -> dict[str, Any]:
    """One question about an agent. Raises Refused if there is no such agent, Unavailable if thymos does not answer."""
    root.agent_process(home, name)
    return ask_thymos(home, verb, agent=name, **more)


def ask_thymos(home: Home, verb: str, **arguments: Any) -> dict[str, Any]:
    """One question to thymos. Raises Unavailable if it does not answer, Refused or BadMessage as it does."""
    thymos = next((each for each in root.processes(home) if each["name"] == "thymos"), None)
    if thymos and (reason := live.stalled("thymos", thymos)):
        raise Refused(reason)

    async def do(bus: Any) -> dict[str, Any]:
        told: dict[str, Any] = await bus.ask("thymos", verb, TIMEOUT_S, **arguments)
        return told

    return live.run(home, do)


def sparkline(values: list[float], top: float, columns: int) -> str:
    """Values from 0 to `top` as bars, one a column; of more values than columns each column shows the highest of its own."""
    if not values or columns < 1:
        return ""
    width = min(columns, len(values))
    cut = [values[n * len(values) // width : (n + 1) * len(values) // width] for n in range(width)]
    return "".join(_BARS[min(len(_BARS) - 1, int(max(each) / top * len(_BARS)))] for each in cut)


def span_s(text: str) -> float:
    """Seconds in a span as 90s, 30m, 24h, 7d or 2w. Raises Refused."""
    match = _SPAN.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise Refused(f"'{text}' is no span of time; write a number and a unit: 90s, 30m, 24h, 7d, 2w")
    return float(match[1]) * _UNITS_S[match[2]]


def ago(now: float, ts: float) -> str:
    """How long ago something was."""
    return f"{duration(now - ts)} ago"
