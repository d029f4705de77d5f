"""Feelings that installed packages bring: entry points of the group `anima.feelings`.

    [project.entry-points."anima.feelings"]
    frustration = "anima_feelings_frustration:feelings"

    feelings(event: Event) -> Iterable[tuple[stimulus, strength, reason]]

A plain function, called in the process of thymos, in a thread of its own, once for every event of an agent that is felt. What
it finds is stored as an event of kind `stimulus`, so levels follow from the journal alone, with or without the package. One
that raises is left out for this event; one that takes longer than `feelings_s` is left out for the rest of this life.
"""

import importlib.metadata
import logging
from collections.abc import Callable, Iterator
from typing import Any

from anima.errors import BadMessage
from anima.ids import derived_id
from anima.limits import feelings_s, feelings_stimuli_max
from anima.process.aside import in_thread
from anima.wire.events import Event, Stimulus, event
from anima.wire.feelings import check_stimulus

_log = logging.getLogger(__name__)
GROUP = "anima.feelings"

Feelings = Callable[[Event], Any]


class Subscribers:
    """The functions of the packages that are installed."""

    def __init__(self, functions: dict[str, Feelings]) -> None:
        self._functions = functions

    def __bool__(self) -> bool:
        return bool(self._functions)

    @property
    def names(self) -> list[str]:
        """Of those that take part."""
        return list(self._functions)

    async def felt(self, happened: Event) -> list[Event]:
        """What the packages find in an event, as events to be stored; their ids follow from it. Never raises."""
        if happened.kind in ("stimulus", "soul_changed"):
            return []  # what is felt already
        return [each for name in list(self._functions) for each in await self._ask(name, happened)]

    async def _ask(self, name: str, happened: Event) -> list[Event]:
        function = self._functions[name]
        try:
            found = await in_thread(lambda: list(function(happened) or ()), feelings_s)
            return [_told(name, happened, place, each) for place, each in enumerate(found[:feelings_stimuli_max])]
        except TimeoutError:
            _log.warning("the feelings of %s took longer than %g s; it is left out until thymos starts anew", name, feelings_s)
            del self._functions[name]
        except (BadMessage, TypeError, ValueError) as error:
            _log.warning("what %s feels of event %d is left out: %s", name, happened.seq, error)
        except Exception:  # noqa: BLE001 - foreign code
            _log.exception("the feelings of %s failed at event %d; this goes on without them", name, happened.seq)
        return []


def _told(name: str, happened: Event, place: int, found: Any) -> Event:
    """The event to be stored. Raises BadMessage, TypeError or ValueError for what is no stimulus."""
    stimulus, strength, reason = found
    check_stimulus(stimulus, float(strength))
    body = Stimulus(stimulus, float(strength), f"{name}: {str(reason)[:200]}")
    id_ = derived_id(happened.id, "feelings", name, place)
    return event(body, agent=happened.agent, session=happened.session, source="thymos", cause=happened.id, id=id_)


def installed() -> Subscribers:
    """All that are installed; what cannot be loaded is named in the log."""
    return Subscribers(dict(_load()))


def _load() -> Iterator[tuple[str, Feelings]]:
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        try:
            found = point.load()
        except Exception:  # noqa: BLE001 - foreign code
            _log.exception("the feelings of %s (%s) cannot be loaded; this goes on without them", point.name, point.value)
            continue
        if callable(found):
            yield point.name, found
        else:
            _log.warning("the feelings of %s (%s) are left out: they are no function", point.name, point.value)
