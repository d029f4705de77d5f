"""Several models in a row that answer as one: where the first cannot, the next begins, and the reply says which it was."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from anima.clock import SYSTEM, Clock
from anima.errors import AnimaError, ConfigError, Refused, Unavailable
from anima.nous.model import Delta, Done, Model, Overflow, Request, Restart

REST_S = 60.0  #: so long a model that was away is left alone while another one can answer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """One of the models: what it is called, and how it is opened when it is first needed."""

    name: str
    open: Callable[[], Model]


class Chain:
    """The models in the order in which they are asked. Opening one may fail; that is a failure like another."""

    def __init__(self, name: str, links: tuple[Link, ...], clock: Clock = SYSTEM) -> None:
        self._name = name
        self._links = links
        self._clock = clock
        self._models: dict[int, Model] = {}
        self._rests_until: dict[int, float] = {}

    @property
    def name(self) -> str:
        """What was configured; which model answered is told by Done."""
        return self._name

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(repr(self._models.get(at, each.name)) for at, each in enumerate(self._links))}>"

    def open(self) -> None:
        """Open the first model. Raises ConfigError as its opener does, if there is no other one."""
        try:
            self._model(0)
        except ConfigError:
            if len(self._links) == 1:
                raise

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model. A conversation that is too long is told at once: a shorter one may suit the first model."""
        failures: list[AnimaError] = []
        for place, following in self._order():
            try:
                async with aclosing(self._model(place).stream(request)) as deltas:  # type: ignore[type-var]
                    async for delta in deltas:
                        yield self._signed(delta, place) if isinstance(delta, Done) else delta
                self._rests_until.pop(place, None)
                return
            except Overflow:
                raise
            except (Refused, Unavailable, ConfigError) as error:
                failures.append(error)
                if isinstance(error, Unavailable):
                    self._rests_until[place] = self._clock.monotonic() + REST_S
            if following is None:
                raise self._given_up(failures)
            reason = f"{failures[-1]}; {self._links[following].name} answers instead"
            _log.warning("%s cannot answer: %s", self._links[place].name, reason)
            yield Restart(reason)

    async def close(self) -> None:
        """Close what was opened."""
        for model in self._models.values():
            await model.close()

    def _order(self) -> list[tuple[int, int | None]]:
        """The places to ask, each with the one that follows; those that rest come last."""
        now = self._clock.monotonic()
        places = sorted(range(len(self._links)), key=lambda place: self._rests_until.get(place, 0.0) > now)
        return list(zip(places, [*places[1:], None], strict=True))

    def _model(self, place: int) -> Model:
        if place not in self._models:
            self._models[place] = self._links[place].open()
        return self._models[place]

    def _signed(self, done: Done, place: int) -> Done:
        return replace(done, model=done.model or self._models[place].name)

    def _given_up(self, failures: list[AnimaError]) -> AnimaError:
        """The one sentence about all of them; it may pass if one of them may."""
        if len(failures) == 1:
            return failures[0]
        sort = Unavailable if any(isinstance(each, Unavailable) for each in failures) else type(failures[0])
        return sort(f"none of {len(failures)} models can answer: {'; '.join(map(str, failures))}")
