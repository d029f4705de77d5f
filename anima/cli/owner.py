"""Root at the house of somebody else: it acts as the one to whom the house belongs, or files of root's would lie in there.

Covers: the user, its groups, its environment. Does not cover: files outside of the house, which that user may not reach.
"""

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path

import anima
from anima.errors import AnimaError, Refused
from anima.paths import SYSTEM_RUN, Home, find_home
from anima.supervisor.kernel import hide_memory

_AS_ROOT = frozenset(
    {"install", "uninstall", "logs"}
)  #: units and users are root's to make, the system's log is root's to read


def whom(command: str, caller: int, owner: int | None) -> int | None:
    """The uid to become for `command`; None for none. `owner` is whose the home is, None if there is none yet. Pure."""
    return owner if caller == 0 and owner and command not in _AS_ROOT else None


def theirs(environ: Mapping[str, str], name: str, folder: str, run: str) -> dict[str, str]:
    """The environment of the user `name`, instead of root's own; `run` is $XDG_RUNTIME_DIR, "" for none. Pure."""
    kept = {key: value for key, value in environ.items() if not key.startswith("XDG_")}
    return {**kept, "HOME": folder, "USER": name, "LOGNAME": name, **({"XDG_RUNTIME_DIR": run} if run else {})}


def act_as_owner(home: Home, command: str) -> Home:
    """If root runs `command`, become whom the home belongs to, for good; the home as it is for that user.

    Raises Refused if this process cannot become that user, or that user cannot run this program.
    """
    told = home.root.stat() if os.geteuid() == 0 and home.root.exists() else None
    if told is None or (uid := whom(command, 0, told.st_uid)) is None:
        return home
    try:
        person = pwd.getpwuid(uid)
    except KeyError:  # as in a container that knows no users; the number does
        person = pwd.struct_passwd((str(uid), "", uid, told.st_gid, "", "/", ""))
    name = person.pw_name
    try:
        if home.run == SYSTEM_RUN and not home.run.exists():  # without its service; only root may make it
            home.run.mkdir(mode=0o700)
            os.chown(home.run, uid, person.pw_gid)
        os.initgroups(name, person.pw_gid)
        os.setgid(person.pw_gid)
        os.setuid(uid)
    except OSError as error:
        raise Refused(
            f"{home.root} belongs to {name}, and root cannot become {name} here ({error.strerror}); run this as {name}"
        ) from None
    hide_memory()  # the kernel forgot it with the user
    os.umask(0o077)
    run = f"/run/user/{uid}"
    environ = theirs(os.environ, name, person.pw_dir, run if Path(run).is_dir() else "")
    os.environ.clear()
    os.environ.update(environ)
    for needed in (sys.executable, anima.__file__):
        if not os.access(needed, os.R_OK):
            raise Refused(
                f"{home.root} belongs to {name}, who cannot read this program ({needed}); install it where everybody may, "
                "e.g. in /opt/anima"
            )
    return find_home(os.environ, str(home.root))


def aside(error: AnimaError | OSError, caller: int) -> str:
    """What to add to a complaint of a process that began as `caller`: that it was its new user who was not permitted."""
    if caller == os.geteuid() or not any(isinstance(each, PermissionError) for each in (error, error.__context__)):
        return ""
    name = os.environ["USER"]
    return f"; the house belongs to {name}, who does this in root's place: choose a file that {name} may use, e.g. one in /tmp"
