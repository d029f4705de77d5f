"""The kinds that tell how an answer came about: what a model was shown and said, and what was thought of a draft."""

from anima.wire.body import Body, of_kind


@of_kind("model_recorded")
class ModelRecorded(Body):
    """What one call of a model consisted of, by digest; the parts lie on a shelf of the agent, where they are kept a while.

    Stored together with the call's `model_called`, so a call that counts has its record, if records are kept.
    """

    turn: str
    step: int
    request: str  #: digest of the request's list of parts: the same request has the same digest
    frames: str  #: digest of the deltas, as the provider's adapter told them
    shelf: str  #: file below state/record/AGENT that holds the parts
    model: str = ""  #: who was asked
    round: int = 0  #: 0 for thinking; n for the judgement of the turn's draft n
    error: str = ""  #: how the call failed, if it did: class and sentence
    bytes_new: int = 0  #: how much the shelf grew by it


@of_kind("reflected")
class Reflected(Body):
    """What was thought of a draft before it left. The draft of a good verdict is the answer."""

    turn: str
    round: int  #: 1 for the turn's first draft
    step: int  #: the call of the model that wrote the draft
    draft: str
    verdict: str  #: good, revise, unclear or failed; only `revise` sends it back
    reason: str = ""  #: what is to be done better, or why there is no verdict
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    duration_s: float = 0.0
    cache_read: int = 0  #: those of `tokens_in` that came from the provider's cache; most of them, if the same model judges
    cache_written: int = 0  #: and those that were put there
    cost_usd: float = -1.0  #: as in model_called
    reservation: str = ""
    restarts: int = 0


@of_kind("chore_called")
class ChoreCalled(Body):
    """A small chore beside the conversation was left to a model: what it was, and what it cost."""

    turn: str  #: for which it was done
    chore: str  #: appraisal or summary
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    duration_s: float = 0.0
    cache_read: int = 0
    cache_written: int = 0
    cost_usd: float = -1.0  #: as in model_called
    reservation: str = ""
    restarts: int = 0
