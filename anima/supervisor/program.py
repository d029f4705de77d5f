"""What a root is the root of."""

from collections.abc import Callable
from dataclasses import dataclass

from anima.supervisor.prologue import Become
from anima.supervisor.spec import Plan


@dataclass(frozen=True)
class Program:
    """The code of a house: how its plan is read, and how its processes and the root itself are started."""

    load: Callable[[], Plan]  #: reads the plan; ConfigError if it is wrong
    become: Become  #: the life of a forked child
    child_argv: list[str]  #: leads the same life in a fresh interpreter; `--boot-fd N` is added
    root_argv: tuple[str, ...]  #: starts this very root; `--state-fd N` is added where it goes on in other code
    modules: tuple[str, ...] = ()  #: what `load` and `become` import
