"""The kinds of event that only somebody who feels cares about."""

from typing import Any

from anima.wire.body import Body, of_kind


@of_kind("stimulus")
class Stimulus(Body):
    """Something that is felt and that no other event already says: a memory's mood, a nudge by hand, a package's finding."""

    stimulus: str  #: one of anima.wire.feelings.STIMULI
    strength: float = 1.0  #: above 0, up to 10
    reason: str = ""  #: a sentence


@of_kind("soul_changed")
class SoulChanged(Body):
    """The matrix of gains is another from here on."""

    gains: dict[str, Any]  #: the whole matrix: {stimulus: {hormone: gain}}; what is not named is 1.0
    reason: str  #: a sentence: what moved it
    archetype: str = ""  #: if it was set to one
    basis: int = 0  #: seq of the event that moved it, if it grew by itself
