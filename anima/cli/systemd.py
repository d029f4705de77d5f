"""The house as a service of systemd: which files, which commands, and what systemd says when it does not start."""

import os
import re
import shutil
import sys
from pathlib import Path

from anima.cli.shipped import shipped
from anima.cli.steps import Steps, run, succeeds
from anima.errors import Refused
from anima.paths import SYSTEM_HOME, SYSTEM_USER, Home

UNIT = "anima.service"
START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 120.0
_SINCE_254 = 254
_CATALOG = Path("/usr/local/lib/systemd/catalog/anima.catalog")  # of what the machine's own packages did not bring
_HERE = """\
# Written by `animactl install`, and anew the next time. What you want otherwise belongs into another file of this folder.
[Service]
ExecStart=
ExecStart={python} -m daemons --home {home}
"""
#: The empty line takes back the mode as well.
_RUNTIME = "RuntimeDirectory=\nRuntimeDirectory={name}\nRuntimeDirectoryMode=0700\n"


class Systemd:
    """The service of one person, or the one of the system."""

    def __init__(self, home: Home, *, system: bool) -> None:
        self.system = system
        self.home = home
        self.user = SYSTEM_USER if system else ""  #: whom the house runs as, if it is not whoever installs it
        self._systemctl = ("systemctl",) if system else ("systemctl", "--user")
        self._log = "journalctl -u anima" if system else "journalctl --user -u anima"

    @property
    def folder(self) -> Path:
        """Where an administrator, or a person, keeps units."""
        if self.system:
            return Path("/etc/systemd/system")
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config) / "systemd/user"

    def files(self) -> dict[Path, str]:
        """Everything that is written, by path. Raises Refused if systemd does not answer."""
        beside = self.folder / f"{UNIT}.d"
        found = {
            self.folder / UNIT: shipped("systemd", UNIT if self.system else f"user/{UNIT}"),
            beside / "here.conf": here(sys.executable, self.home, named=not self.system),
        }
        if self._version() >= _SINCE_254:
            found[beside / "since-254.conf"] = shipped("systemd", "since-254.conf")
        if self.system:
            for kind in ("sysusers.d", "tmpfiles.d"):
                found[Path("/etc") / kind / "anima.conf"] = shipped("systemd", f"{kind}/anima.conf")
            found[_CATALOG] = shipped("systemd", "anima.catalog")
        return found

    def check(self) -> None:
        """Raise Refused if nothing can be installed here, with what to do about it."""
        if not shutil.which("systemctl"):
            raise Refused("there is no systemd here; start the house with `animactl up --detach`")
        if self.system and os.geteuid() != 0:
            raise Refused("a service of the system is root's to install; run it with sudo, or leave out --system")
        if not succeeds(*self._systemctl, "show-environment"):
            raise Refused(
                "systemd does not answer; is it what this machine was booted with?"
                if self.system
                else "your systemd does not answer, as if you had not logged in (`su` is no login): log in as that user, "
                "or install for the system: sudo animactl install --system"
            )
        if self.system:
            check_reach(Path(sys.prefix), Path(sys.base_prefix))

    def installed_home(self) -> str:
        """The home that the installed service leads; "" if there is none, or nobody can tell."""
        path = self.folder / f"{UNIT}.d/here.conf"
        found = re.search(r'--home "(.*)"$', path.read_text() if path.exists() else "", re.MULTILINE)
        return re.sub(r"([%$])\1|\\(.)", r"\1\2", found[1]) if found else ""

    def prepare(self, steps: Steps) -> None:
        """What must be there before the unit: for the system, its user and the home."""
        if not self.system:
            return
        if _uid(SYSTEM_USER) is None:
            conf = self._sysusers()
            steps.do(
                f"make the user {SYSTEM_USER}",
                lambda: run("systemd-sysusers", "--inline", *conf),
                lambda: run("userdel", SYSTEM_USER),
                f"there is no user {SYSTEM_USER}",
            )
        if not self.home.root.exists():
            steps.do(
                f"make {self.home.root}", self._make_home, lambda: shutil.rmtree(self.home.root), f"{self.home.root} is gone"
            )
        elif (before := self.home.root.stat()).st_uid != _uid(SYSTEM_USER):  # root's, as of a `restore` before there was a user
            steps.do(
                f"give {self.home.root} to the user {SYSTEM_USER}",
                self._make_home,
                lambda: _give(self.home.root, before.st_uid, before.st_gid),
                f"{self.home.root} belongs to whom it did",
            )
        if not steps.dry:
            self._check_user()

    def is_active(self) -> bool:
        """Whether it runs now."""
        return succeeds(*self._systemctl, "is-active", "--quiet", UNIT)

    def is_enabled(self) -> bool:
        """Whether it starts by itself."""
        return succeeds(*self._systemctl, "is-enabled", "--quiet", UNIT)

    def reread(self) -> None:
        """Let systemd read what was written, and the journal what its messages mean."""
        run(*self._systemctl, "daemon-reload")
        if self.system and shutil.which("journalctl"):
            run("journalctl", "--update-catalog")

    def enable(self) -> None:
        """Have it started at boot, or at login."""
        run(*self._systemctl, "enable", UNIT)

    def disable(self) -> None:
        """The opposite."""
        run(*self._systemctl, "disable", UNIT)

    def start(self) -> None:
        """Start it, or start it anew, and wait until it says READY. Raises Refused with its own reason."""
        succeeds(*self._systemctl, "reset-failed", UNIT)  # earlier failures do not count against a person's order
        try:
            run(*self._systemctl, "restart", UNIT, timeout_s=START_TIMEOUT_S)
        except Refused as error:
            raise Refused(self._why() or f"{error}") from None

    def stop(self) -> None:
        """End it in order, and forget that it failed."""
        run(*self._systemctl, "stop", UNIT, timeout_s=STOP_TIMEOUT_S)
        succeeds(*self._systemctl, "reset-failed", UNIT)

    def hints(self) -> list[str]:
        """What a person may want to know once it runs."""
        flag = "" if self.system else " --user"
        found = [
            f"status:  systemctl{flag} status anima      log:  {self._log} -f",
            f"change:  systemctl{flag} edit anima        end:  animactl uninstall{' --system' if self.system else ''}",
        ]
        if self.system:
            return [*found, f"talk:    sudo animactl --home {self.home.root} chat NAME"]
        return [*found, *self._lingering()]

    def _lingering(self) -> list[str]:
        name = os.environ.get("USER") or Path.home().name
        if Path(f"/var/lib/systemd/linger/{name}").exists():
            return []
        return [
            "It ends when you log out for good and begins when you log in, as every service of a person does. To have it run",
            f"from boot on, whether you are logged in or not: loginctl enable-linger {name}",
        ]

    def remove_user(self) -> None:
        """Of the system's house, once its home is gone."""
        if self.system:
            run("userdel", SYSTEM_USER)

    def _why(self) -> str:
        told = dict(
            line.split("=", 1)
            for line in run(*self._systemctl, "show", UNIT, "--property=StatusText,Result,ExecMainStatus").splitlines()
        )
        if told.get("StatusText"):
            return told["StatusText"]
        result = told.get("Result", "")
        return f"the service failed ({result}, exit code {told.get('ExecMainStatus', '?')}); see `{self._log}`"

    def _version(self) -> int:
        found = re.search(r"systemd (\d+)", run("systemctl", "--version"))
        return int(found[1]) if found else 0

    def _sysusers(self) -> list[str]:
        lines = shipped("systemd", "sysusers.d/anima.conf").splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    def _make_home(self) -> None:
        import pwd

        self.home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = pwd.getpwnam(SYSTEM_USER)
        _give(self.home.root, user.pw_uid, user.pw_gid)

    def _check_user(self) -> None:
        try:
            run(sys.executable, "-P", "-c", "import anima, zmq", user=SYSTEM_USER)
        except Refused as error:
            raise Refused(f"the user {SYSTEM_USER} cannot run this program ({error}); {_ELSEWHERE}") from None


