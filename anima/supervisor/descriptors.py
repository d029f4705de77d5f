"""What the root sees to before it opens anything: descriptors 0 to 2, and how many it may have."""

import os
import resource
import sys
from contextlib import suppress


def open_standard() -> None:
    """Fill descriptors 0 to 2 if the caller closed them: a socket of ours must never become somebody's stderr."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:  # noqa: PLR2004 - the first that is no standard one
            os.close(fd)
            break
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the process lives


def raise_limit() -> int:
    """Allow this process as many open files as it may have; what the soft limit was before, for the children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS caps it below the hard limit; then the old one stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
