"""The system calls of the jail that Python has no name for, through ctypes on libc. x86-64 and aarch64.

Covers: numbers, structures and error reporting. Every call that fails raises OSError with the name of the call.
Does not cover: any decision. `clone` is a fork without glibc's care: its child may only be a caller with one thread.
"""

import contextlib
import ctypes
import os
import platform
import struct
from typing import Final

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter lock: a clone must not come back without it
_libc.syscall.restype = ctypes.c_long

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR_IDMAP: Final = 0x00100000

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_MNT_DETACH = 2
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_SIGCHLD = 17

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_GET_ACTION_AVAIL = 2
_SECCOMP_RET_KILL_PROCESS = 0x80000000
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAP_VERSION_3 = 0x20080522
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1

#: Calls whose number differs between the two; the others below are the same everywhere.
_BY_MACHINE = {
    "x86_64": {"clone": 56, "capset": 126, "pivot_root": 155, "seccomp": 317, "keyctl": 250},
    "aarch64": {"clone": 220, "capset": 91, "pivot_root": 41, "seccomp": 277, "keyctl": 219},
}
_NUMBERS = {
    **_BY_MACHINE.get(platform.machine(), {}),
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}


def known_machine() -> bool:
    """Whether the tables of this file cover this processor."""
    return platform.machine() in _BY_MACHINE


def _call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None, about: object = "") -> int:
    wide = [each if isinstance(each, (bytes, ctypes.Array)) or each is None else ctypes.c_long(each) for each in arguments]
    found = int(_libc.syscall(ctypes.c_long(_NUMBERS[name]), *wide))
    return _checked(found, name, about)


def _checked(found: int, name: str, about: object = "") -> int:
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{f' {about}' if about else ''}: {os.strerror(number)}")
    return found


def clone(flags: int) -> int:
    """Fork with new namespaces: the child's PID in the caller, 0 in the child."""
    return _call("clone", flags | _SIGCHLD, 0, 0, 0, 0)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def sethostname(name: bytes) -> None:
    """Set the host name of this UTS namespace."""
    _checked(_libc.sethostname(name, ctypes.c_size_t(len(name))), "sethostname")


# mounts


def make_private() -> None:
    """Let no mount of this namespace reach another one, nor theirs this."""
    _checked(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount --make-rprivate /")


def open_beneath(path: bytes) -> int:
    """Open `path` as a place (O_PATH); any symlink in it is refused (ELOOP), so nobody can exchange a part of it."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    return _call("openat2", _AT_FDCWD, path, ctypes.create_string_buffer(how), len(how), about=os.fsdecode(path))


def open_tree(fd: int) -> int:
    """A detached copy of the mount at `fd` and of everything mounted below it."""
    return _call("open_tree", fd, b"", _OPEN_TREE_CLONE | _AT_RECURSIVE | _AT_EMPTY_PATH | _CLOEXEC)


def mount_setattr(fd: int, attributes: int, *, userns_fd: int = -1, recursive: bool = True) -> None:
    """Set MOUNT_ATTR_* on the mount `fd`; with `userns_fd` the owners of its files are seen through that user namespace."""
    wanted = attributes | (MOUNT_ATTR_IDMAP if userns_fd >= 0 else 0)
    told = struct.pack("=QQQQ", wanted, 0, 0, max(userns_fd, 0))
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    _call("mount_setattr", fd, b"", flags, ctypes.create_string_buffer(told), len(told))


def move_mount(fd: int, target: bytes) -> None:
    """Attach the detached mount `fd` at `target`, in which no symlink is followed."""
    at = open_beneath(target)
    try:
        _call("move_mount", fd, b"", at, b"", _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH, about=os.fsdecode(target))
    finally:
        os.close(at)


def new_filesystem(kind: bytes, options: dict[bytes, bytes], attributes: int) -> int:
    """A detached mount of a fresh filesystem (tmpfs, proc)."""
    context = _call("fsopen", kind, _FSOPEN_CLOEXEC, about=kind.decode())
    try:
        for name, value in options.items():
            _call("fsconfig", context, _FSCONFIG_SET_STRING, name, value, 0, about=f"{kind.decode()} {name.decode()}")
        _call("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0, about=kind.decode())
        return _call("fsmount", context, _FSMOUNT_CLOEXEC, attributes, about=kind.decode())
    finally:
        os.close(context)


def enter_root(path: bytes) -> None:
    """Make `path` (a mount) the root of this namespace and let go of the old one."""
    os.chdir(path)
    _call("pivot_root", b".", b".")  # the old root now lies on top of the new one
    _checked(_libc.umount2(b".", ctypes.c_int(_MNT_DETACH)), "umount2")
    os.chdir("/")


# rights


def _prctl(name: str, option: int, argument: int, second: int = 0) -> int:
    wide = (ctypes.c_ulong(argument), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return _checked(_libc.prctl(ctypes.c_int(option), *wide), f"prctl {name}")


def die_with_parent(number: int) -> None:
    """Have the kernel send `number` when the parent dies. A change of uid clears it."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, number)


def leave_keys() -> None:
    """Take an empty session keyring instead of the inherited one."""
    with contextlib.suppress(OSError):  # a kernel without keys, or a quota: the calls themselves are refused later
        _call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same uid may look into this process."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, int(dumpable))


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Let no exec ever give a right that this process has not."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def forget_capabilities(last: int) -> None:
    """Let no exec ever give a capability up to number `last` (the bounding set), as far as this process may say so."""
    for number in range(last + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) < 0:
            return  # without CAP_SETPCAP there are none to lose


def drop_capabilities() -> None:
    """Give up every capability this process has, in every set."""
    _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAP_VERSION_3, 0))
    _call("capset", header, ctypes.create_string_buffer(bytes(24)))


def seccomp(program: bytes) -> None:
    """Have every further system call of this process judged by `program` (struct sock_filter, 8 bytes each)."""
    code = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    _call("seccomp", _SECCOMP_SET_MODE_FILTER, 0, head)


def seccomp_there() -> bool:
    """Whether the kernel judges system calls, and can kill the process that makes a wrong one."""
    action = ctypes.create_string_buffer(struct.pack("=I", _SECCOMP_RET_KILL_PROCESS))
    try:
        return _call("seccomp", _SECCOMP_GET_ACTION_AVAIL, 0, action) == 0
    except (OSError, KeyError):
        return False


def landlock_abi() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    try:
        return _call("landlock_create_ruleset", None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def landlock_ruleset(files: int, net: int, scoped: int, size: int) -> int:
    """A ruleset that handles these rights; `size` is how much of the structure this kernel knows."""
    told = struct.pack("=QQQ", files, net, scoped)[:size]
    return _call("landlock_create_ruleset", ctypes.create_string_buffer(told, size), size, 0)


def landlock_allow(ruleset: int, rights: int, fd: int) -> None:
    """Allow `rights` on and below the place `fd`."""
    told = struct.pack("=Qi", rights, fd)
    _call("landlock_add_rule", ruleset, _LANDLOCK_RULE_PATH_BENEATH, ctypes.create_string_buffer(told, len(told)), 0)


def landlock_restrict(ruleset: int) -> None:
    """Hold this process and everything it starts to `ruleset`, for good."""
    _call("landlock_restrict_self", ruleset, 0)