_ELSEWHERE = "install it where everybody may read it: python3 -m venv /opt/anima; /opt/anima/bin/pip install anima"


def check_reach(*prefixes: Path) -> None:
    """Raise Refused if the system's service could not see this program: it sees no homes, and a /tmp of its own."""
    for prefix in prefixes:
        real = prefix.resolve()
        for hidden in ("/home", "/root", "/run/user", "/tmp", "/var/tmp"):  # noqa: S108 - compared, not used
            if real.is_relative_to(hidden):
                raise Refused(f"a service of the system does not see {hidden}, and {real} is in it; {_ELSEWHERE}")


def here(python: str, home: Home, *, named: bool) -> str:
    """The drop-in that says where the program and, where it may be `named`, the home is."""
    text = _HERE.format(python=quoted(python), home=quoted(str(home.root)))
    return text + _RUNTIME.format(name=home.run.name) if named else text


def quoted(word: str) -> str:
    """`word` as one word of a command line in a unit. Raises Refused if it cannot be one."""
    if not word.isprintable():
        raise Refused(f"{word!r} cannot stand in a unit; choose a path without control characters")
    for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(letter, written)
    return f'"{word}"'


def _uid(user: str) -> int | None:
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _give(folder: Path, uid: int, gid: int) -> None:
    """Have all of it belong to somebody else; the folder itself last, and no link is followed."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.lchown(os.path.join(place, name), uid, gid)  # noqa: PTH118 - one string more, not a path object each
    os.lchown(folder, uid, gid)


def system_home(home: Home) -> Home:
    """The house of the system, unless `home` was chosen to be another. Raises Refused then."""
    from anima.paths import find_home

    if home.root not in (SYSTEM_HOME, find_home({**os.environ, "ANIMA_HOME": ""}).root):
        raise Refused(f"the system's house is at {SYSTEM_HOME}, not at {home.root}; leave out --home and ANIMA_HOME")
    return find_home({}, str(SYSTEM_HOME))
