"""What an event says: one frozen body per kind, and the registry of all kinds.

A body's shape is worked out once, when its class is declared; reading one checks it field by field.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar, Self, TypeVar

from anima.errors import BadMessage


class Body:
    """What an event says. Subclasses are frozen dataclasses whose fields are str, int, float, bool, list or dict."""

    kind: ClassVar[str]
    _shape: ClassVar[tuple[tuple[str, tuple[type, ...], bool], ...]]

    def fields(self) -> dict[str, Any]:
        """The data map of the event; shallow, in the order of declaration."""
        return {name: getattr(self, name) for name, _, _ in self._shape}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The body in `data`. Unknown keys are left out (a newer producer); a missing or mistyped one raises BadMessage."""
        values = {}
        for name, accepted, required in cls._shape:
            if name in data:
                value = data[name]
                if type(value) not in accepted:
                    raise BadMessage(f"{cls.kind}.{name} is {type(value).__name__}, not {accepted[0].__name__}")
                values[name] = value
            elif required:
                raise BadMessage(f"{cls.kind} lacks '{name}'")
        return cls(**values)


KINDS: dict[str, type[Body]] = {}  #: every kind there is, by name

B = TypeVar("B", bound=Body)


@typing.dataclass_transform(frozen_default=True)
def of_kind(name: str) -> Callable[[type[B]], type[B]]:
    """Register a body under its kind, as a frozen dataclass with its shape worked out once."""

    def register(declared: type[B]) -> type[B]:
        frozen = dataclass(frozen=True)(declared)
        hints = typing.get_type_hints(frozen)
        frozen.kind = name
        frozen._shape = tuple(  # noqa: SLF001 - our own
            (each.name, _accepted(hints[each.name]), each.default is MISSING and each.default_factory is MISSING)
            for each in dataclasses.fields(frozen)  # type: ignore[arg-type]
        )
        KINDS[name] = frozen
        return frozen

    return register


def _accepted(hint: Any) -> tuple[type, ...]:
    plain = typing.get_origin(hint) or hint
    return (float, int) if plain is float else (plain,)


def read_body(kind: str, data: Mapping[str, Any]) -> Body:
    """The body of an event of `kind`. Raises BadMessage if the kind is unknown or the data malformed."""
    found = KINDS.get(kind)
    if found is None:
        raise BadMessage(f"unknown kind of event '{kind}'")
    return found.read(data)
