"""The kind of event that says what stood in an agent's mind beside the conversation when its model was asked."""

from dataclasses import field
from typing import Any

from anima.wire.body import Body, of_kind


@of_kind("brought_to_mind")
class BroughtToMind(Body):
    """From this step of the turn on the model is shown these inserts and given these means, until another such event.

    A fact before the model sees it: whoever takes the turn up, or plays it again, shows the same.
    """

    turn: str
    step: int
    inserts: list[Any]  #: [place, name, text] each; the places are those of anima/agent/inserts.py
    thinking_tokens_max: int = 0  #: as the request says it; 0: as the model does by itself
    steps_max: int = 0  #: model calls the turn may take; 0: as configured
    model: str = ""  #: who is asked; "" for the agent's own
    recall_share: float = 1.0  #: of the memories that come to mind
    recalled: list[Any] = field(default_factory=list)  #: ids of the memories that came to mind at this step
