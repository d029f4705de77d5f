"""What a setting is: a field of a section with a default, a sentence, a unit and bounds."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

Value = str | int | float | bool | tuple[str, ...]  #: a tuple is a TOML list of texts; the empty one means none
V = TypeVar("V", str, int, float, bool, tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Option:
    """What is known about one setting beside its name, type and default."""

    doc: str  #: one sentence for a person
    unit: str = ""
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()  #: the only texts allowed, alone or in a list
    secret: bool = False  #: never shown, never logged


def option(default: V, doc: str, unit: str = "", **bounds: Any) -> V:
    """A field of a section: its default, a sentence that says what it does, its unit, and min, max, choices or secret."""
    about = Option(doc, unit, **bounds)
    return field(default=default, metadata={"option": about}, repr=not about.secret)


def options(section: Any) -> dict[str, tuple[Value, Option]]:
    """Default and description of each option of a section (class or instance) by name, in the order of declaration."""
    return {
        each.name: (cast("Value", each.default), each.metadata["option"])
        for each in dataclasses.fields(section)
        if "option" in each.metadata
    }


def inner(section: Any) -> dict[str, type]:
    """The sections that stand within a section, as tables of their own, by name."""
    return {each.name: each.metadata["section"] for each in dataclasses.fields(section) if "section" in each.metadata}
