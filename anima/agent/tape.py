"""What goes between an agent and its model, overheard and kept: one tape per call, one recorder per life.

A call that cannot be recorded is made all the same; the log says so once an hour.
"""

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from anima.agent.shelf import Shelf
from anima.agent.spelling import digest, packed, parts_of, spelled_deltas
from anima.errors import AnimaError
from anima.limits import record_part_bytes_max
from anima.nous.model import Delta, Request
from anima.wire.records import ModelRecorded

_log = logging.getLogger(__name__)
_GRUMBLE_S = 3_600.0


@dataclass(slots=True)
class Tape:
    """One call of a model: what it was shown and what it said."""

    request: Request | None = None
    about: dict[str, Any] = field(default_factory=dict)  #: what shaped the request besides; plain values
    deltas: list[Delta] = field(default_factory=list)
    model: str = ""  #: who is asked; "" until then for the one that thinks
    thinking_tokens_max: int = -1  #: of the call; -1: as configured
    error: str = ""

    async def overhear(self, stream: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        """The stream, unchanged and without delay."""
        try:
            async for delta in stream:
                self.deltas.append(delta)
                yield delta
        except AnimaError as error:
            self.error = f"{type(error).__name__}: {error}"
            raise


class Recorder:
    """Puts tapes on the shelf; with no shelf, nothing is kept."""

    def __init__(self, shelf: Shelf | None) -> None:
        self._shelf = shelf
        self._quiet_until = 0.0

    def keep(self, tape: Tape | None, turn: str, step: int, round_: int = 0) -> ModelRecorded | None:
        """Store what is on the tape; the event that tells of it, or None if there is nothing to tell."""
        if self._shelf is None or tape is None or tape.request is None:
            return None
        listed, parts = parts_of(tape.request)
        about = packed(tape.about)
        listed["about"] = digest(about)
        manifest, frames = packed(listed), spelled_deltas(tape.deltas)
        parts |= {digest(data): data for data in (about, manifest, frames)}
        try:
            if (largest := max(map(len, parts.values()))) > record_part_bytes_max:
                raise ValueError(f"a part of it has {largest} bytes; {record_part_bytes_max} are kept at most")
            size = self._shelf.put(parts)
        except (OSError, ValueError) as error:
            self._grumble(error)
            return None
        return ModelRecorded(
            turn, step, digest(manifest), digest(frames), self._shelf.name, tape.model, round_, tape.error, size
        )

    def close(self) -> None:
        """Let go of the shelf."""
        if self._shelf:
            self._shelf.close()

    def _grumble(self, error: Exception) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _GRUMBLE_S
            _log.warning("a call of a model is not recorded: %s; the turn goes on, but cannot be replayed", error)
