"""The house as a service of launchd: a LaunchAgent of one person, or a LaunchDaemon that runs as the person who installs it.

Nothing here was tried on a Mac. The tests read the files, and run all of it with a stand-in for launchctl.
"""

import os
import plistlib
import shutil
import sys
import time
from pathlib import Path

from anima.cli import root
from anima.cli.shipped import shipped
from anima.cli.steps import Steps, run, succeeds
from anima.errors import Refused, Unavailable
from anima.paths import Home, find_home

LABEL = "io.github.anima"
UP_TIMEOUT_S, GONE_TIMEOUT_S = 120.0, 100.0


class Launchd:
    """The agent of one person, or the daemon that leads the same house from boot on."""

    def __init__(self, home: Home, *, system: bool) -> None:
        self.system = system
        self.user = os.environ.get("SUDO_USER", "") if system else ""  #: whom the house runs as, if not whoever installs it
        self.home = _home_of(self.user) if self.user else home
        self._domain = "system" if system else f"gui/{os.getuid()}"

    @property
    def plist(self) -> Path:
        """Where launchd looks for it."""
        folder = Path("/Library/LaunchDaemons") if self.system else Path.home() / "Library/LaunchAgents"
        return folder / f"{LABEL}.plist"

    def files(self) -> dict[Path, str]:
        """Everything that is written, by path."""
        told = plistlib.loads(shipped("launchd", "daemon.plist" if self.system else "agent.plist").encode())
        told["ProgramArguments"] = [sys.executable, "-m", "daemons", "--home", str(self.home.root)]
        told["StandardErrorPath"] = str(self.home.log_file("stderr"))
        if self.system:
            told["UserName"] = self.user
        return {self.plist: plistlib.dumps(told).decode()}

    def check(self) -> None:
        """Raise Refused if nothing can be installed here, with what to do about it."""
        if not shutil.which("launchctl"):
            raise Refused("there is no launchd here; start the house with `animactl up --detach`")
        if self.system and (os.geteuid() != 0 or not self.user):
            raise Refused("a LaunchDaemon is root's to install, for the person who asks: sudo animactl install --system")

    def installed_home(self) -> str:
        """The home that the installed service leads; "" if there is none."""
        if not self.plist.exists():
            return ""
        return str(plistlib.loads(self.plist.read_bytes())["ProgramArguments"][-1])

    def prepare(self, steps: Steps) -> None:
        """The folder launchd opens the log in, which it does not make."""
        if not steps.dry:
            run("/bin/mkdir", "-p", str(self.home.log), user=self.user)

    def is_active(self) -> bool:
        """Whether launchd has it."""
        return succeeds("launchctl", "print", f"{self._domain}/{LABEL}")

    def is_enabled(self) -> bool:
        """Whether it starts by itself: whatever lies in that folder does."""
        return self.plist.exists()

    def reread(self) -> None:
        """Nothing to do: launchd reads the file when it is told to start it."""

    def enable(self) -> None:
        """Undo a `launchctl disable` of earlier."""
        run("launchctl", "enable", f"{self._domain}/{LABEL}")

    def disable(self) -> None:
        """Nothing to do: without its file it does not start."""

    def start(self) -> None:
        """Start it, or start it anew, and wait until all are up. Raises Refused with the reason if they do not come."""
        if self.is_active():
            self.stop()
        run("launchctl", "bootstrap", self._domain, str(self.plist))
        deadline = time.monotonic() + UP_TIMEOUT_S
        while not self._is_up():
            if time.monotonic() > deadline:
                raise Refused(f"the house is not up after {UP_TIMEOUT_S:g} s; see {self.home.log_file('supervisor')}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Take it from launchd and wait until it is gone."""
        if self.is_active():
            run("launchctl", "bootout", f"{self._domain}/{LABEL}", timeout_s=GONE_TIMEOUT_S)
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while root.is_up(self.home):
            if time.monotonic() > deadline:
                raise Refused(f"the house still stops after {GONE_TIMEOUT_S:g} s; see {self.home.log_file('supervisor')}")
            time.sleep(0.1)

    def hints(self) -> list[str]:
        """What a person may want to know once it runs."""
        return [
            f"status:  launchctl print {self._domain}/{LABEL}      log:  animactl logs supervisor -f",
            "end:     animactl uninstall" + (" --system (with sudo)" if self.system else ""),
        ]

    def remove_user(self) -> None:
        """Nothing to do: it is a person."""

    def _is_up(self) -> bool:
        try:
            told = root.request(self.home, "status")["supervisor"]
        except Unavailable:
            return False
        return bool(told["state"] == "running")


def _home_of(user: str) -> Home:
    import pwd

    try:
        return find_home({"HOME": pwd.getpwnam(user).pw_dir})
    except KeyError:
        raise Refused(f"there is no user '{user}' here, whom $SUDO_USER names") from None
