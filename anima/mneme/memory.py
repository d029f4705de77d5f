"""What is remembered, what is found, and from where it is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing that is remembered."""

    id: str  #: AGENT/ID, see anima/wire/memories.py
    agent: str
    kind: str  #: episode, fact, snapshot1, snapshot2, goal1, goal2 or pin
    session: str  #: where it was said; "" is everywhere
    speaker: str
    text: str
    ts: float  #: seconds since 1970, UTC
    seq: int = 0  #: of the journal's event it comes from; 0 if it was imported
    importance: float = 0.5  #: 0 to 1
    shared: bool = False  #: may surface in other sessions
    mood: Mapping[str, float] = field(default_factory=dict)  #: how far each hormone was from its rest
    source: str = ""  #: who said so, what led to it, or the file it was imported from
    state: str = "live"  #: live, superseded or forgotten
    by: str = ""  #: id of what superseded it
    accessed: int = 0  #: how often it came to mind
    data: Mapping[str, Any] = field(default_factory=dict)  #: what else is known, by kind


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that fits a query."""

    memory: Memory
    score: float  #: more is better; comparable within one search
    fit: float = 1.0  #: 0 to 1, how well it fits by itself; see ranking.Ranked
    parts: Mapping[str, float] = field(default_factory=dict)  #: what made it


@dataclass(frozen=True, slots=True)
class Lens:
    """Which memories are looked at, and from where."""

    session: str | None = None  #: what that conversation may know: its own, what is shared, what was said nowhere; None: all
    only_session: bool = False  #: its own alone
    kinds: tuple[str, ...] = ()  #: () means all
    since: float | None = None  #: seconds since 1970: nothing older
    mood: Mapping[str, float] = field(default_factory=dict)  #: of the one who looks: what was kept in a like mood comes easier
    now: float = 0.0  #: seconds since 1970: what is old comes harder; 0 if age does not matter


EVERYTHING = Lens()
