"""What a jailed child may try. Only the standard library; every function is a target of an order or part of `battery`.

An attack returns a sentence about what it got, and raises OSError (or returns "") when it got nothing. `battery` runs many
of them, each in a forked child of its own, so that one that changes its process or is killed does not touch the next.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import pty
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = b"the secret of the house"  #: stands in every secret of the ground; whoever returns it has read one
ATTACK_S = 5
KEPT: list[bytearray] = []  #: memory that must not be given back

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

#: Numbers of the calls no child needs, with arguments that do nothing where they are let through: a call that is held by
#: a filter fails with EPERM or ENOSYS, one that reaches the kernel complains about its arguments. (x86-64, aarch64)
CALLS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "ptrace": (101, 117, (0xFFFF, 0, 0, 0)),
    "process_vm_readv": (310, 270, (2**22 + 1, 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (2**22 + 1, 0, 0, 0, 0, 0)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
    "kcmp": (312, 272, (2**22 + 1, 2**22 + 1, 0, 0, 0)),
    "io_uring_setup": (425, 425, (0, 0)),
    "io_uring_enter": (426, 426, (-1, 0, 0, 0, 0)),
    "io_uring_register": (427, 427, (-1, 0, 0, 0)),
    "keyctl": (250, 219, (0xFFFF, 0, 0, 0, 0)),
    "add_key": (248, 217, (0, 0, 0, 0, 0)),
    "request_key": (249, 218, (0, 0, 0, 0)),
    "bpf": (321, 280, (0xFFFF, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, 0, -1, 0)),
    "userfaultfd": (323, 282, (0xFFFF,)),
    "kexec_load": (246, 104, (0, 0, 0, 0xFFFF0000FF)),
    "init_module": (175, 105, (0, 0, 0)),
    "finit_module": (313, 273, (-1, 0, 0)),
    "delete_module": (176, 106, (0, 0)),
    "acct": (163, 89, (1,)),
    "swapon": (167, 224, (0, 0)),
    "swapoff": (168, 225, (0,)),
    "quotactl": (179, 60, (0xFFFF, 0, 0, 0)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "umount2": (166, 39, (0, 0xFFFF)),
    "pivot_root": (155, 41, (0, 0)),
    "chroot": (161, 51, (0,)),
    "setns": (308, 268, (-1, 0)),
    "unshare": (272, 97, (0x10000000,)),
    "fsopen": (430, 430, (0, 0)),
    "fsconfig": (431, 431, (-1, 0xFF, 0, 0, 0)),
    "fsmount": (432, 432, (-1, 0, 0)),
    "fspick": (433, 433, (-1, 0, 0)),
    "move_mount": (429, 429, (-1, 0, -1, 0, 0xFFFF)),
    "open_tree": (428, 428, (-1, 0, 0xFFFF)),
    "mount_setattr": (442, 442, (-1, 0, 0, 0, 0)),
    "clone3": (435, 435, (0, 0)),
    "open_by_handle_at": (304, 265, (-1, 0, 0)),
    "syslog": (103, 116, (0xFFFF, 0, 0)),
    "reboot": (169, 142, (0, 0, 0)),
}
_HELD = (errno.EPERM, errno.ENOSYS)


def number(name: str) -> int:
    """The system call `name` on this machine."""
    return CALLS[name][1 if platform.machine() == "aarch64" else 0]


def call(number_: int, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    ctypes.set_errno(0)
    plain = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    found = int(libc.syscall(ctypes.c_long(number_), *plain))
    if found == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


# -- many at once ------------------------------------------------------------------------------------------------------------


def battery(attacks: list[list[Any]]) -> dict[str, list[Any]]:
    """Run each of `[label, function, *arguments]`; label -> [got something, what was told]."""
    return {str(label): list(alone(str(what), arguments)) for label, what, *arguments in attacks}


def alone(what: str, arguments: list[Any]) -> tuple[bool, str]:
    """One attack in a forked child: (got something, what it said)."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(ATTACK_S)
        got, told = attempt(what, arguments)
        os.write(send, (b"+" if got else b"-") + told.encode(errors="replace")[:2000])
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        return False, f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"left with {status}"
    return answer[:1] == b"+", answer[1:].decode(errors="replace")


