"""Functions of installed packages that look on, or have a word: entry points of the group `anima.hooks`.

    [project.entry-points."anima.hooks"]
    before_answer = "my_package:polish"          # or my.before_answer: what stands before the last point is a name

    before_model(request: Request) -> Request | None      what a model is to be shown instead; None: as it is
    after_model(request: Request, reply: Reply) -> None
    before_answer(text: str, about: dict) -> str | None   what is answered instead; None: as it is
    after_turn(about: dict) -> None                       about: agent, session, turn, question; outcome, reason, answer

They are plain functions, called in the agent's process, each in a thread of its own. One that raises, or returns what it
must not, is logged and left out this time; one that takes longer than `hook_s` is not waited for, and left out for the
rest of this life, because its thread still runs.
"""

import fnmatch
import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from anima.limits import hook_s
from anima.nous.model import Reply, Request
from anima.process.aside import in_thread

_log = logging.getLogger(__name__)
GROUP = "anima.hooks"
MOMENTS = ("before_model", "after_model", "before_answer", "after_turn")


class Hooks:
    """The functions whose names match one of `patterns`; loaded when first asked for."""

    def __init__(self, patterns: tuple[str, ...], limit_s: float = hook_s) -> None:
        self._patterns = patterns
        self._limit_s = limit_s
        self._loaded: dict[str, Callable[..., Any]] | None = None if patterns else {}

    async def before_model(self, request: Request) -> tuple[Request, list[str]]:
        """What the model is shown, and the names of those that changed it."""
        changed = []
        for name in await self._at("before_model"):
            found = await self._call(name, (Request, type(None)), request)
            if found is not None and found != request:
                request = found
                changed.append(name)
        return request, changed

    async def looks_at_replies(self) -> bool:
        """Whether anybody wants to know what a model said."""
        return bool(await self._at("after_model"))

    async def after_model(self, request: Request, reply: Reply) -> None:
        """Tell what a model said."""
        for name in await self._at("after_model"):
            await self._call(name, (type(None),), request, reply)

    async def before_answer(self, text: str, about: Mapping[str, Any]) -> str:
        """What is answered; never nothing."""
        for name in await self._at("before_answer"):
            text = await self._call(name, (str, type(None)), text, dict(about)) or text
        return text

    async def after_turn(self, about: Mapping[str, Any]) -> None:
        """Tell how a turn ended."""
        for name in await self._at("after_turn"):
            await self._call(name, (type(None),), dict(about))

    async def _at(self, moment: str) -> list[str]:
        if self._loaded is None:
            self._loaded = dict(await in_thread(lambda: list(_load(self._patterns)), None))
        return [name for name in self._loaded if name.rpartition(".")[2] == moment]

    async def _call(self, name: str, allowed: tuple[type, ...], *given: Any) -> Any:
        """What the function returns; None if it fails, takes too long or returns what it must not."""
        assert self._loaded is not None, "only what was loaded has a name"
        function = self._loaded[name]
        try:
            found = await in_thread(lambda: function(*given), self._limit_s)
        except TimeoutError:
            _log.warning("the hook %s took longer than %g s; it is left out until this agent starts anew", name, self._limit_s)
            del self._loaded[name]
            return None
        except Exception:  # noqa: BLE001 - foreign code
            _log.exception("the hook %s failed; this goes on without it", name)
            return None
        if not isinstance(found, allowed):
            _log.warning("the hook %s returned %s; this goes on without it", name, type(found).__name__)
            return None
        return found


def _load(patterns: tuple[str, ...]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The functions by name, in the order of their names; what cannot be loaded is logged."""
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        if not any(fnmatch.fnmatchcase(point.name, pattern) for pattern in patterns):
            continue
        if point.name.rpartition(".")[2] not in MOMENTS:
            _log.warning("the hook %s (%s) is left out: its name must end in %s", point.name, point.value, ", ".join(MOMENTS))
            continue
        try:
            found = point.load()
        except Exception:  # noqa: BLE001 - foreign code
            _log.exception("the hook %s (%s) cannot be loaded; this goes on without it", point.name, point.value)
            continue
        if callable(found):
            yield point.name, found
        else:
            _log.warning("the hook %s (%s) is left out: it is no function", point.name, point.value)
