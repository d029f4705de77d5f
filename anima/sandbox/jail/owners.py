"""User namespaces in which the owner of a folder is the jail's user: they let it work there without being anybody.

Covers: files that belong to the folder's owner appear as the jail's own, and what it makes belongs to the owner outside, while
the process itself is a user who owns nothing on this machine (idmapped mounts, since Linux 5.12).
Does not cover: files of third users in the same folder: they keep their owners, and their rights.
"""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from anima.sandbox.jail import syscalls
from anima.sandbox.jail.machine import ID_LAST, JAIL_UID, JAIL_UID_LAST

Owner = tuple[int, int]  #: uid, gid


@dataclass(frozen=True, slots=True)
class Uids:
    """A range of users that no other zygote of this machine has."""

    first: int
    claim: socket.socket  #: its name is the claim; the kernel frees it with this process


def claim_uids(count: int) -> Uids:
    """Users for `count` jails at once: limits count by user, so jails of two houses must not be the same one."""
    blocks = (JAIL_UID_LAST - JAIL_UID) // count
    start = os.getpid() % blocks
    for block in (*range(start, blocks), *range(start)):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0anima-jail-users-{block}")  # an abstract name: taken once, whoever asks
        except OSError:
            claim.close()
            continue
        return Uids(JAIL_UID + block * count, claim)
    raise OSError("no users are left for jails")


@dataclass(slots=True)
class Owners:
    """The namespaces made so far, kept open: one costs a process, and there are few owners."""

    _fds: dict[tuple[Owner, int], int] = field(default_factory=dict)

    def maps(self, paths: Iterable[str], jail_uid: int) -> dict[Owner, int]:
        """For the owner of each path the namespace in which he is `jail_uid`. Raises OSError if a path is not there."""
        found: dict[Owner, int] = {}
        for path in paths:
            told = os.stat(path)
            owner = (told.st_uid, told.st_gid)
            if (owner, jail_uid) not in self._fds:
                self._fds[owner, jail_uid] = _namespace(owner, jail_uid)
            found[owner] = self._fds[owner, jail_uid]
        return found


def exchange(one: int, other: int) -> str:
    """The lines of a uid_map in which two ids have changed places, and all others stay as they are."""
    low, high = sorted((one, other))
    lines = [
        (0, 0, low),
        (low, high, 1),
        (low + 1, low + 1, high - low - 1),
        (high, low, 1),
        (high + 1, high + 1, ID_LAST - high),
    ]
    if low == high:
        lines = [(0, 0, ID_LAST + 1)]
    return "".join(f"{inner} {outer} {count}\n" for inner, outer, count in lines if count > 0)


def _namespace(owner: Owner, jail_uid: int) -> int:
    """A user namespace that nobody lives in; only its map is wanted."""
    waits, goes = os.pipe2(os.O_CLOEXEC)
    pid = syscalls.clone(syscalls.CLONE_NEWUSER)
    if pid == 0:
        os.close(goes)
        os.read(waits, 1)  # until the map is written and the namespace held by its descriptor
        os._exit(0)
    try:
        Path(f"/proc/{pid}/uid_map").write_text(exchange(owner[0], jail_uid))
        Path(f"/proc/{pid}/gid_map").write_text(exchange(owner[1], jail_uid))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(goes)
        os.close(waits)
        os.waitpid(pid, 0)
