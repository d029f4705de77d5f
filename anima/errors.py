"""Everything that can go wrong, sorted by what the one who catches it should do, and the words a process leaves with.

A message is one sentence for a person: what happened, where, and what to do about it.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes are words; the supervisor and systemd act on them."""

    OK = 0  #: done as asked; a permanent child is started again, a transient one is not
    BUG = 1  #: our own mistake; the supervisor restarts with back-off
    USAGE = 2  #: the command line made no sense (commands only)
    TRY_LATER = 75  #: something needed is away (sysexits EX_TEMPFAIL); restarted with back-off
    CONFIG = 78  #: configuration or data is wrong (sysexits EX_CONFIG); never restarted until it changes
    ALREADY = 100  #: a second supervisor for the same home (s6's word for "you called me wrongly")


class AnimaError(Exception):
    """Root of all errors this program raises on purpose."""

    exit = Exit.BUG


class ConfigError(AnimaError):
    """A setting, a file or stored data is wrong. Show it; do not try again until it changed."""

    exit = Exit.CONFIG


class Unavailable(AnimaError):
    """Someone needed is not there or cannot act now. Try again later; nothing was done."""

    exit = Exit.TRY_LATER


class Refused(AnimaError):
    """The request was understood and will not be done. Explain it to the one who asked."""


class Spent(AnimaError):
    """A limit, a deadline or a budget is used up. Stop the turn and say so."""


class BadMessage(AnimaError):
    """Bytes from elsewhere that make no sense. Count it, drop it, go on."""
