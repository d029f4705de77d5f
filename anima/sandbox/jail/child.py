"""The jailed child: closes the last doors behind itself and calls the one function it was made for.

Covers: limits, Landlock and system calls of this process and of everything it starts; a clean environment; no descriptor
but its three standard ones and the pipe for its answer. The doors are closed in the one order that works: limits, Landlock,
system calls last.
Does not cover: anything that needs rights; that was done before (cell.py). Its answer is the word of a prisoner: the owner
reads it as such.
"""

import contextlib
import errno
import gc
import importlib
import os
import platform
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import msgpack

from anima.errors import Refused
from anima.sandbox.jail import bpf, landlock, mounts, syscalls
from anima.sandbox.jail.spec import LAYERS, JailSpec, Limits
from anima.sandbox.jail.view import Place

_BROKEN = 70  # exit code: the function could not be called, or its answer not be sent
_STACK_BYTES = 64 * 1024 * 1024
_CPU_GRACE_S = 2  #: between SIGXCPU and SIGKILL
_PATH_REST = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCOPES_ABI = 6  # from here on Landlock keeps abstract Unix sockets of others away


@dataclass(frozen=True, slots=True)
class Child:
    """One call, and everything the child needs to be it."""

    target: str
    arguments: Sequence[Any]
    spec: JailSpec
    places: Sequence[Place]
    abi: int
    in_fd: int  #: its standard input; the very same socket as `out_fd` for a conversation
    out_fd: int
    err_fd: int
    answer_fd: int
    ready_fd: int  #: what to say before the function is called: "held LAYERS" or "refused SENTENCE"
    namespaces: bool
    counted: bool = True  #: whether a cgroup counts its memory


def live(child: Child) -> NoReturn:
    """Close the doors, call the function, send its answer. Never returns."""
    code = _BROKEN
    try:
        answer_fd = _first_lines(child)
        found = _close_doors(child)
        if found is not None:
            code = _call(found, child, answer_fd)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:  # noqa: BLE001 - the end of the line: said on stderr, and left with code 1
        code = 1
        traceback.print_exc()
    finally:
        _leave(code)


def _first_lines(child: Child) -> int:
    """A session, standard streams and an environment of its own; where the answer goes now."""
    signal.set_wakeup_fd(-1)
    syscalls.die_with_parent(signal.SIGKILL)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    answer_fd = _arrange(child)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for life
    sys.stdout = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.umask(0o022)
    os.environ.clear()
    os.environ.update(environment(child.spec))
    os.chdir(child.spec.workspace)
    return answer_fd


def _arrange(child: Child) -> int:
    """Put every descriptor in its place, and close all others: 0 1 2, the answer, the ready pipe."""
    safe = [os.dup(fd) for fd in (child.in_fd, child.out_fd, child.err_fd, child.answer_fd, child.ready_fd)]
    base = max(safe) + 1
    high = [base + index for index in range(len(safe))]
    for fd, place in zip(safe, high, strict=True):
        os.dup2(fd, place)
    for fd, place in zip(high, range(len(high)), strict=True):
        os.dup2(fd, place, inheritable=place <= 2)  # noqa: PLR2004 - the standard ones survive an exec
    os.closerange(len(high), 1 << 20)
    return 3


_READY_FD = 4


def environment(spec: JailSpec) -> dict[str, str]:
    """The whole environment of a jailed child: an allow list, and what its order adds."""
    ours = ":".join(dict.fromkeys(f"{each}/bin" for each in (sys.prefix, sys.base_prefix)))
    return {
        "PATH": f"{ours}:{_PATH_REST}",
        "LANG": "C.UTF-8",
        "HOME": str(spec.workspace),
        "PWD": str(spec.workspace),
        "TMPDIR": str(spec.workspace) if "namespaces" in spec.off else "/tmp",
        "TERM": "dumb",
        "SHELL": "/bin/sh",
        "USER": "agent",
        "LOGNAME": "agent",
        **spec.environment,
    }


