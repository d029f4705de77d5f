"""The kind of event that tells of an agent that came from another house."""

from anima.wire.body import Body, of_kind


@of_kind("agent_adopted")
class AgentAdopted(Body):
    """What follows of this agent, up to seq `until`, happened elsewhere: it is read, and nothing is done about it."""

    events: int
    until: int
