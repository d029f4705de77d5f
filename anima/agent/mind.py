"""What every turn of one agent shares."""

from collections.abc import Callable
from dataclasses import dataclass

from anima.agent.history import Histories
from anima.agent.inbox import Inbox
from anima.agent.purse import Purse
from anima.agent.senses import Sense
from anima.agent.thinker import Thinker
from anima.bus.bus import Bus
from anima.config.schema import Agent


@dataclass(frozen=True)
class Mind:
    """What every turn of one agent shares."""

    name: str
    settings: Agent
    bus: Bus
    thinker: Thinker
    inbox: Inbox
    status: Callable[[str], None]
    purse: Purse
    room: Callable[[], None]  #: a turn began to wait for a tool, so another one may find room
    histories: Histories
    senses: Sense
