"""The kinds of event that money and its like are told by: what a call may cost, before it is made, and the kill switch.

budget_reserved -> model_called(reservation)   the usual: what it really took
budget_reserved -> budget_released             the provider turned the call away: it took nothing
budget_reserved -> (nothing)                   a death, or a stream that was cut off: all that was reserved is spent
"""

from anima.wire.body import Body, of_kind

UNKNOWN_USD = -1.0  #: a price that nobody knows; never to be taken for nothing


@of_kind("budget_reserved")
class BudgetReserved(Body):
    """A model is about to be asked; durable before anything is sent. Its event's id is the id of the reservation.

    All figures are what the call takes at most.
    """

    turn: str
    step: int
    model: str
    tokens: int  #: read and written
    cost_usd: float  #: -1 if the price is unknown
    wall_s: float
    cause: str  #: person, heartbeat, trigger or child, who wanted the turn; or memory, which summarises


@of_kind("budget_released")
class BudgetReleased(Body):
    """The call that was reserved for was turned away before a word was said; it costs nothing."""

    reservation: str
    turn: str
    reason: str


@of_kind("agent_frozen")
class AgentFrozen(Body):
    """Nothing more is sent to a model by this agent until it is thawed; messages to it wait."""

    reason: str
    by: str = ""  #: person or purser


@of_kind("agent_thawed")
class AgentThawed(Body):
    """The agent goes on where it was put down."""

    reason: str = ""
    by: str = ""
