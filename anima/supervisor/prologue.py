"""The first lines of a child, and its last one. Runs in the child only, whether it was forked or started by exec.

Everything inherited that could tie it to the root is undone here, in an order that matters: signals first, so that
nothing of the root's answers them; descriptors next, so that no lifeline of a sibling stays open.
"""

import contextlib
import faulthandler
import gc
import itertools
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from anima.errors import AnimaError, Exit
from anima.supervisor import kernel
from anima.supervisor.boot import Boot
from anima.supervisor.pidfile import write_pid_file

Become = Callable[[Boot], int]  #: a whole life; what it returns is the exit code

#: Addressed to the root alone; a child that used them would speak to systemd in the root's name.
ROOTS_OWN = ("NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

_RESETTABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}  # worked out before any fork: it takes 50 us


@dataclass(frozen=True)
class Birth:
    """What the first lines need beside the Boot."""

    boot: Boot
    root: int  #: PID of the root; another parent means that the root died meanwhile
    nofile: int  #: soft limit of open files as it was before the root raised its own
    output_w: int  #: where stdout and stderr go; -1 if they already do
    group: str = ""  #: the file whereby it joins its cgroup; "" where there is none
    oom_score: int = 0  #: how much sooner than the root it is ended when memory runs out


def live(birth: Birth, become: Become) -> NoReturn:
    """Undo what was inherited, lead the life of `birth`, leave with its exit code. Never returns, never unwinds."""
    code: int = Exit.BUG
    try:
        _first_lines(birth)
        code = become(birth.boot)
    except AnimaError as error:
        code = error.exit
        _last_words(birth.boot, f"{error}")
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:  # noqa: BLE001 - the end of the line: said on stderr, told to the root, and left with code 1
        _last_words(birth.boot, "".join(traceback.format_exception_only(error)).strip())
        traceback.print_exc()
    finally:
        _leave(code)


def live_by_exec(arguments: list[str], become: Become) -> NoReturn:
    """`live` for a child that was started by exec with `--boot-fd N`; called by the program that `exec_argv` names."""
    fd = int(arguments[arguments.index("--boot-fd") + 1])
    with os.fdopen(fd, "rb") as record:
        told = json.loads(record.read())
    live(Birth(**{**told, "boot": Boot.from_json(told["boot"])}), become)


def _first_lines(birth: Birth) -> None:
    boot = birth.boot
    _default_signals()
    _close_all_but(0, 1, 2, boot.notify_fd, boot.output_fd, birth.output_w)
    _point_standard_fds(birth.output_w)
    os.setsid()
    kernel.join_group(birth.group)
    kernel.offer_first(birth.oom_score)
    kernel.die_with_parent()
    if os.getppid() != birth.root:
        os._exit(Exit.TRY_LATER)  # the root died before the line above could take effect
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (birth.nofile, hard))
    for word in ROOTS_OWN:
        os.environ.pop(word, None)
    write_pid_file(boot.house.pid_file(boot.name))
    kernel.set_comm(boot.name)
    # Everyone: whoever was forked has all that the root had read, and the root reads every key. What the sandbox starts is
    # an exec with an environment of its own; it knows no key but the one in its call, and maps users, which needs /proc/self.
    kernel.hide_memory()
    faulthandler.enable(file=2)  # ABRT writes the stack to our log
    gc.enable()


def _default_signals() -> None:
    """Python's own defaults, nothing blocked, nothing written to the root's wake-up pipe."""
    signal.set_wakeup_fd(-1)
    ignored = (signal.SIGPIPE, signal.SIGXFSZ)  # as Python itself starts: they become exceptions
    for number in _RESETTABLE:
        if signal.getsignal(number) is not signal.SIG_DFL:
            with contextlib.suppress(OSError):  # numbers the C library keeps for itself
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_all_but(*kept: int) -> None:
    highest = max(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208 - plain numbers wanted
    edges = sorted({-1, *kept, highest + 1})
    for below, above in itertools.pairwise(edges):
        if below + 1 < above:  # an empty range at 0 would be close_range(0, -1): everything
            os.closerange(below + 1, above)  # one system call each; what is not open is no error


def _point_standard_fds(output_w: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if output_w >= 0:
        os.dup2(output_w, 1)
        os.dup2(output_w, 2)
        os.close(output_w)
    # New streams: the root's own may be files with a position, which a pipe has not, and hold words it has yet to write.
    sys.stdout = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - for life
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def _last_words(boot: Boot, reason: str) -> None:
    """Tell the root why, so that `status` can. Best effort: the exit code says it too."""
    with contextlib.suppress(OSError):
        os.write(boot.notify_fd, f"X_REASON={' '.join(reason.split())}".encode("utf-8", "replace"))


def _leave(code: int) -> NoReturn:
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code & 0xFF)