def attempt(what: str, arguments: list[Any]) -> tuple[bool, str]:
    """One attack in this process."""
    try:
        told = globals()[what](*arguments)
    except OSError as error:
        return False, f"{errno.errorcode.get(error.errno or 0, 'no errno')}: {error.strerror or error}"
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    return bool(told), str(told or "nothing")


# -- reading ------------------------------------------------------------------------------------------------------------------


def read(path: str) -> str:
    """The beginning of a file that is not empty."""
    found = Path(path).read_bytes()[:80]
    return f"read {found!r}" if found else ""


def names_in(path: str) -> str:
    """The names in a directory."""
    found = sorted(os.listdir(path))
    return f"listed {found}" if found else ""


def environ_of_others() -> str:
    """The secret in the environment of any process seen in /proc, or in our own."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() or folder.name == "self":
            try:
                if MARK in (folder / "environ").read_bytes():
                    return f"the secret stands in {folder}/environ"
            except OSError:
                continue
    return ""


def roots_of_others(path: str) -> str:
    """A file through the root or cwd of any process seen in /proc."""
    for folder in Path("/proc").iterdir():
        for way in ("root", "cwd"):
            try:
                return f"{folder}/{way}: " + read(f"{folder}/{way}{path}")
            except OSError:
                continue
    return ""


def descriptors_of_others(owner: int) -> str:
    """A secret through any descriptor of our owner, of the first process or of our own."""
    for pid in (owner, os.getppid(), 1, "self"):
        try:
            entries = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for entry in entries:
            try:
                if os.readlink(entry).startswith("/") and entry.is_file() and MARK in entry.read_bytes()[:200]:
                    return f"{entry}"
            except OSError:
                continue
    return ""


def inherited() -> str:
    """Descriptors above stderr that lead to a file, a directory or a socket somebody left open."""
    found = []
    for fd in range(3, 1024):
        try:
            told = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if not told.startswith(("pipe:", "/proc/")):
            found.append(f"{fd} -> {told}")
    return ", ".join(found)


def environment() -> str:
    """A secret in our own environment, or a name nobody gave."""
    return ", ".join(name for name, value in os.environ.items() if MARK.decode() in value or "SECRET" in name)


def by_handle(folder: str, path: str) -> str:
    """The file `path` opened by a handle that was not looked up by name (the way out of old containers)."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    call(
        264 if platform.machine() == "aarch64" else 303, -100, ctypes.c_char_p(path.encode()), handle, ctypes.byref(mount_id), 0
    )
    opened = call(number("open_by_handle_at"), os.open(folder, os.O_RDONLY), handle, os.O_RDONLY)
    return "read " + repr(os.read(opened, 80))


def chroot_and_climb(path: str) -> str:
    """Out of a root by chroot, fchdir and `..`, as root may."""
    top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    place = f"{os.environ.get('HOME', '/tmp')}/deep-{os.getpid()}"
    os.makedirs(place, exist_ok=True)
    os.chroot(place)
    os.fchdir(top)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return read(path)


def raw_disk() -> str:
    """A device made by ourselves: the kernel's memory, or any disk."""
    place = f"{os.environ.get('HOME', '/tmp')}/device-{os.getpid()}"
    os.mknod(place, 0o600 | 0o020000, os.makedev(1, 5))
    try:
        return f"opened a device of our own: {os.read(os.open(place, os.O_RDONLY), 1)!r}"
    finally:
        os.unlink(place)


# -- writing ------------------------------------------------------------------------------------------------------------------


def write(path: str) -> str:
    """Make or replace a file."""
    Path(path).write_bytes(b"the jail was here\n")
    return f"wrote {path}"


def append(path: str) -> str:
    """Open an existing file for writing, and leave it as it is."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    return f"opened {path} for writing" if stat.S_ISREG(os.fstat(fd).st_mode) else ""  # /dev/null in its place takes anything


def make_folder(path: str) -> str:
    """A directory, with those above it."""
    os.makedirs(path)
    return f"made {path}"


def make_one_folder(path: str) -> str:
    """A directory where the one above it is."""
    os.mkdir(path)
    return f"made {path}"


def make_and_write(path: str) -> str:
    """A file, with the folders above it that are missing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return write(path)


def remove(path: str) -> str:
    """A file, or an empty directory."""
    if os.path.isdir(path):
        os.rmdir(path)
    else:
        os.unlink(path)
    return f"removed {path}"


def rename(old: str, new: str) -> str:
    """Move `old` to `new`."""
    os.rename(old, new)
    return f"renamed {old}"


