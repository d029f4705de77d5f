"""The words of the jail: what is asked of it, and what came of it. Plain values; nothing here acts.

Covers: what may be said. An empty tuple means none, never all; a layer is on unless its name stands in `off`.
Does not cover: whether a policy is wise. `read = ("/",)` shows every readable file of the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from anima.limits import MIB

#: What holds a jailed child, from the outside in; a person may do without one by writing its name in `layers_off`.
LAYERS = {
    "namespaces": "its own mounts, processes, IPC and host name: what is not shown to it does not exist",
    "network": "its own network, which has no way out (when the order asks for no network)",
    "user": "a user of its own, who owns nothing else on this machine",
    "landlock": "rights to files, TCP, signals and abstract sockets, checked by the kernel once more",
    "seccomp": "the system calls it does not need are refused",
    "rlimits": "limits of CPU time, memory, file size, descriptors and processes for each of its processes",
    "memory": "a bound on the memory of all its processes together: a cgroup, else the jail's own watch",
}

How = Literal["answered", "exited", "killed", "limit", "refused", "interrupted"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one jail may use."""

    wall_s: float = 120.0
    cpu_s: float = 60.0  #: of all its processes together
    memory_bytes: int = 2048 * MIB  #: of all its processes together, files in /tmp included where a cgroup counts them
    file_bytes: int = 64 * MIB  #: of one file
    files: int = 256  #: descriptors of one process
    processes: int = 128  #: threads count
    output_bytes: int = 1 * MIB  #: kept of each of stdout and stderr, half from the start and half from the end


@dataclass(frozen=True, slots=True)
class JailSpec:
    """What one jailed child sees and may do.

    Of two paths, one inside the other, the deeper one counts; at the same path `protected` does.
    """

    workspace: Path  #: where it works: its current folder and $HOME, readable and writable at its own path
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = ()  #: never visible, never to be created, also where they do not exist yet
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    off: frozenset[str] = frozenset()  #: names of LAYERS
    environment: Mapping[str, str] = field(default_factory=dict)  #: beside the few variables every jail has

    def wire(self) -> dict[str, Any]:
        """A plain map that `read_spec` understands."""
        return {
            "workspace": str(self.workspace),
            **{name: [str(path) for path in getattr(self, name)] for name in ("read", "write", "protected")},
            "network": self.network,
            "limits": [getattr(self.limits, each.name) for each in fields(Limits)],
            "off": sorted(self.off),
            "environment": dict(self.environment),
        }


def read_spec(found: Mapping[str, Any]) -> JailSpec:
    """The way back from `JailSpec.wire`."""
    paths = {name: tuple(Path(each) for each in found[name]) for name in ("read", "write", "protected")}
    return JailSpec(
        workspace=Path(found["workspace"]),
        **paths,
        network=found["network"],
        limits=Limits(*found["limits"]),
        off=frozenset(found["off"]),
        environment=found["environment"],
    )


@dataclass(frozen=True, slots=True)
class Order:
    """One call: `target` ("module:function") is called in the jail with `arguments`, which msgpack can carry."""

    id: str
    target: str
    arguments: tuple[Any, ...]
    spec: JailSpec


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    how: How
    value: Any = None  #: what the function returned, where it did; also beside "limit" and "interrupted", if it still came
    stdout: bytes = b""  #: start and end of it, with a line between them that says how much is left out
    stderr: bytes = b""
    stdout_bytes: int = 0  #: how much there really was
    stderr_bytes: int = 0
    exit: int = 0
    signal: int = 0
    limit: str = ""  #: wall, cpu, memory, processes, file or output; also where it ended only part of what ran
    reason: str = ""  #: a sentence for whoever asked; "" when answered
    duration_s: float = 0.0
    layers: tuple[str, ...] = ()  #: those that held


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, and whether this machine gives it."""

    name: str
    there: bool
    reason: str  #: by what means it is there, or why it is not and what to do
