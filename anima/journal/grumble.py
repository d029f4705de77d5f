"""Counting what should not happen, and saying so at most once a minute: a flood of nonsense must not become a flood of log."""

import logging
import time

EVERY_S = 60.0


class Grumble:
    """A counter with a voice."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self.count = 0
        self._log = log
        self._what = what
        self._said_at = float("-inf")

    def __call__(self, reason: object) -> None:
        """Count one more; `reason` is told if it is time to speak."""
        self.count += 1
        if time.monotonic() - self._said_at >= EVERY_S:
            self._said_at = time.monotonic()
            self._log.warning("%s (%d so far): %s", self._what, self.count, reason)
