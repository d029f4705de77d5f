"""Which system calls a jailed child may not make, as a program for the kernel (classic BPF). Pure: bytes out, nothing done.

Covers: Flatpak's deny list and what has been used to get out of sandboxes since: new namespaces, mounts by the old and the
new calls, tracing other processes, kernel keys, io_uring (it makes sockets without `socket`), eBPF, set-uid bits, typing into
a terminal. Arguments that the kernel reads as 32 bits are compared as 32 bits: higher ones would be a way around
(CVE-2019-10063). Calls made with another architecture's numbers (i386, x32) kill the process.
Does not cover: what a pointer leads to (a path, the structure of clone3 or openat2): such calls do not exist here (ENOSYS), so
that programs take the older way. It is a list of what is refused, so a call that is new to it is allowed: the mount view,
Landlock and the dropped rights must hold without it.
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

_LD_ABS: Final = 0x20  # load a word of struct seccomp_data
_AND: Final = 0x54
_JEQ: Final = 0x15
_JGE: Final = 0x35
_RET: Final = 0x06
_NR_AT, _ARCH_AT, _ARGS_AT, _ARG_BYTES = 0, 4, 16, 8
_ALL: Final = 0xFFFFFFFF

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
_X32_BIT: Final = 0x40000000

AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_SUID_SGID = 0o6000
_O_CREAT, _O_TMPFILE = 0o100, 0o20000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE_MASK = 1, 2, 0xF

#: Refused whatever their arguments: (x86-64, aarch64); None where the call does not exist.
DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "move_pages": (279, 239),
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "set_mempolicy_home_node": (450, 450),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "_sysctl": (156, None),
    "create_module": (174, None),
}

#: Answered as if the kernel did not know them: their arguments lie behind a pointer, or they are a way around the others.
UNKNOWN: Final[dict[str, tuple[int | None, int | None]]] = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}

#: Answered the same way where no cgroup counts memory: what they make takes some and belongs to no process.
UNCOUNTED: Final[dict[str, tuple[int | None, int | None]]] = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
}

_CALLS: Final[dict[str, tuple[int | None, int | None]]] = {
    "clone": (56, 220),
    "ioctl": (16, 29),
    "personality": (135, 92),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "open": (2, None),
    "openat": (257, 56),
    "creat": (85, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
}


@dataclass(frozen=True, slots=True)
class Test:
    """One look at an argument, by its low 32 bits: `argument & mask` equals `value`, or does not."""

    argument: int
    value: int
    mask: int = _ALL
    equal: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A call, refused with `action` where every test holds."""

    call: str
    tests: tuple[Test, ...]
    action: int


def _errno(number: int) -> int:
    return _ERRNO | number


def _bits(argument: int, mask: int) -> Test:
    """Some bit of `mask` is set."""
    return Test(argument, 0, mask, equal=False)


def rules(*, network: bool, unix: bool = True) -> list[Rule]:
    """What depends on arguments. `network` allows TCP and UDP; without `unix` there are no Unix sockets but pairs."""
    refused = _errno(errno.EPERM)
    families = [*([_AF_UNIX] if unix else []), *((_AF_INET, _AF_INET6) if network else ())]
    found = [
        Rule("clone", (_bits(0, _NEW_NAMESPACES),), refused),
        Rule("ioctl", (Test(1, _TIOCSTI),), refused),
        Rule("ioctl", (Test(1, _TIOCLINUX),), refused),
        Rule("personality", (Test(0, 0, equal=False), Test(0, _ALL, equal=False)), refused),
        Rule("socket", tuple(Test(0, each, equal=False) for each in families), _errno(errno.EAFNOSUPPORT)),
        Rule("socketpair", (Test(0, _AF_UNIX, equal=False),), _errno(errno.EAFNOSUPPORT)),
    ]
    plain = (Test(1, _SOCK_STREAM, _SOCK_TYPE_MASK, equal=False), Test(1, _SOCK_DGRAM, _SOCK_TYPE_MASK, equal=False))
    found += [Rule("socket", (Test(0, family), *plain), refused) for family in (_AF_INET, _AF_INET6) if network]
    modes = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2}
    found += [Rule(call, (_bits(argument, _SUID_SGID),), refused) for call, argument in modes.items()]
    for call, flags in (("open", 1), ("openat", 2)):
        found += [
            Rule(call, (_bits(flags, making), _bits(flags + 1, _SUID_SGID)), refused) for making in (_O_CREAT, _O_TMPFILE)
        ]
    return found


@cache
def program(machine: str, *, network: bool, unix: bool = True, counted: bool = True) -> bytes:
    """The whole program, ready for the kernel. `counted` says that a cgroup counts memory.

    Raises KeyError for a processor without a table here.
    """
    arch = AUDIT_ARCH[machine]
    column = list(AUDIT_ARCH).index(machine)
    lines = [_line(_LD_ABS, _ARCH_AT), _line(_JEQ, arch, 1, 0), _line(_RET, KILL), _line(_LD_ABS, _NR_AT)]
    if machine == "x86_64":
        lines += [_line(_JGE, _X32_BIT, 0, 1), _line(_RET, KILL)]
    unknown = UNKNOWN if counted else {**UNKNOWN, **UNCOUNTED}
    for table, number in ((DENIED, errno.EPERM), (unknown, errno.ENOSYS)):
        for columns in table.values():
            if (call := columns[column]) is not None:
                lines += [_line(_JEQ, call, 0, 1), _line(_RET, _errno(number))]
    for rule in rules(network=network, unix=unix):
        if (call := _CALLS[rule.call][column]) is not None:
            lines += _judge(call, rule)
    return b"".join([*lines, _line(_RET, ALLOW)])


def _judge(call: int, rule: Rule) -> Iterable[bytes]:
    """The lines of one rule: any test that fails jumps behind them, where the call's number is loaded again."""
    looks = [(_loading(test), test) for test in rule.tests]
    rest = sum(len(loading) + 1 for loading, _ in looks) + 1
    yield _line(_JEQ, call, 0, rest)
    for loading, test in looks:
        yield from loading
        rest -= len(loading) + 1
        yield _line(_JEQ, test.value, 0, rest) if test.equal else _line(_JEQ, test.value, rest, 0)
    yield _line(_RET, rule.action)
    yield _line(_LD_ABS, _NR_AT)


def _loading(test: Test) -> list[bytes]:
    argument = _line(_LD_ABS, _ARGS_AT + _ARG_BYTES * test.argument)
    return [argument] if test.mask == _ALL else [argument, _line(_AND, test.mask)]


def _line(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)
