"""Landlock: rights to files, TCP, signals and abstract sockets, held by the kernel beside the mount view.

Covers: reading, writing and running files outside the places named, even if a mount were shown by mistake; TCP without
the network layer (ABI 4); signals to processes outside (ABI 6); abstract Unix sockets of others (ABI 6).
Does not cover: connecting to a Unix socket by its path (before ABI 9: the mount view hides them), UDP, metadata (stat, chmod
and chown below an allowed place), what is already open.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from anima.sandbox.jail import syscalls

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8
_MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = 1 << 9, 1 << 10, 1 << 11, 1 << 12
_REFER, _TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

_FIRST = (1 << 13) - 1  # what ABI 1 knows
_SINCE = {2: _REFER, 3: _TRUNCATE, 5: IOCTL_DEV}
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT, _SCOPE_SIGNAL = 1, 2
_SIZES = {1: 8, 4: 16, 6: 24}  # of struct landlock_ruleset_attr
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | IOCTL_DEV  # what may be said of something that is no folder

READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (_FIRST | _REFER | _TRUNCATE) & ~(_MAKE_CHAR | _MAKE_BLOCK)
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV | _TRUNCATE


@dataclass(frozen=True, slots=True)
class Reach:
    """What one ABI of the kernel handles."""

    files: int
    net: int
    scoped: int
    size: int


def reach(abi: int, *, network: bool) -> Reach:
    """All that `abi` can hold; with `network` TCP connections are free, but nothing may listen."""
    files = _FIRST
    for since, right in _SINCE.items():
        files |= right if abi >= since else 0
    net = 0 if abi < _TCP_SINCE else _BIND_TCP if network else _BIND_TCP | _CONNECT_TCP
    scoped = _SCOPE_ABSTRACT | _SCOPE_SIGNAL if abi >= _SCOPES_SINCE else 0
    return Reach(files, net, scoped, max(size for since, size in _SIZES.items() if abi >= since))


def restrict(abi: int, places: Iterable[tuple[str, int]], *, network: bool) -> None:
    """Hold this process to `places`, (path, rights) each, for good.

    Needs no_new_privs. Raises OSError if the kernel will not, or a place is not there.
    """
    held = reach(abi, network=network)
    ruleset = syscalls.landlock_ruleset(held.files, held.net, held.scoped, held.size)
    try:
        for path, rights in places:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                folder = stat.S_ISDIR(os.stat(fd).st_mode)
                syscalls.landlock_allow(ruleset, rights & held.files & (~0 if folder else _FILE_RIGHTS), fd)
            finally:
                os.close(fd)
        syscalls.landlock_restrict(ruleset)
    finally:
        os.close(ruleset)
