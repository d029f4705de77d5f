"""The head beat: when it is due and what it says. A follower that lost a message learns it from here, within 2 s."""

from anima.limits import beat_active_s, beat_idle_s, beat_linger_s
from anima.wire import frames


class Beats:
    """What changed lately, and the times of the beats. All times are monotonic seconds."""

    def __init__(self, boot: str, opened: int, now: float) -> None:
        self.due_at = now
        self._boot = boot
        self._opened = opened
        self._changed_at = now
        self._recent: dict[bytes, tuple[int, float]] = {}

    def changed(self, topic: bytes, seq: int, now: float) -> None:
        """An event with `seq` was published on `topic`."""
        self._recent[topic] = (seq, now)
        self._changed_at = now
        self.due_at = min(self.due_at, now + beat_active_s)

    def welcome(self, topic: bytes, head: int) -> list[bytes]:
        """The frames that tell one newcomer, who alone listens to `topic`, that it is heard and where the journal is."""
        return [topic, self._said(head)]

    def beat(self, head: int, now: float) -> list[bytes]:
        """The frames of the beat that is due at `now`; the next one is due later."""
        self._recent = {topic: (seq, at) for topic, (seq, at) in self._recent.items() if now - at < beat_linger_s}
        self.due_at = now + (beat_idle_s if now - self._changed_at >= beat_linger_s else beat_active_s)
        return [frames.BEAT_TOPIC, self._said(head)]

    def _said(self, head: int) -> bytes:
        return frames.pack([self._boot, self._opened, head, {topic: seq for topic, (seq, _) in self._recent.items()}])