def swap(one: str, other: str) -> str:
    """Exchange two names at once (renameat2 with RENAME_EXCHANGE)."""
    call(
        276 if platform.machine() == "aarch64" else 316,
        -100,
        ctypes.c_char_p(one.encode()),
        -100,
        ctypes.c_char_p(other.encode()),
        2,
    )
    return f"swapped {one}"


def through_symlink(target: str, link: str) -> str:
    """Read `target` through a link of our own making."""
    os.symlink(target, link)
    return read(link)


def write_through_symlink(target: str, link: str) -> str:
    """Write `target` through a link of our own making."""
    os.symlink(target, link)
    return append(link)


def through_hardlink(target: str, link: str) -> str:
    """Read `target` by a second name of it."""
    os.link(target, link)
    return read(link)


def rename_ancestor(ancestor: str, moved: str, inner: str) -> str:
    """Move the folder above a guarded file away, and read the file where no rule names it."""
    os.rename(ancestor, moved)
    return read(f"{moved}/{inner}")


def replace_ancestor(ancestor: str, moved: str, inner: str) -> str:
    """Move the folder above a guarded name away, and write the name anew in a folder of our own."""
    os.rename(ancestor, moved)
    os.makedirs(os.path.dirname(f"{ancestor}/{inner}"), exist_ok=True)
    return write(f"{ancestor}/{inner}")


def change_mode(path: str) -> str:
    """Widen the permissions of a file that is not ours."""
    os.chmod(path, 0o666)
    return f"changed {path}"


def truncate(path: str) -> str:
    """Empty a file without opening it."""
    os.truncate(path, len(Path(path).read_bytes()) if os.access(path, os.R_OK) else 0)
    return f"truncated {path}"


def kernel_settings() -> str:
    """Any of the files by which a root of a container becomes root of the machine."""
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/memory/cgroup.procs",
        "/sys/fs/cgroup/cgroup.procs",
    ):
        try:
            return append(path)
        except OSError:
            continue
    return ""


# -- the network --------------------------------------------------------------------------------------------------------------


def tcp(host: str, port: int) -> str:
    """Connect to somebody outside."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(2)
        link.connect((host, port))
        return f"connected, heard {link.recv(100)!r}"


def tcp_fast_open(host: str, port: int) -> str:
    """Connect by sendto with MSG_FASTOPEN, without connect()."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as link:
        link.sendto(b"hello", 0x20000000, (host, port))
        return f"connected, heard {link.recv(100)!r}"


def udp(host: str, port: int) -> str:
    """Ask somebody outside and hear the answer."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(1)
        link.sendto(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", (host, port))
        return f"heard {link.recv(100)!r}"


def icmp(host: str) -> str:
    """Ping somebody outside, by the raw socket of root or by the datagram one of everybody."""
    packet = b"\x08\x00" + struct.pack("!H", 0xFFFF - 0x0800) + bytes(4)
    for sort in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_INET, sort, socket.IPPROTO_ICMP) as link:
                link.settimeout(1)
                link.sendto(packet, (host, 0))
                return f"heard {link.recv(100)[:20]!r}"
        except OSError as error:
            held = error
    raise held


def family(number_: int, sort: int) -> str:
    """A socket of a family a tool does not need."""
    with socket.socket(number_, sort):
        return f"a socket of family {number_}"


def unix(address: str) -> str:
    """Connect to a Unix socket outside: a path, or @name for an abstract one."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(2)
        link.connect("\0" + address[1:] if address.startswith("@") else address)
        return f"connected, heard {link.recv(100)!r}"


def listen(port: int, wait_s: float) -> str:
    """Take a port, and see whether anybody from outside comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as link:
        link.bind(("127.0.0.1", port))
        link.listen()
        link.settimeout(wait_s)
        link.accept()
        return "somebody came"


# -- the kernel ---------------------------------------------------------------------------------------------------------------


def reaches_the_kernel(name: str) -> str:
    """Whether a call is let through to the kernel: any complaint but EPERM and ENOSYS is the kernel's own."""
    try:
        found = call(number(name), *CALLS[name][2])
    except OSError as error:
        if error.errno in _HELD:
            raise
        return f"the kernel answers {errno.errorcode.get(error.errno or 0)}"
    return f"it returned {found}"


