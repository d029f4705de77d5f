"""Following the journal without missing an event: the decisions, free of sockets.

The subscription is the doorbell, the journal the truth. A follower delivers what arrives as long as it is contiguous;
at any gap, from whatever cause, it falls *behind* and has to read pages until it has seen everything it heard of. It is in
*doubt* when it may not even have heard of a gap: the journal was born anew, or nothing was heard for too long.
"""

import asyncio
from collections import deque

from anima.wire.events import Event
from anima.wire.whispers import Whisper

INBOX_MAX = 1_000  # a slower consumer falls behind and reads pages instead: memory stays bounded


class Follower:
    """The state of one `Bus.follow`. `tail` is the seq up to which everything was queued or read."""

    def __init__(self, agent: str | None, since: int, *, whispers: bool = False) -> None:
        self.agent = agent
        self.tail = since
        self.behind = True  # what happened before the subscription took hold is read first
        self.inbox: deque[Event | Whisper] = deque()
        self.wake = asyncio.Event()
        self._heard = since  # the highest seq known to exist for us
        self._whispers = whispers
        self._doubted = False  # since the last page was asked for
        self._opened: int | None = None  # where a new life of the journal began, if we have not gone back to there yet

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
        if self._whispers and len(self.inbox) < INBOX_MAX:
            self.inbox.append(whisper)
            self.wake.set()

    def beat(self, head: int) -> None:
        """The journal says how far we should be."""
        if head > self.tail:
            self._heard = max(self._heard, head)
            self.behind = True
            self.wake.set()

    def doubt(self, opened: int | None = None) -> None:
        """Something may have been missed without a trace. `opened` is where a new life of the journal began."""
        if opened is not None:
            self._opened = opened if self._opened is None else min(self._opened, opened)
        self._doubted = self.behind = True
        self.wake.set()

    def ask(self) -> int:
        """A page is about to be asked for, which settles all doubts so far.

        Returns the seq from which all that was seen is lost: a damaged disk took it back, and what comes has its numbers
        now. 0 if nothing is, as ever.
        """
        opened, self._opened, self._doubted = self._opened, None, False
        if opened is None:
            return 0
        self._heard = self.tail  # what was heard of in the old life may never come; the page will tell
        return self.rewind(opened) if opened < self.tail else 0

    def rewind(self, head: int) -> int:
        """Nothing after `head` is what we have seen there: go on from `head`. Returns the seq of the first one lost."""
        self.tail = self._heard = min(self.tail, head)
        return head + 1

    @property
    def overtaken(self) -> bool:
        """Whether the journal began a new life since the page was asked for, which may be of either life."""
        return self._opened is not None

    def took(self, last: int, head: int, *, more: bool) -> None:
        """A page was read up to `last`; the journal's head was `head` then."""
        self.tail = max(self.tail, last)
        if not more:
            self.tail = max(self.tail, head)
            self.behind = self._heard > self.tail or self._doubted
