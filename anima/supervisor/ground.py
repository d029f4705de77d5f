"""What a root stands on before it begins: standard descriptors, enough open files, and perhaps systemd's journal."""

import os
import resource
import sys
from contextlib import suppress

from anima import journald
from anima.journald import Journal


def find_journal() -> Journal | None:
    """Systemd's journal, if that reads our stderr. Else its variable is taken away: our children trust it."""
    if journald.is_ours(os.environ):
        return Journal()
    os.environ.pop(journald.STREAM, None)
    return None


def open_standard_fds() -> None:
    """Fill descriptors 0 to 2 if the caller closed them: a socket of ours must never become somebody's stderr."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:  # noqa: PLR2004 - the first that is no standard one
            os.close(fd)
            break
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the process lives


def raise_open_files() -> int:
    """Allow this process as many open files as it may have; what the soft limit was before, for the children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS caps it below the hard limit; then the old one stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
