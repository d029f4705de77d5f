"""The attacks of the proofs by theme, each as [label, function of jail_attacks, *arguments], against one ground."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jail_attacks import CALLS
from jail_ground import GUARDED, Ground

Attack = list[Any]


def files(at: Ground) -> list[Attack]:
    """Reading and writing what was not given. The labels begin with what a tool could harm."""
    house, work, other = at.house, at.work, at.other
    keys, journal = house / "keys.env", house / "state" / "journal.db"
    plain: list[Attack] = [
        ["read the keys of the house", "read", keys],
        ["read the journal", "read", journal],
        ["read /etc/shadow", "read", "/etc/shadow"],
        ["read a folder nobody spoke of", "read", other / "diary-0"],
        ["list the house", "names_in", house],
        ["list a folder nobody spoke of", "names_in", other],
        ["read by /proc/1/root", "read", f"/proc/1/root{keys}"],
        ["read by the root of its owner", "read", f"/proc/{os.getpid()}/root{keys}"],
        ["read by the root or cwd of any process", "roots_of_others", str(keys)],
        ["read by a symlink of its own", "through_symlink", keys, work / "link"],
        ["write by a symlink of its own", "write_through_symlink", journal, work / "link2"],
        ["read by a hardlink of its own", "through_hardlink", keys, work / "second"],
        ["read by a file handle", "by_handle", work, str(keys)],
        ["climb out by chroot", "chroot_and_climb", str(keys)],
        ["open a device of its own", "raw_disk"],
        ["write outside", "write", other / "new"],
        ["write into a folder it may read", "write", at.books / "new"],
        ["write a system program", "append", "/usr/bin/id"],
        ["write /etc", "append", "/etc/passwd"],
        ["write the kernel's settings", "kernel_settings"],
        ["write its own configuration", "append", house / "agents" / "arya" / "agent.toml"],
        ["plant a tool of the house", "make_one_folder", house / "tools"],
        ["truncate the journal", "truncate", journal],
        ["change the mode of the keys", "change_mode", keys],
        ["rename what is outside", "rename", other / "diary-1", other / "gone"],
        ["read shared memory by its name", "read", at.shared_file],
        ["leave a set-uid program behind", "leave_setuid", work],
        ["remove what is outside", "remove", other / "diary-2"],
    ]
    return [[str(word) for word in each] for each in plain]


def guarded(at: Ground) -> list[Attack]:
    """What is protected although it lies in the workspace; each on a name of its own."""
    keep = [at.work / f"keep-{number}" for number in range(GUARDED)]
    work = at.work
    plain: list[Attack] = [
        ["read a guarded file", "read", keep[0] / "policy.toml"],
        ["write a guarded file", "append", keep[1] / "policy.toml"],
        ["replace a guarded file", "rename", work / "notes.txt", keep[2] / "policy.toml"],
        ["swap a guarded file", "swap", work / "plain", keep[3] / "policy.toml"],
        ["remove a guarded file", "remove", keep[4] / "policy.toml"],
        ["second name of a guarded file", "through_hardlink", keep[5] / "policy.toml", work / "name"],
        ["move the folder above a guarded file", "rename_ancestor", keep[6], work / "moved-6", "policy.toml"],
        ["replace the folder above a guarded file", "replace_ancestor", keep[7], work / "moved-7", "policy.toml"],
        ["create a guarded folder", "make_folder", work / "hooks-0"],
        ["create within a guarded folder", "make_folder", work / "hooks-1" / "inner"],
        ["move a folder to a guarded name", "rename", work / "keep-8", work / "hooks-2"],
        ["create a guarded file in a missing folder", "make_and_write", work / "later-0" / "agent.toml"],
        ["link a guarded name elsewhere", "through_symlink", at.books / "a.txt", work / "hooks-3"],
    ]
    return [[str(word) for word in each] for each in plain]


def network(at: Ground) -> list[Attack]:
    """Ways to somebody outside."""
    ears = at.listeners
    return [
        ["TCP", "tcp", "127.0.0.1", ears.tcp],
        ["TCP by IPv6", "tcp", "::1", ears.tcp6],
        ["TCP by an IPv4 address in IPv6", "tcp", "::ffff:127.0.0.1", ears.tcp],
        ["TCP fast open", "tcp_fast_open", "127.0.0.1", ears.tcp],
        ["UDP and DNS", "udp", "127.0.0.1", ears.udp],
        ["UDP by IPv6", "udp", "::1", ears.udp6],
        ["ICMP", "icmp", "127.0.0.1"],
        ["an abstract Unix socket", "unix", ears.abstract],
        ["the bus, a Unix socket at a path", "unix", ears.bus],
        ["AF_NETLINK", "family", socket.AF_NETLINK, socket.SOCK_RAW],
        ["AF_PACKET", "family", socket.AF_PACKET, socket.SOCK_RAW],
        ["AF_VSOCK", "family", 40, socket.SOCK_STREAM],
        ["AF_ALG", "family", 38, socket.SOCK_SEQPACKET],
    ]


def kernel(_: Ground) -> list[Attack]:
    """Doors of the kernel."""
    return [
        ["a user namespace", "user_namespace"],
        ["a user namespace by clone", "user_namespace_by_clone"],
        ["a user namespace by clone3", "user_namespace_by_clone3"],
        ["a mount namespace", "mount_namespace"],
        ["mount over /usr", "mount_over", "/usr"],
        ["mount by the new calls", "mount_by_new_calls"],
        ["unmount /proc", "unmount", "/proc"],
        ["join another namespace", "join_namespaces"],
        ["TIOCSTI", "type_into_the_terminal", 0],
        ["TIOCSTI with high bits", "type_into_the_terminal", 1],
        ["TIOCLINUX", "paste_into_the_console", 0],
        ["TIOCLINUX with high bits", "paste_into_the_console", 1],
        ["the 32-bit door", "other_architecture"],
        ["x32", "x32"],
        *[[f"call {name}", "reaches_the_kernel", name] for name in CALLS],
    ]


def processes(at: Ground) -> list[Attack]:
    """Other processes, and what one inherits or gains."""
    me = os.getpid()
    return [
        ["the environment of others", "environ_of_others"],
        ["descriptors of others", "descriptors_of_others", me],
        ["its own environment", "environment"],
        ["see other processes", "others_seen"],
        ["read shared memory by its key", "shared_memory", at.shared_key],
        ["signal outside", "signal_outside", at.victim],
        ["signal outside by a pidfd", "signal_by_pidfd", at.victim],
        ["trace outside", "trace", at.victim],
        ["read memory outside", "memory_of", at.victim],
        ["read memory outside by /proc", "memory_file_of", at.victim],
        ["copy a descriptor of the owner", "descriptor_of", me, at.held],
        ["set limits outside", "limits_of", at.victim],
        ["gain by a setuid program", "become_root", str(at.books / "id")],
        ["gain by any exec", "gain_privileges"],
        ["capabilities", "capabilities"],
        ["raise its own limits", "raise_limits"],
        ["a core dump", "core_dump"],
        ["descriptors left open", "inherited"],
        ["the terminal", "terminal"],
    ]


def attacks(at: Ground) -> list[Attack]:
    """All of them."""
    return [each for theme in (files, guarded, network, kernel, processes) for each in theme(at)]


def labels() -> list[str]:
    """Their names, without a ground."""
    ears = SimpleNamespace(abstract="@nobody", bus="/nobody", tcp=1, udp=1, tcp6=1, udp6=1)
    return [each[0] for each in attacks(Ground(Path("/nowhere"), ears, 0, 0))]  # type: ignore[arg-type]


#: What this or that machine does not let show: the kernel has no such door, or root is not root enough there.
UNSHOWN = {
    "read by /proc/1/root": "process 1 of a container may hold rights that its root does not",
    "AF_ALG": "not in every kernel",
    "x32": "not in every kernel",
    "call kexec_load": "not in every kernel",
    "call init_module": "not in a kernel without modules",
    "call finit_module": "not in a kernel without modules",
    "call delete_module": "not in a kernel without modules",
    "a core dump": "the suite may have been started without",
    "the terminal": "the suite may run without one; test_jail_lives.py gives one",
}

#: What every jail does, whatever is switched off: no capabilities, no_new_privs, a session of its own, closed descriptors, a
#: clean environment.
RIGHTS = "rights"

_OUT_OF_VIEW = ("namespaces", "landlock")
_GROUPS: dict[tuple[str, ...], tuple[str, ...]] = {
    _OUT_OF_VIEW: (
        "read the keys of the house",
        "read the journal",
        "read a folder nobody spoke of",
        "list the house",
        "list a folder nobody spoke of",
        "read by /proc/1/root",
        "read by the root of its owner",
        "read by the root or cwd of any process",
        "read by a symlink of its own",
        "write by a symlink of its own",
        "read by a hardlink of its own",
        "write outside",
        "write into a folder it may read",
        "write a system program",
        "write /etc",
        "write the kernel's settings",
        "write its own configuration",
        "plant a tool of the house",
        "truncate the journal",
        "rename what is outside",
        "remove what is outside",
        "read shared memory by its name",
        "the environment of others",
        "descriptors of others",
        "read memory outside by /proc",
        "signal outside",
        "signal outside by a pidfd",
    ),
    ("namespaces",): (
        "read /etc/shadow",
        "change the mode of the keys",
        "read a guarded file",
        "write a guarded file",
        "replace a guarded file",
        "swap a guarded file",
        "remove a guarded file",
        "second name of a guarded file",
        "move the folder above a guarded file",
        "replace the folder above a guarded file",
        "create a guarded folder",
        "create within a guarded folder",
        "move a folder to a guarded name",
        "create a guarded file in a missing folder",
        "link a guarded name elsewhere",
        "see other processes",
        "read shared memory by its key",
        "set limits outside",
    ),
    ("network", "landlock", "seccomp"): (
        "TCP",
        "TCP by IPv6",
        "TCP by an IPv4 address in IPv6",
        "an abstract Unix socket",
    ),
    ("network", "seccomp"): ("TCP fast open", "UDP and DNS", "UDP by IPv6", "ICMP"),
    ("namespaces", "seccomp"): ("the bus, a Unix socket at a path",),
    ("seccomp",): (
        "leave a set-uid program behind",
        "AF_NETLINK",
        "AF_VSOCK",
        "AF_ALG",
        "a user namespace",
        "a user namespace by clone",
        "a user namespace by clone3",
        "TIOCSTI",
        "TIOCSTI with high bits",
        "TIOCLINUX",
        "TIOCLINUX with high bits",
        "the 32-bit door",
        "x32",
        *(f"call {name}" for name in CALLS),
    ),
    ("seccomp", RIGHTS): (
        "AF_PACKET",
        "read by a file handle",
        "climb out by chroot",
        "a mount namespace",
        "mount over /usr",
        "mount by the new calls",
        "unmount /proc",
        "join another namespace",
    ),
    (*_OUT_OF_VIEW, "seccomp"): ("trace outside", "read memory outside", "copy a descriptor of the owner"),
    (*_OUT_OF_VIEW, RIGHTS): ("open a device of its own", "the terminal"),
    ("namespaces", RIGHTS): ("gain by a setuid program",),
    (RIGHTS,): ("its own environment", "gain by any exec", "capabilities", "descriptors left open"),
    ("rlimits",): ("raise its own limits", "a core dump"),
}

#: Which layers hold an attack, each alone, with all others switched off.
HELD: dict[str, tuple[str, ...]] = {label: layers for layers, labels_ in _GROUPS.items() for label in labels_}