def limits(found: Limits) -> dict[int, tuple[int, int]]:
    """The limits of one process, (soft, hard) by their numbers. The jail's first process is counted among the processes."""
    cpu_s = max(1, round(found.cpu_s))
    return {
        resource.RLIMIT_CPU: (cpu_s, cpu_s + _CPU_GRACE_S),
        resource.RLIMIT_DATA: (found.memory_bytes, found.memory_bytes),
        resource.RLIMIT_STACK: (min(_STACK_BYTES, found.memory_bytes),) * 2,
        resource.RLIMIT_FSIZE: (found.file_bytes,) * 2,
        resource.RLIMIT_NOFILE: (found.files,) * 2,
        resource.RLIMIT_NPROC: (found.processes + 1,) * 2,
        resource.RLIMIT_CORE: (1, 1),  # none; 0 would still start a program that the machine gives its cores to
        resource.RLIMIT_MEMLOCK: (8 << 20,) * 2,
    }


def _close_doors(child: Child) -> Callable[..., Any] | None:
    """Apply what the order wants; the function to call, or None if something cannot be had, which has been said."""
    off = child.spec.off
    held = [name for name in LAYERS if name not in (*off, "landlock", "seccomp", "rlimits")]
    found = _target(child.target)
    syscalls.no_new_privileges()
    doors: dict[str, Callable[[], None]] = {
        "rlimits": lambda: _limit(child.spec.limits),
        "landlock": lambda: landlock.restrict(child.abi, allowed(child), network=child.spec.network),
        "seccomp": lambda: _judge_calls(child),
    }
    for name, close in doors.items():
        if name in off:
            continue
        try:
            close()
        except (OSError, ValueError, KeyError, Refused) as error:
            os.write(_READY_FD, f"refused the layer '{name}' cannot be had: {error}".encode()[:2000])
            return None
        held.append(name)
    os.write(_READY_FD, f"held {' '.join(held)}".encode())
    os.close(_READY_FD)
    syscalls.set_dumpable(dumpable=True)  # its own /proc/self; nobody outside this jail is of its user
    return found


def _target(address: str) -> Callable[..., Any]:
    """The function, found before the doors close: it may have to be imported."""
    module, _, name = address.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _limit(found: Limits) -> None:
    for number, pair in limits(found).items():
        hard = resource.getrlimit(number)[1]
        if hard == resource.RLIM_INFINITY:
            resource.setrlimit(number, pair)
        else:
            resource.setrlimit(number, (min(pair[0], hard), min(pair[1], hard)))


def _judge_calls(child: Child) -> None:
    hidden = child.abi >= _SCOPES_ABI and "landlock" not in child.spec.off
    own_network = not child.spec.network and "network" not in child.spec.off
    counted = child.counted or "memory" in child.spec.off
    unix = hidden or own_network
    syscalls.seccomp(bpf.program(platform.machine(), network=child.spec.network, unix=unix, counted=counted))


def allowed(child: Child) -> list[tuple[str, int]]:
    """What Landlock allows: the places of the view once more."""
    found = []
    for place in child.places:
        if place.kind in ("work", "keep") or (place.kind == "fresh" and child.namespaces):
            found.append((place.path, landlock.READ | landlock.WRITE))
        elif place.kind in ("show", "proc") or (place.kind == "etc" and child.namespaces):
            found.append((place.path, landlock.READ))
    if child.namespaces:
        found += [
            ("/", landlock.READ_DIR),
            ("/dev", landlock.DEVICE | landlock.READ_DIR),
            ("/dev/shm", landlock.READ | landlock.WRITE),
        ]
    else:
        found += [(f"/dev/{name}", landlock.DEVICE) for name in mounts.DEVICES]
        found += [(path, landlock.READ) for path in mounts.etc_paths(network=child.spec.network)]
    return found


def _call(function: Callable[..., Any], child: Child, answer_fd: int) -> int:
    gc.enable()
    answer = function(*child.arguments)
    try:
        packed = msgpack.packb(answer)
    except (TypeError, ValueError, OverflowError) as error:
        sys.stderr.write(f"{child.target} answered with something that cannot be sent: {error}\n")
        return _BROKEN
    rest = memoryview(packed)
    try:
        while rest:
            rest = rest[os.write(answer_fd, rest) :]
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        return _BROKEN  # more than the owner wants to read
    return 0


def _leave(code: int) -> NoReturn:
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # closed by the function, or nobody reads it
                stream.flush()
    finally:
        os._exit(code & 0xFF)
