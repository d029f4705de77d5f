"""The head beat: when it is due and what it says. A follower that lost a message learns it from here, within 2 s."""

from anima.limits import beat_active_s, beat_idle_s, beat_linger_s
from anima.wire import frames

WELCOMES_PER_S_MAX = 200  # a beat greets each new subscriber; many at once share one


class Beats:
    """What changed lately, and the times of the beats. All times are monotonic seconds."""

    def __init__(self, boot: str, now: float) -> None:
        self.due_at = now
        self._boot = boot
        self._changed_at = now
        self._beaten_at = now - 1.0
        self._recent: dict[bytes, tuple[int, float]] = {}

    def changed(self, topic: bytes, seq: int, now: float) -> None:
        """An event with `seq` was published on `topic`."""
        self._recent[topic] = (seq, now)
        self._changed_at = now
        self.due_at = min(self.due_at, now + beat_active_s)

    def greet(self, now: float) -> None:
        """Someone subscribed: a beat soon tells it what it missed before its subscription took hold."""
        self.due_at = min(self.due_at, max(now, self._beaten_at + 1 / WELCOMES_PER_S_MAX))

    @property
    def idle(self) -> bool:
        """Whether nothing changed lately, as of the last beat."""
        return self._beaten_at - self._changed_at >= beat_linger_s

    def beat(self, head: int, now: float) -> list[bytes]:
        """The frames of the beat that is due at `now`; the next one is due later."""
        self._recent = {topic: (seq, at) for topic, (seq, at) in self._recent.items() if now - at < beat_linger_s}
        self._beaten_at = now
        self.due_at = now + (beat_idle_s if self.idle else beat_active_s)
        return [frames.BEAT_TOPIC, frames.pack([self._boot, head, {topic: seq for topic, (seq, _) in self._recent.items()}])]
