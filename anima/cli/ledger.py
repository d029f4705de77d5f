"""The ledger: every accepted message is answered, waiting, interrupted or failed, or something is wrong.

A pure fold over `user_message`, `agent_message` and `turn_ended`; a turn bears the id of the message it settles.
"""

from dataclasses import asdict, dataclass, field

from anima.wire.events import Event

KINDS = ("user_message", "agent_message", "turn_ended")  #: what the fold wants to see


@dataclass(frozen=True)
class Balance:
    """How many messages are in which condition. accepted = answered + waiting + interrupted + failed + lost."""

    accepted: int = 0
    answered: int = 0
    waiting: int = 0
    interrupted: int = 0
    failed: int = 0
    lost: int = 0  #: settled by the agent's own account, yet never ended; or ended as answered without an answer
    doubled: int = 0  #: ended or answered more than once; counted beside the above

    @property
    def ok(self) -> bool:
        """Whether nothing is lost and nothing doubled."""
        return not self.lost and not self.doubled

    def fields(self) -> dict[str, int]:
        """As other programs read it."""
        return asdict(self)


@dataclass(slots=True)
class _Entry:
    agent: str
    seq: int
    ends: int = 0
    answers: int = 0
    outcome: str = ""


@dataclass
class Ledger:
    """Feed it events in the order of the journal, then take the balance."""

    _entries: dict[str, _Entry] = field(default_factory=dict)
    _settled_seq: dict[str, int] = field(default_factory=dict)  #: by agent

    def add(self, event: Event) -> None:
        """Take the next event; those of other kinds change nothing."""
        if event.kind == "user_message":
            self._entries.setdefault(event.id, _Entry(event.agent, event.seq))
        elif event.kind == "agent_message" and (entry := self._entries.get(event.data.get("turn", ""))):
            entry.answers += 1
        elif event.kind == "turn_ended":
            settled = event.data.get("settled_seq", 0)
            self._settled_seq[event.agent] = max(self._settled_seq.get(event.agent, 0), settled)
            if entry := self._entries.get(event.data.get("turn", "")):
                entry.ends += 1
                entry.outcome = event.data.get("outcome", "")

    def balance(self) -> Balance:
        """The count so far."""
        counts = dict.fromkeys(Balance().fields(), 0)
        counts["accepted"] = len(self._entries)
        for entry in self._entries.values():
            counts[self._condition(entry)] += 1
            counts["doubled"] += entry.ends > 1 or entry.answers > 1
        return Balance(**counts)

    def unbalanced(self) -> list[tuple[str, int, str]]:
        """The messages behind `lost` and `doubled`: agent, seq, what is wrong."""
        found = []
        for entry in self._entries.values():
            if self._condition(entry) == "lost":
                found.append((entry.agent, entry.seq, "lost"))
            if entry.ends > 1 or entry.answers > 1:
                found.append((entry.agent, entry.seq, "doubled"))
        return found

    def _condition(self, entry: _Entry) -> str:
        if not entry.ends:
            return "lost" if entry.seq <= self._settled_seq.get(entry.agent, 0) else "waiting"
        if entry.outcome == "answered":
            return "answered" if entry.answers else "lost"
        return entry.outcome if entry.outcome in {"interrupted", "failed"} else "lost"
