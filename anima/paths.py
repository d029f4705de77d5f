"""Where things are. The only part that knows the layout of $ANIMA_HOME and of the runtime directory."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anima.errors import ConfigError
from anima.limits import socket_path_bytes_max

SYSTEM_HOME = Path("/var/lib/anima")  #: of the one house that is the system's own (systemd/anima.service)
SYSTEM_RUN = Path("/run/anima")
SYSTEM_USER = "anima"


@dataclass(frozen=True)
class Home:
    """One house on disk: `root` holds what must survive, `run` what ends with the machine's uptime."""

    root: Path
    run: Path

    @property
    def config(self) -> Path:
        """Settings of the whole house."""
        return self.root / "anima.toml"

    @property
    def secrets(self) -> Path:
        """Credentials, 0600."""
        return self.root / "secrets.toml"

    @property
    def models(self) -> Path:
        """Definitions of models that agents share, one file each."""
        return self.root / "models"

    @property
    def agents(self) -> Path:
        """One folder per agent."""
        return self.root / "agents"

    def agent(self, name: str) -> Path:
        """The folder of one agent."""
        return self.agents / name

    @property
    def workspaces(self) -> Path:
        """One folder per agent, the only ones of the house that tools may see."""
        return self.root / "workspace"

    def workspace(self, name: str) -> Path:
        """The directory the tools of one agent work in, unless its policy names another."""
        return self.workspaces / name

    @property
    def state(self) -> Path:
        """Databases, each with one owner."""
        return self.root / "state"

    @property
    def journal(self) -> Path:
        """Every fact."""
        return self.state / "journal.db"

    @property
    def mneme(self) -> Path:
        """What is remembered, of all agents."""
        return self.state / "mneme.db"

    @property
    def purser(self) -> Path:
        """The purser's book: what every call of a model took."""
        return self.state / "purser.db"

    @property
    def thymos(self) -> Path:
        """How the agents feel, and what moved them."""
        return self.state / "thymos.db"

    @property
    def outputs(self) -> Path:
        """One folder per agent with whole outputs of its calls, to be paged through; the oldest go first."""
        return self.state / "output"

    def records(self, name: str) -> Path:
        """What the models of one agent were shown and said, one file per day and life, written by the agent alone."""
        return self.state / "record" / name

    @property
    def tools(self) -> Path:
        """Tools of this house, one Python file each or several in one."""
        return self.root / "tools"

    @property
    def log(self) -> Path:
        """Log files, one per process."""
        return self.root / "log"

    def log_file(self, process: str) -> Path:
        """The log of one process; `agent:arya` writes arya.log."""
        return self.log / f"{process.removeprefix('agent:')}.log"

    @property
    def lock(self) -> Path:
        """Held by the one supervisor of this home."""
        return self.state / "supervisor.lock"

    @property
    def control(self) -> Path:
        """The supervisor's Unix socket."""
        return self.run / "control"

    def pid_file(self, process: str) -> Path:
        """PID and start time of one process, for people and other programs."""
        return self.run / f"{process}.pid"

    def stack_file(self, process: str) -> Path:
        """Where a process that dies of a fatal signal leaves its stack."""
        return self.run / f"{process}.stack"

    def socket(self, name: str) -> Path:
        """The file of a ZeroMQ socket: `journal`, `events`, one per server."""
        return self.run / f"{name}.sock"

    def endpoint(self, name: str) -> str:
        """The ZeroMQ address of `socket(name)`. Raises ConfigError if the name makes its path too long for the kernel."""
        path = self.socket(name)
        if (size := len(os.fsencode(path))) > socket_path_bytes_max:
            raise ConfigError(
                f"the path of the socket {path} is too long ({size} bytes, the kernel allows {socket_path_bytes_max}); "
                "choose a shorter name, or set XDG_RUNTIME_DIR or ANIMA_HOME to a shorter path"
            )
        return f"ipc://{path}"

    def check_lengths(self) -> None:
        """Raise ConfigError if a socket of this house would have a path the kernel cannot hold."""
        longest = self.run / "channels.sock"
        size = len(os.fsencode(longest))
        if size > socket_path_bytes_max:
            raise ConfigError(
                f"the runtime directory {self.run} is too long for a Unix socket ({size} bytes, the kernel allows "
                f"{socket_path_bytes_max}); set XDG_RUNTIME_DIR or ANIMA_HOME to a shorter path",
            )


def find_home(environ: Mapping[str, str], explicit: str | None = None) -> Home:
    """The house meant by `--home`, $ANIMA_HOME or ~/.anima, with its runtime directory.

    The runtime directory is $RUNTIME_DIRECTORY (given by systemd), /run/anima for the system's house, else below
    $XDG_RUNTIME_DIR, else `run` in the home. Below $XDG_RUNTIME_DIR only the default home is called `anima`; another
    home carries a digest of its path, because two houses of one user must not share sockets.
    """
    default = Path(environ.get("HOME") or "~").expanduser() / ".anima"
    chosen = explicit or environ.get("ANIMA_HOME")
    root = Path(os.path.abspath(Path(chosen).expanduser())) if chosen else default  # noqa: PTH100 - no symlinks resolved
    if directory := environ.get("RUNTIME_DIRECTORY"):
        return Home(root, Path(directory.split(":")[0]))
    if root == SYSTEM_HOME:
        return Home(root, SYSTEM_RUN)
    if directory := environ.get("XDG_RUNTIME_DIR"):
        name = "anima" if root == default else f"anima-{hashlib.blake2b(os.fsencode(root), digest_size=4).hexdigest()}"
        return Home(root, Path(directory) / name)
    return Home(root, root / "run")
