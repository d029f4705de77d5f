"""Following the journal without missing an event: the decisions, free of sockets.

The subscription is the doorbell, the journal the truth. A follower delivers what arrives as long as it is contiguous;
at any gap, from whatever cause, it falls *behind* and has to read pages until it has seen everything it heard of.
"""

import asyncio
from collections import deque

from anima.wire.events import Event
from anima.wire.whispers import Whisper

INBOX_MAX = 1_000  # a slower consumer falls behind and reads pages instead: memory stays bounded


class Follower:
    """The state of one `Bus.follow`. `tail` is the seq up to which everything was queued or read."""

    def __init__(self, agent: str | None, since: int) -> None:
        self.agent = agent
        self.tail = since
        self.behind = True  # what happened before the subscription took hold is read first
        self.inbox: deque[Event | Whisper] = deque()
        self.wake = asyncio.Event()
        self._heard = since  # the highest seq known to exist for us

    def hear(self, previous: int, seq: int, event: Event | None) -> None:
        """An event was published; `previous` is the seq before it in what we follow, None stands for a doorbell."""
        if seq <= self.tail:
            return
        self._heard = max(self._heard, seq)
        if not self.behind and event is not None and previous <= self.tail and len(self.inbox) < INBOX_MAX:
            self.inbox.append(event)
            self.tail = seq
        else:
            self.behind = True
        self.wake.set()

    def overhear(self, whisper: Whisper) -> None:
        """A whisper passed; dropped when nobody is listening fast enough."""
        if len(self.inbox) < INBOX_MAX:
            self.inbox.append(whisper)
            self.wake.set()

    def beat(self, head: int) -> None:
        """The journal says how far we should be."""
        if head > self.tail:
            self._heard = max(self._heard, head)
            self.behind = True
            self.wake.set()

    def rewind(self, head: int) -> None:
        """The journal came back with less than we have seen (a damaged disk); go on from what is there."""
        self.tail = self._heard = min(self.tail, head)

    def took(self, last: int, head: int, *, more: bool) -> None:
        """A page was read up to `last`; the journal's head was `head` then."""
        self.tail = max(self.tail, last)
        if not more:
            self.tail = max(self.tail, head)
            self.behind = self._heard > self.tail
