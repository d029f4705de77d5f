"""The kinds of event that say what a model shall see of a conversation."""

from anima.wire.body import Body, of_kind


@of_kind("event_pinned")
class EventPinned(Body):
    """A person wants an event of this session always shown to the model, however old it becomes; or no longer."""

    event: str  #: id of the event
    text: str  #: what it said
    pinned: bool = True
