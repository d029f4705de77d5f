"""What is known about a tool without calling it: what the agent tells its model, and the sandbox its policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Card:
    """One tool. Effects and risks as the tool declared them; see anima/sandbox/intents.py for what effects allow."""

    name: str
    summary: str  #: one sentence for a model, then what else it must know
    schema: Mapping[str, Any]  #: JSON Schema 2020-12 of the arguments, closed
    effect: str  #: pure, idempotent, checkable or unsafe
    risk: str  #: safe, risky or dangerous
    wall_s: float
    output_bytes: int
    place: str = "call"  #: call: a jailed child of its own; host: the long-lived one of its session; runtime: no child
    network: bool = False  #: whether its jail needs the network
    prepares: bool = False  #: whether something must be found out and stored before it starts

    def fields(self) -> dict[str, Any]:
        """A plain map for the wire; `Card(**fields)` is the way back."""
        return {name: getattr(self, name) for name in self.__slots__}
