"""What `doctor` looks at: the ground the house stands on, one finding per question.

Each check reads and changes nothing; what it finds is ok, warn (works, with a risk) or bad (will not work), with what
to do about it.
"""

import contextlib
import os
import platform
import pwd
import resource
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from anima.config.load import agent_names, load_agent, load_house
from anima.errors import AnimaError, ConfigError
from anima.limits import MIB
from anima.paths import SYSTEM_HOME, SYSTEM_USER, Home

OK, WARN, BAD = "ok", "warn", "bad"
_SQLITE_SAFE = (3, 51, 3)
_FDS_MIN = 1024
_DISK_BAD_BYTES, _DISK_WARN_BYTES = 64 * MIB, 1024 * MIB


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    verdict: str  #: ok, warn or bad
    topic: str
    text: str


def checks() -> list[Callable[[Home], Iterator[Finding]]]:
    """All checks, in the order they are told."""
    return [_python, _sqlite, _kernel, _descriptors, _home, _runtime, _disk, _configuration, _pid_files]


def _python(_: Home) -> Iterator[Finding]:
    yield Finding(OK, "python", f"{platform.python_version()} at {sys.executable} on {platform.system()} {platform.release()}")


def _sqlite(_: Home) -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < _SQLITE_SAFE:
        yield Finding(
            WARN,
            "sqlite",
            f"{version}: before 3.51.3 a journal that several programs open at once can be damaged; this house opens each file "
            "once, so let no other program open it while the house runs",
        )
    else:
        yield Finding(OK, "sqlite", version)


def _kernel(_: Home) -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding(
            WARN, "kernel", f"{sys.platform} has no pidfds, no subreaper and no parent-death signal: orphans can survive"
        )
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
        yield Finding(OK, "kernel", "pidfds, subreaper and parent-death signal")
    except OSError as error:
        yield Finding(
            WARN, "kernel", f"no pidfds ({error.strerror}): signals go by PID, which can be reused; Linux 5.3 has them"
        )


def _descriptors(home: Home) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(_FDS_MIN, 8 * len(agent_names(home)) + 128)
    if soft < needed:
        yield Finding(
            WARN, "open files", f"at most {soft}, {needed} would be safe; raise it with `ulimit -n {min(needed, hard)}`"
        )
    else:
        yield Finding(OK, "open files", f"at most {soft}")


def _home(home: Home) -> Iterator[Finding]:
    if not home.root.exists():
        yield Finding(OK, "home", f"{home.root} is not there yet; `animactl up` makes it")
        return
    yield _folder("home", home.root, _owner(home))
    for folder in (home.state, home.log, home.agents):
        if folder.exists():
            found = _folder(folder.name, folder, _owner(home))
            if found.verdict != OK:
                yield found


def _owner(home: Home) -> int:
    """Whom everything of the house should belong to: whoever looks, but root may look after the house of the system."""
    if home.root == SYSTEM_HOME and os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER).pw_uid
    return os.geteuid()


def _folder(topic: str, folder: Path, owner: int) -> Finding:
    about = folder.stat()
    if not stat.S_ISDIR(about.st_mode):
        return Finding(BAD, topic, f"{folder} is no folder; move it away")
    if about.st_uid != owner:
        return Finding(BAD, topic, f"{folder} belongs to user {about.st_uid}, not to {owner}; run as its owner or chown it")
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        return Finding(BAD, topic, f"{folder} cannot be written; correct its permissions or its file system")
    if about.st_mode & 0o022:
        return Finding(BAD, topic, f"{folder} can be written by others; run `chmod go-w {folder}`")
    if about.st_mode & 0o055 and topic != "home":
        return Finding(WARN, topic, f"{folder} can be read by others; run `chmod go-rwx {folder}`")
    return Finding(OK, topic, str(folder))


def _runtime(home: Home) -> Iterator[Finding]:
    try:
        home.check_lengths()
    except ConfigError as error:
        yield Finding(BAD, "runtime", str(error))
        return
    if home.run.exists():
        yield _folder("runtime", home.run, _owner(home))
    else:
        yield Finding(OK, "runtime", f"{home.run} (made when the house starts)")


def _disk(home: Home) -> Iterator[Finding]:
    place = home.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    told = f"{free / (1024 * MIB):.1f} GB free at {place}"
    if free < _DISK_BAD_BYTES:
        yield Finding(BAD, "disk", f"{told}: nothing more can be stored soon; free some space")
    elif free < _DISK_WARN_BYTES:
        yield Finding(WARN, "disk", f"{told}: free some space before it is gone")
    else:
        yield Finding(OK, "disk", told)


def _configuration(home: Home) -> Iterator[Finding]:
    try:
        load_house(home)
        yield Finding(OK, "settings", str(home.config) if home.config.exists() else "all defaults")
        names = agent_names(home)
    except ConfigError as error:
        yield Finding(BAD, "settings", str(error))
        return
    for name in names:
        try:
            off = load_agent(home, name).policy.layers_off
        except AnimaError as error:
            yield Finding(BAD, f"agent {name}", str(error))
            continue
        if off:
            yield Finding(WARN, f"agent {name}", f"its tools run without {', '.join(off)} (layers_off in its agent.toml)")
    if not names:
        yield Finding(OK, "agents", "none yet; `animactl create NAME` makes one")


def _pid_files(home: Home) -> Iterator[Finding]:
    for path in sorted(home.run.glob("*.pid")):
        try:
            pid, started = (int(word) for word in path.read_text().split())
        except (OSError, ValueError):
            yield Finding(WARN, "pid file", f"{path} is no PID file; remove it")
            continue
        if _start_time(pid) != started:
            yield Finding(WARN, "pid file", f"{path} speaks of process {pid}, which is gone; the next start replaces it")


def _start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot (proc(5), field 22); 0 if it does not run."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(content.rpartition(b")")[2].split()[19])
