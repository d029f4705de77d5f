"""Which tools there are: the built-in ones, and those of packages and of the house, which are foreign code.

Foreign code is loaded nowhere but in a jail: there it tells its cards, here they are checked like any other bytes from
outside. A name of a built-in tool is never given away, and one broken file costs its own tools only.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from anima.errors import AnimaError
from anima.limits import tool_output_bytes_max, tool_wall_max_s
from anima.wire.cards import Card

Load = Callable[[], Awaitable[Mapping[str, Any]]]  #: {tools, problems} as a jailed child tells them; raises AnimaError

_EFFECTS = ("pure", "idempotent", "checkable", "unsafe")
_RISKS = ("safe", "risky", "dangerous")
_RETRY_S = 5.0  # after it could not be loaded at all
_PLACES = ("call", "host")  # what the runtime itself carries out is built in
_SHAPE: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "summary": str,
    "schema": dict,
    "effect": str,
    "risk": str,
    "wall_s": (int, float),
    "output_bytes": int,
    "place": str,
    "network": bool,
}
_log = logging.getLogger(__name__)


class Catalogue:
    """The cards of every tool, by name. `refresh` is cheap while the folder of the house's own tools does not change."""

    def __init__(self, built_in: Mapping[str, Card], folder: Path, load: Load) -> None:
        self.cards: dict[str, Card] = dict(built_in)
        self.problems: list[str] = []
        self._built_in = dict(built_in)
        self._folder = folder
        self._load = load
        self._stamp: object = None
        self._again_at = 0.0
        self._loading = asyncio.Lock()

    async def refresh(self) -> None:
        """Load the foreign tools, unless that was done for what stands in the folder now."""
        stamp = _stamp(self._folder)
        if stamp == self._stamp or time.monotonic() < self._again_at:
            return
        async with self._loading:
            if stamp != self._stamp:
                await self._refresh(stamp)

    async def _refresh(self, stamp: object) -> None:
        try:
            found = await self._load()
        except AnimaError as error:
            _log.warning("the tools of packages and of the house cannot be loaded: %s", error)
            self.cards, self.problems = dict(self._built_in), [f"the house's own tools cannot be loaded: {error}"]
            self._again_at = time.monotonic() + _RETRY_S
            return
        cards, problems = foreign(found, self._built_in)
        self.cards = {**self._built_in, **cards}
        self.problems = problems
        self._stamp = stamp
        for problem in problems:
            _log.warning("%s", problem)

    def pure(self) -> list[str]:
        """Names of the tools that change nothing."""
        return [card.name for card in self.cards.values() if card.effect == "pure"]


def foreign(found: Mapping[str, Any], built_in: Mapping[str, Card]) -> tuple[dict[str, Card], list[str]]:
    """The cards in a jailed child's answer that are not built in, and what kept others out."""
    told, problems = found.get("tools", []), found.get("problems", [])
    cards: dict[str, Card] = {}
    complaints = [str(each) for each in problems] if isinstance(problems, list) else []
    for each in told if isinstance(told, list) else []:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or name in built_in:
            continue
        if complaint := _flaw(each):
            complaints.append(f"the tool '{name[:80]}' is left out: {complaint}")
            continue
        values = {key: each[key] for key in _SHAPE}
        cards[name] = Card(**{**values, "wall_s": float(each["wall_s"])}, prepares=bool(each.get("prepare")))
    return cards, complaints


def _flaw(found: Mapping[str, Any]) -> str:
    for key, sort in _SHAPE.items():
        if not isinstance(found.get(key), sort):
            return f"its {key} is missing or of the wrong kind"
    rules = (
        (found["name"].isidentifier() and found["name"].islower(), "its name must be lower-case letters, digits and _"),
        (found["effect"] in _EFFECTS, f"its effect must be one of {', '.join(_EFFECTS)}"),
        (found["risk"] in _RISKS, f"its risk must be one of {', '.join(_RISKS)}"),
        (found["place"] in _PLACES, f"its place must be one of {', '.join(_PLACES)}"),
        (0 < found["wall_s"] <= tool_wall_max_s, f"its wall_s must lie above 0 and up to {tool_wall_max_s:.0f}"),
        (0 < found["output_bytes"] <= tool_output_bytes_max, f"its output_bytes must be at most {tool_output_bytes_max}"),
        (found["effect"] != "checkable" or bool(found.get("probe")), "a checkable tool has a probe"),
    )
    return "; ".join(complaint for holds, complaint in rules if not holds)


def _stamp(folder: Path) -> object:
    """Changes when a file of the folder does; the same for a folder that is not there."""
    try:
        files = [(path.name, path.stat()) for path in sorted(folder.glob("*.py"))]
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return tuple((name, seen.st_mtime_ns, seen.st_size, seen.st_ino) for name, seen in files)
