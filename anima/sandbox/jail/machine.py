"""What this machine gives a jail: asked once, by the zygote, when it starts.

Covers: which layers can be had at all, and how. A layer that is missing is told with what to do about it.
Does not cover: a folder whose file system refuses something; that shows when it is mounted, and refuses that order.
"""

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from anima.sandbox.jail import syscalls
from anima.sandbox.jail.spec import Layer

JAIL_UID = 1_900_000_000  #: the first of the jails' users: a range that neither people, systemd nor containers use
JAIL_UID_LAST = 2**31 - 1  #: beyond it some programs see negative numbers
ID_LAST = 2**32 - 2
_CAP_SYS_ADMIN, _CAP_SETUID, _CAP_SETGID = 21, 7, 6
_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWCGROUP
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The means there are."""

    rooted: bool  #: with the rights of root: namespaces without a user namespace, and a user of its own for each jail
    abi: int  #: of Landlock
    last_capability: int
    flags: int  #: CLONE_NEW* for the layer `namespaces`; 0 where there are none
    no_namespaces: str  #: why
    no_network: str  #: why there are none of their own
    no_user: str  #: why jails can have no user of their own
    seccomp: bool
    cgroup: str  #: where jails get a cgroup; "" for none


def look(cgroup: str) -> Machine:
    """Try what can be tried."""
    rooted = _rooted()
    flags = _NAMESPACES | (0 if rooted else syscalls.CLONE_NEWUSER)
    why = _try(flags)
    return Machine(
        rooted=rooted,
        abi=syscalls.landlock_abi() if syscalls.known_machine() else 0,
        last_capability=_last_capability(),
        flags=0 if why else flags,
        no_namespaces=why,
        no_network=why or _try(flags | syscalls.CLONE_NEWNET),
        no_user=why or (_try(syscalls.CLONE_NEWUSER) if rooted else ""),
        seccomp=syscalls.known_machine() and syscalls.seccomp_there(),
        cgroup=cgroup,
    )


def layers(found: Machine) -> list[Layer]:
    """The same in words, for `animactl doctor` and for whoever is refused."""
    how = "as root, without a user namespace" if found.rooted else "in a user namespace"
    user = f"one of {JAIL_UID} and above for each jail" if found.rooted else f"uid {os.geteuid()} alone, in a user namespace"
    memory = found.cgroup or "added up from outside every 100 ms: no cgroup is delegated to this process"
    landlock = f"ABI {found.abi}" if found.abi else "the kernel has none (5.13 and later do, if it is among its lsm=)"
    seccomp = "own filter" if found.seccomp else f"the kernel has none, or no table for {platform.machine()}"
    return [
        _layer("namespaces", found.no_namespaces, how),
        _layer("network", found.no_network, "an empty network of its own"),
        _layer("user", found.no_user, user),
        Layer("landlock", found.abi > 0, landlock),
        Layer("seccomp", found.seccomp, seccomp),
        Layer("rlimits", True, "for each process"),
        Layer("memory", True, memory),
    ]


def _layer(name: str, why_not: str, how: str) -> Layer:
    remedy = (
        "; allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, "
        "user.max_user_namespaces), or run the house as root"
    )
    return Layer(name, not why_not, why_not + remedy if why_not else how)


def _rooted() -> bool:
    if os.geteuid() != 0:
        return False
    effective = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                effective = int(line.split()[1], 16)
    return all(effective >> each & 1 for each in (_CAP_SYS_ADMIN, _CAP_SETUID, _CAP_SETGID))


def _last_capability() -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return 63


def _try(flags: int) -> str:
    """Why these namespaces cannot be made and /proc be mounted in them; "" if they can."""
    if not syscalls.known_machine():
        return f"the jail knows no system calls of {platform.machine()}"
    ids = (os.geteuid(), os.getegid())  # inside, nobody has any until they are mapped
    try:
        pid = syscalls.clone(flags)
    except OSError as error:
        return f"the kernel refuses: {error}"
    if pid == 0:
        code = 255
        try:
            if flags & syscalls.CLONE_NEWUSER:
                map_self(*ids)
            if flags & syscalls.CLONE_NEWNS:
                syscalls.make_private()
                syscalls.move_mount(syscalls.new_filesystem(b"proc", {b"hidepid": b"invisible"}, 0), b"/proc")
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"namespaces can be made, but nothing mounted in them ({os.strerror(code)})" if code else ""


def map_self(uid: int, gid: int) -> None:
    """In a user namespace born with this process: be whom one was outside."""
    maps = {"setgroups": b"deny", "uid_map": b"%d %d 1" % (uid, uid), "gid_map": b"%d %d 1" % (gid, gid)}
    for name, text in maps.items():
        Path(f"/proc/self/{name}").write_bytes(text)
