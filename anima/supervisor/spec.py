"""What the root is told to keep alive: child specs, the numbers of the restart policy, and the plan that holds both."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from anima.errors import ConfigError

Restart = Literal["permanent", "transient", "temporary"]
Spawn = Literal["auto", "fork", "exec"]


@dataclass(frozen=True)
class ChildSpec:
    """One process of the tree. The order of specs is the order of birth; the reverse is the order of stopping."""

    name: str  #: `journal`, `agent:arya`
    kind: str  #: which life it leads; handed to `become`
    restart: Restart = "permanent"  #: always; unless it left with 0; never
    start_timeout_s: float = 30.0  #: from fork to READY=1; then it is aborted
    stop_timeout_s: float = 10.0  #: from TERM to its end; then it is killed
    beat_s: float = 5.0  #: how often it says WATCHDOG=1; 0 means it is not watched
    beats_missed_max: int = 3  #: so many silent beats are a hang
    preload: tuple[str, ...] = ()  #: modules the root imports before it forks this one, so that all copies share them
    settings: str = ""  #: digest of its configuration; another digest at reload restarts it
    parallel: bool = False  #: born together after the others are READY, stopped together before the others
    awaited: bool = True  #: whoever is born after it waits until it is READY; False if nobody needs it to be up
    vital: bool = False  #: without it the house is not up, and systemd is not told that it is
    memory_bytes_max: int = 0  #: of its cgroup, where there is one; 0 means no limit
    tasks_max: int = 0  #: threads and processes in its cgroup; 0 means no limit
    oom_score: int = 100  #: how much sooner than the root the kernel ends it when memory runs out, 0 to 1000


@dataclass(frozen=True)
class Policy:
    """When a dead child comes back, and how patient the root is. Times in seconds."""

    burst: int = 5  #: restarts within `window_s` that happen at once; further ones wait
    window_s: float = 30.0
    delay_s: float = 1.0  #: the first wait, doubled with each further one
    delay_max_s: float = 60.0
    jitter: float = 0.2  #: each wait is up to this part longer or shorter, so that a hundred agents do not come back in step
    reset_s: float = 60.0  #: READY for so long, and the past is forgotten
    attempts_max: int = 10  #: failures in a row; then it is parked until a person or a new configuration frees it
    forks_per_s_max: float = 10.0  #: restarts only, all children together; births and a person's orders are not counted
    forks_burst: int = 20  #: restarts that may happen at once before `forks_per_s_max` holds
    abort_grace_s: float = 5.0  #: from ABRT to KILL: time to write the stack
    pause_gap_s: float = 5.0  #: the root itself woke so much too late: the machine stood still, nobody is to blame
    spawn: Spawn = "auto"  #: fork where it is safe; exec elsewhere


@dataclass(frozen=True)
class Plan:
    """Everything the root works by; a reload replaces it whole. Raises ConfigError if two children share a name."""

    specs: tuple[ChildSpec, ...]
    policy: Policy = field(default_factory=Policy)
    redact: Callable[[str], str] = field(default=str, compare=False)  #: takes secrets out of what a dead child had printed
    journal: bool = True  #: whether the root may log to systemd's journal, if that reads its stderr

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for spec in self.specs:
            if spec.name in seen:
                raise ConfigError(f"two processes are called '{spec.name}'; every process of the house needs its own name")
            seen.add(spec.name)
