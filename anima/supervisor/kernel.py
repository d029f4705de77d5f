"""The things Linux does for a supervisor that Python has no name for. Elsewhere they do nothing and say so."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from anima.limits import MIB

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_MADV_COLLAPSE = 25  # since Linux 6.1
_HUGE_PAGE_BYTES = 2 * MIB

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prctl(option: int, argument: int | bytes) -> bool:
    if _libc is None:
        return False
    value = ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    return bool(_libc.prctl(option, value, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0)


def adopt_orphans() -> bool:
    """Become the parent of every orphan below this process, however it daemonised. False where the kernel cannot."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """Have the kernel kill this process when the thread that forked it dies. False where the kernel cannot.

    A change of uid and the exec of a set-uid file clear it. The caller compares getppid() afterwards: the parent may
    have died before.
    """
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def set_comm(name: str) -> bool:
    """Set what `top` and /proc/PID/comm show, at most 15 bytes. False where the kernel cannot."""
    return _prctl(_PR_SET_NAME, os.fsencode(name)[:15])


def hide_memory() -> bool:
    """Let nobody of the same user read this process's memory or environment, and no crash write them to a disk.

    The limit of core files alone is not enough: where the machine pipes cores to a program, Linux starts it in spite of a
    limit of 0. A fork inherits both; an exec gives up the second, so whoever comes from one says it again. From here on
    most of /proc/self belongs to root: as another user this process cannot map users into a namespace any more.
    False where the kernel knows only the limit.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _prctl(_PR_SET_DUMPABLE, 0)


def join_group(path: str) -> bool:
    """Move this process into the cgroup whose `cgroup.procs` is `path`. False if there is none: it counts with the root."""
    try:
        return bool(path) and Path(path).write_text("0") > 0
    except OSError:
        return False


def offer_first(score: int) -> bool:
    """Have this process ended before its parent, by so much (0 to 1000), when memory runs out. False if that cannot be.

    Who hides its memory and is not root may not write the file: it shows itself for that one moment.
    """
    own = Path("/proc/self/oom_score_adj")
    hidden = os.geteuid() != 0 and _prctl(_PR_SET_DUMPABLE, 1)
    try:
        return own.write_text(str(min(int(own.read_text()) + score, 1000))) > 0
    except OSError:
        return False
    finally:
        if hidden:
            _prctl(_PR_SET_DUMPABLE, 0)


def gather_memory() -> int:
    """Have the memory of this process held in huge pages where that is possible; the bytes that are. 0 where the kernel cannot.

    A fork copies one entry per page, and the end of a child gives each back: 2 MiB pages instead of 4 KiB ones halve
    both for a process of 80 MB. A page is split again where somebody writes to it, so nothing else changes. Takes
    about 2.5 ms per huge page.
    """
    try:
        mappings = Path("/proc/self/maps").read_text().splitlines()
    except FileNotFoundError:
        return 0
    gathered = 0
    for line in mappings:
        span, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights != "rw-p" or inode != "0" or (name and name[0] != "[heap]"):
            continue  # shared, a file's, or a stack
        start, end = (int(address, 16) for address in span.split("-"))
        start, end = -(-start // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES, end // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
        if _libc and start < end and _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_COLLAPSE) == 0:
            gathered += end - start
    return gathered


def tasks() -> int:
    """How many threads this process has: all of them where the system tells, else those that Python knows."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - hot: before every fork
    except FileNotFoundError:
        return len(sys._current_frames())  # noqa: SLF001 - documented, and no import of threading in the root
