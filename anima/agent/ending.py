"""What a turn comes to, before it is stored: its end, and what was thought of its draft."""

from dataclasses import dataclass

from anima.agent.tape import Tape
from anima.wire.events import ModelCalled, Reflected


@dataclass(frozen=True)
class Ending:
    """How a turn ends: what is stored together with its `turn_ended`."""

    outcome: str  #: answered, interrupted or failed
    reason: str = ""  #: a sentence, when it was not answered
    text: str = ""  #: of the answer, or of what there was of it
    called: ModelCalled | None = None  #: the call that brought the answer


@dataclass(frozen=True)
class Judged:
    """A verdict on a draft, with what was recorded of the call that brought it."""

    reflected: Reflected
    tape: Tape