def user_namespace() -> str:
    """A namespace in which we are root again: the wide door of most kernel bugs of the last years."""
    call(number("unshare"), 0x10000000)
    return "a user namespace of our own"


def user_namespace_by_clone() -> str:
    """The same by clone()."""
    if platform.machine() == "aarch64":
        found = call(220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    else:
        found = call(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if found == 0:
        os._exit(0)
    return f"a child in a user namespace: {found}"


def user_namespace_by_clone3() -> str:
    """The same by clone3(), whose arguments no filter can read."""
    asked = ctypes.create_string_buffer(struct.pack("8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    found = call(number("clone3"), asked, 64)
    if found == 0:
        os._exit(0)
    return f"a child in a user namespace: {found}"


def mount_namespace() -> str:
    """Mounts of our own."""
    call(number("unshare"), 0x00020000)
    return "a mount namespace of our own"


def _apart() -> None:
    """Mounts that nobody else sees, where they can be had: an attack without a jail must not harm the machine."""
    with contextlib.suppress(OSError):
        call(number("unshare"), 0x00020000)
        call(number("mount"), 0, ctypes.c_char_p(b"/"), 0, 0x44000, 0)


def mount_over(folder: str) -> str:
    """An empty file system over a folder, in a mount namespace of our own where that can be had."""
    _apart()
    call(number("mount"), ctypes.c_char_p(b"none"), ctypes.c_char_p(folder.encode()), ctypes.c_char_p(b"tmpfs"), 0, 0)
    return f"mounted over {folder}"


def mount_by_new_calls() -> str:
    """A file system by fsopen and fsmount, which old filters do not know."""
    opened = call(number("fsopen"), ctypes.c_char_p(b"tmpfs"), 0)
    return f"fsopen returned {opened}"


def unmount(folder: str) -> str:
    """Take away what hides a folder."""
    _apart()
    call(number("umount2"), ctypes.c_char_p(folder.encode()), 2)
    return f"unmounted {folder}"


def remount_writable(folder: str) -> str:
    """Make a read-only bind writable again."""
    call(number("mount"), 0, ctypes.c_char_p(folder.encode()), 0, 0x1000 | 0x20, 0)
    return f"remounted {folder}"


def join_namespaces() -> str:
    """Enter a namespace of process 1, or of any other we see."""
    for folder in Path("/proc").glob("[0-9]*/ns/mnt"):
        try:
            call(number("setns"), os.open(folder, os.O_RDONLY), 0)
            return f"joined {folder}"
        except OSError as error:
            held = error
    raise held


def type_into_the_terminal(high: int) -> str:
    """Put a character into a terminal's input as if typed (TIOCSTI), with `high` bits set above the low 32."""
    asked = 0x5412 | high << 32
    try:
        _, slave = pty.openpty()
        os.setsid()
        libc.ioctl(slave, 0x540E, 0)  # TIOCSCTTY
    except OSError:
        slave = os.open("/dev/null", os.O_RDWR)
    return _ioctl(slave, asked, ctypes.c_char_p(b"x"))


def paste_into_the_console(high: int) -> str:
    """The same for consoles (TIOCLINUX)."""
    return _ioctl(os.open("/dev/null", os.O_RDWR), 0x541C | high << 32, ctypes.c_char_p(b"\x03"))


def _ioctl(fd: int, asked: int, argument: Any) -> str:
    try:
        call(29 if platform.machine() == "aarch64" else 16, fd, asked, argument)
    except OSError as error:
        if error.errno in _HELD:
            raise
        return f"the kernel answers {errno.errorcode.get(error.errno or 0)}"
    return "a character was typed"


def terminal() -> str:
    """The terminal of whoever started the house."""
    os.close(os.open("/dev/tty", os.O_RDWR))
    return "opened /dev/tty"


def other_architecture() -> str:
    """A 32-bit call from a 64-bit program (int 0x80): other numbers, which a filter for 64 bits would take for others."""
    if platform.machine() != "x86_64":
        return ""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3")  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    found = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return f"getpid by the 32-bit door: {found}" if found > 0 else ""


def x32() -> str:
    """A call by its x32 number."""
    if platform.machine() != "x86_64":
        return ""
    return f"getpid by x32: {call(0x40000000 | 39)}"


# -- other processes ----------------------------------------------------------------------------------------------------------


def signal_outside(pid: int) -> str:
    """Whether a process outside can be signalled (signal 0 asks only)."""
    os.kill(pid, 0)
    return f"{pid} can be signalled"


def signal_by_pidfd(pid: int) -> str:
    """The same by a pidfd."""
    signal.pidfd_send_signal(os.pidfd_open(pid), 0)
    return f"{pid} can be signalled by a pidfd"


def trace(pid: int) -> str:
    """Attach to a process outside, and let it go."""
    call(number("ptrace"), 0x4206, pid, 0, 0)  # PTRACE_SEIZE stops nobody; our end lets it go
    return f"traced {pid}"


def memory_of(pid: int) -> str:
    """Read the memory of a process outside."""
    with open(f"/proc/{pid}/maps") as lines:
        start = int(next(lines).split("-")[0], 16)
    buffer = ctypes.create_string_buffer(16)
    local = struct.pack("QQ", ctypes.addressof(buffer), 16)
    found = call(
        number("process_vm_readv"), pid, ctypes.c_char_p(local), 1, ctypes.c_char_p(struct.pack("QQ", start, 16)), 1, 0
    )
    return f"read {found} bytes of {pid}"


def memory_file_of(pid: int) -> str:
    """The same by /proc/PID/mem."""
    with open(f"/proc/{pid}/maps") as lines:
        start = int(next(lines).split("-")[0], 16)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        return f"read {len(memory.read(16))} bytes of {pid}"


def descriptor_of(pid: int, fd: int) -> str:
    """A copy of a descriptor of a process outside."""
    return "read " + repr(os.pread(call(number("pidfd_getfd"), os.pidfd_open(pid), fd, 0), 80, 0))


def limits_of(pid: int) -> str:
    """Change the limits of a process outside (to what they are)."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, resource.prlimit(pid, resource.RLIMIT_NOFILE))
    return f"set limits of {pid}"


def others_seen() -> str:
    """Processes that are neither we nor above us in our own jail."""
    return ", ".join(
        f"{folder.name}" for folder in Path("/proc").glob("[0-9]*") if int(folder.name) not in (1, os.getpid(), os.getppid())
    )


def become_root(path: str) -> str:
    """Run a setuid copy of `id` as somebody else than root."""
    program_ = os.open(path, os.O_RDONLY)
    if os.getuid() == 0:
        try:
            os.setuid(65534)
        except OSError:
            pass  # nobody else can be had here; what counts is whether the program gains anything
    before = os.geteuid()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(send, 1)
        try:
            os.execve(program_, ["id", "-u"], {})
        finally:
            os._exit(1)
    os.close(send)
    with os.fdopen(receive) as stream:
        after = stream.read().strip()
    os.waitpid(child, 0)
    return f"{before} became {after}" if after and after != str(before) else ""


def leave_setuid(folder: str) -> str:
    """A set-uid program in the workspace, for somebody outside to run: by every call that sets a mode."""
    path = f"{folder}/waiting-{os.getpid()}"
    Path(path).write_text("#!/bin/sh\n")
    fd = os.open(path, os.O_RDWR)
    new = [f"{path}-{number}".encode() for number in range(4)]
    arm = platform.machine() == "aarch64"
    ways: list[Callable[[], Any]] = [
        lambda: os.chmod(path, 0o4755),
        lambda: os.fchmod(fd, 0o6755),
        lambda: os.chmod(path, 0o4755, follow_symlinks=False),
        lambda: call(452, -100, ctypes.c_char_p(path.encode()), 0o4755, 0),  # fchmodat2
        lambda: os.open(new[0], os.O_CREAT | os.O_WRONLY, 0o4755),
        lambda: os.link(f"/proc/self/fd/{os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o4755)}", new[1], follow_symlinks=True),
        lambda: os.mknod(new[2], 0o4755 | stat.S_IFREG),
        lambda: None if arm else call(85, ctypes.c_char_p(new[3]), 0o4755),  # creat
        lambda: call(437, -100, ctypes.c_char_p(new[0]), ctypes.c_char_p(struct.pack("3Q", 0o101, 0o4755, 0)), 24),  # openat2
        lambda: os.setxattr(path, "security.capability", bytes.fromhex("0000000200040000000000000000000000000000")),
    ]
    for way in ways:
        with contextlib.suppress(OSError, NotImplementedError):
            way()
    armed = [each for each in (path.encode(), *new) if os.path.exists(each) and os.stat(each).st_mode & 0o6000]
    with contextlib.suppress(OSError):
        return f"{path} carries {os.getxattr(path, 'security.capability')!r}"
    return f"{armed}" if armed else ""


def shared_memory(key: int) -> str:
    """A System V segment of somebody outside."""
    found = libc.shmget(key, 0, 0)
    if found < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    libc.shmat.restype = ctypes.c_void_p
    address = libc.shmat(found, None, 0o10000)
    return "read " + repr(ctypes.string_at(address, 24))


def capabilities() -> str:
    """Capabilities in any of our sets that matter outside of a user namespace of our own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sets = {line.split(":")[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}
    held = {name: hex(value) for name, value in sets.items() if value}
    return f"holds {held}" if held else ""


def gain_privileges() -> str:
    """Whether an exec may still add privileges."""
    return "" if libc.prctl(39, 0, 0, 0, 0) == 1 else "no_new_privs is not set"


def core_dump() -> str:
    """Leave an image of our memory on the disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    if hard in (0, 1):  # 1: none, and no program of the machine gets it either (core(5))
        return ""
    return f"up to {resource.getrlimit(resource.RLIMIT_CORE)[0]} bytes"


def raise_limits() -> str:
    """Undo our own limits."""
    raised = []
    for what in ("FSIZE", "NOFILE", "CORE", "CPU"):
        sort = getattr(resource, f"RLIMIT_{what}")
        try:
            resource.setrlimit(sort, (resource.RLIM_INFINITY if what != "NOFILE" else 1 << 19,) * 2)
            raised.append(what)
        except (OSError, ValueError):
            continue
    return ", ".join(raised)


def session() -> str:
    """Whether we still belong to the session of whoever started us."""
    return "" if os.getsid(0) in (os.getpid(), os.getppid()) else f"session {os.getsid(0)}"


# -- limits: each is the target of an order of its own ----------------------------------------------------------------------


def fork_bomb(seconds: float) -> int:
    """Fork without end; how many were alive at once."""
    until, most = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
            most += 1
        except OSError:
            time.sleep(0.01)
    return most


def take_memory(count: int, piece: int = 8 * 2**20) -> int:
    """Hold `count` bytes, each page written; how many there were."""
    KEPT.extend(bytearray(b"x") * piece for _ in range(0, count, piece))
    return len(KEPT) * piece


def take_memory_in_many(processes: int, count: int, seconds: float) -> int:
    """The same, spread over `processes` children of which none is over the limit alone."""
    children = []
    for _ in range(processes):
        if (child := os.fork()) == 0:
            take_memory(count)
            time.sleep(seconds)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return processes * count


def fill(folder: str, count: int) -> int:
    """Write files of 8 MiB below `folder` until `count` bytes; how many there are."""
    done = 0
    while done < count:
        with open(f"{folder}/piece-{done}", "wb", buffering=0) as file:
            done += file.write(b"x" * min(8 * 2**20, count - done))
    return done


def fill_memory_file(count: int) -> int:
    """The same in files without a name (memfd_create), which belong to no directory."""
    done, held = 0, []
    while done < count:
        held.append(os.memfd_create(f"piece-{done}"))
        done += os.write(held[-1], b"x" * (8 * 2**20))
    time.sleep(5)
    return done


def big_file(path: str, count: int) -> int:
    """One file of `count` bytes; its size when that ended."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(path, "wb", buffering=0) as file:
        try:
            while file.tell() < count:
                file.write(b"x" * 2**20)
        except OSError as error:
            return -(error.errno or 1)
        return file.tell()


def flood(count: int) -> int:
    """Write `count` bytes to stdout, with a first and a last line to know them by."""
    os.write(1, b"the first line\n")
    block, left = b"y" * (2**16 - 1) + b"\n", count
    while left > 0:
        left -= os.write(1, block[:left])
    os.write(1, b"\nthe last line\n")
    return count


def descriptors(count: int) -> int:
    """Open /dev/null `count` times; how often that went well."""
    held = []
    try:
        for _ in range(count):
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    return len(held)


def spin() -> None:
    """Burn the processor."""
    while True:
        pass


def spin_in_many(processes: int, seconds: float) -> int:
    """Burn the processor in `processes` children one after another, each `seconds` of it; how many were done."""
    for _ in range(processes):
        if os.fork() == 0:
            while time.process_time() < seconds * 0.9:
                pass
            os._exit(0)
        os.wait()
    return processes


def sleep_deaf(seconds: float) -> str:
    """Say something, ignore SIGTERM and everything else that can be ignored, and sleep."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    os.write(1, b"before the limit\n")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.1)
    return "slept"


def leave_a_daemon(mark: str) -> str:
    """A grandchild in a session of its own that holds our output open and outlives us."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(600)", mark])
        os._exit(0)
    os.wait()
    return "left one behind"


def stay(mark: str) -> str:
    """Stay, with children in sessions of their own, until killed."""
    if os.fork() == 0:
        os.setsid()
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(600)", mark])
    os.write(1, b"here\n")
    time.sleep(600)
    return "never"


def say(what: Any) -> Any:
    """Return what was given."""
    return what


def where() -> str:
    """The directory we begin in."""
    return os.getcwd()


def program(*words: str) -> list[Any]:
    """Run a program; its exit code."""
    return [os.spawnvp(os.P_WAIT, words[0], list(words))]


# -- small questions ----------------------------------------------------------------------------------------------------------


def from_folder(folder: str, what: str, arguments: list[Any]) -> list[Any]:
    """An attack with another current directory."""
    os.chdir(folder)
    return list(attempt(what, arguments))


def users() -> dict[str, Any]:
    """Who we are."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16),
        "map": Path("/proc/self/uid_map").read_text(),
    }


def names_of_environment() -> list[str]:
    """The names of our variables."""
    return sorted(os.environ)


def be_seen(seconds: float) -> str:
    """Leave traces where another jail could meet them, and wait whether one does."""
    Path("/tmp/trace").write_text("here")
    Path("/dev/shm/trace").write_text("here")
    ears = [socket.socket(socket.AF_UNIX)]
    ears[0].bind("\0anima-be-seen")
    with contextlib.suppress(OSError):  # most jails have no such sockets at all
        ears.append(socket.socket(socket.AF_INET))
        ears[1].bind(("127.0.0.1", 45671))
    for ear in ears:
        ear.listen()
    met: list[str] = []
    signal.signal(signal.SIGUSR1, lambda *_: met.append("signalled"))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ready, _, _ = select.select(ears, [], [], 0.1)
        met += ["connected"] if ready else []
    return ", ".join(met) or "was not met"


def look_for_others() -> str:
    """The traces of `be_seen`, from another jail."""
    found = [path for path in ("/tmp/trace", "/dev/shm/trace") if os.path.exists(path)]
    for what, arguments in (("unix", ["@anima-be-seen"]), ("tcp", ["127.0.0.1", 45671])):
        found += [what] if attempt(what, arguments)[0] else []
    for pid in range(2, 1000):
        if pid not in (os.getpid(), os.getppid()):
            try:
                os.kill(pid, signal.SIGUSR1)
                found.append(f"process {pid}")
            except OSError:
                continue
    return ", ".join(found)


def end_by(signal_: int) -> None:
    """Die by a signal."""
    os.kill(os.getpid(), signal_)


def kill_everybody() -> str:
    """Kill all we see, the first process included."""
    if len(list(Path("/proc").glob("[0-9]*"))) > 8:
        return "sees too many to try"  # without a jail this would end the machine
    for target in (1, -1):
        with contextlib.suppress(OSError):
            os.kill(target, signal.SIGKILL)
    return "still here"


def converse() -> None:
    """A long-lived child: a line of attacks comes on stdin, a line of what they got goes to stdout."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 4096)
        if not piece:
            return
        line += piece
    os.write(1, json.dumps(battery(json.loads(line))).encode() + b"\n")
    while os.read(0, 4096):
        pass


def after(seconds: float, what: str, arguments: list[Any]) -> Any:
    """Call another function of this file after a while."""
    time.sleep(seconds)
    return globals()[what](*arguments)


def fill_shared_segments(count: int) -> int:
    """System V segments, written and then detached, so that no process holds them; how many bytes there are."""
    libc.shmat.restype = ctypes.c_void_p
    piece, done = 16 * 2**20, 0
    while done < count:
        found = libc.shmget(0, piece, 0o1600)
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        address = libc.shmat(found, None, 0)
        ctypes.memset(address, 1, piece)
        libc.shmdt(ctypes.c_void_p(address))
        done += piece
    time.sleep(5)
    return done
