"""What a root hands to the code that goes on in its place: everything it knows and holds, in one file that has no name.

    old code: hand_on(state, launch)  ->  execve: same PID, same children, same descriptors  ->  new code: take_over(fd)

No child notices. Signals are held back from before the exec until the new code has reactions for them; a child that
dies in between is a zombie with its status, and is reaped by whoever comes next.

The text is JSON: {"format": 1, "state": {...}}. A field more or less is no other format: one that is missing has its
default, one that is unknown is left out. Whatever means something else needs a new number, and old code refuses it.
"""

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from anima.errors import BadMessage, Refused
from anima.supervisor.child import Child
from anima.supervisor.policy import Bucket
from anima.supervisor.spec import Policy

FORMAT = 1

STATE_OPTION = "--state-fd"  #: followed by the descriptor; how a root is told that it goes on instead of beginning
PREFLIGHT_OPTION = "--preflight"  #: beside it: only look whether you could

HELD_BACK = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})


@dataclass(frozen=True)
class Launch:
    """How to start a root: its whole command, and the PYTHONPATH its code is found by."""

    argv: tuple[str, ...]
    pythonpath: str = ""

    def elsewhere(self, to: str) -> "Launch":
        """The same with the code of another environment (its folder, or its interpreter). Raises Refused if there is none."""
        path = Path(to)
        python = path / "bin" / "python" if path.is_dir() else path
        if not os.access(python, os.X_OK):
            raise Refused(f"there is no Python at {python}; --to takes the folder of a virtual environment")
        rest = self.argv[1:] if self.argv[1:2] == ("-P",) else ("-P", *self.argv[1:])
        return Launch((str(python), *rest))  # -P and no PYTHONPATH: its own code, wherever the house was started

    def environ(self) -> dict[str, str]:
        """This process's environment, as that root shall see it."""
        told = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        return {**told, **({"PYTHONPATH": self.pythonpath} if self.pythonpath else {})}


@dataclass(frozen=True)
class Course:
    """An upgrade under way: what was found before, where it stands, and the way back."""

    began: float  #: monotonic
    old: str  #: version that was in force
    new: str
    back: Launch | None = None  #: the old code, if it lies elsewhere than the new
    generation_before: int = 0
    parked: tuple[str, ...] = ()  #: who was given up before
    returning: str = ""  #: why it is on the way back; "" while it goes forward
    rolling: str = ""  #: who begins anew right now
    since: int = 0  #: its incarnation before that


@dataclass(frozen=True)
class Client:
    """A connection to the control socket."""

    fd: int
    idle_at: float
    said: bytes = b""  #: read and not yet understood
    told: bytes = b""  #: not yet taken by the kernel
    promised: dict[str, Any] | None = None  #: what it waits for, see requests.Promise
    watching: int | None = None
    closing: bool = False


@dataclass(frozen=True)
class Diary:
    """The lifecycle records."""

    boot: str
    head: int
    kept: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Tree:
    """The family: children in the order of the plan, and what holds for all of them."""

    children: tuple[Child, ...]
    policy: Policy
    generation: int
    bucket: Bucket = field(default_factory=Bucket)
    judged_at: float = 0.0


@dataclass(frozen=True)
class State:
    """All of a root. Moments are monotonic seconds, which an exec does not touch."""

    lock_fd: int
    door_fd: int  #: the control socket listens
    tree: Tree
    diary: Diary
    started: float
    nofile: int  #: soft limit of open files as it was before the first root raised its own
    clients: tuple[Client, ...] = ()
    born: bool = True
    told: str = ""
    ping_at: float = 0.0
    reload_at: float | None = None
    strangers: tuple[int, ...] = ()
    killed: tuple[int, ...] = ()
    loaded: tuple[str, ...] = ()  #: modules that were imported for all children
    journal: bool = True  #: whether the root may log to systemd's journal
    newest: int = 1  #: number of the newest generation of code there ever was
    course: Course | None = None

    def descriptors(self) -> list[int]:
        """Everything that must stay open over the exec."""
        of_children = [fd for child in self.tree.children for fd in (child.pidfd, child.notify_fd, child.output_fd)]
        return [fd for fd in (self.lock_fd, self.door_fd, *of_children, *(client.fd for client in self.clients)) if fd >= 0]


# -- text -----------------------------------------------------------------------------------------------------------------


def encode(state: State) -> bytes:
    """`state` as the text that `decode` reads."""
    return json.dumps({"format": FORMAT, "state": _plain(state)}).encode()


def decode(text: bytes) -> State:
    """The state in `text`. Raises BadMessage with a sentence if it is of another format, or none at all."""
    try:
        told = json.loads(text)
        number = told["format"]
        if number != FORMAT:
            raise BadMessage(
                f"the running supervisor hands over its state in format {number}, and the new code reads format {FORMAT}; "
                "stop the house and start it again instead"
            )
        state: State = _read(State, told["state"])
        return state
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadMessage(f"the state of the running supervisor is not understood ({error!r})") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value


@cache
def _fields(sort: type) -> Mapping[str, Any]:
    hints = get_type_hints(sort)
    return {each.name: hints[each.name] for each in dataclasses.fields(sort)}


def _read(sort: Any, value: Any) -> Any:
    """`value` as `sort`. Raises TypeError, ValueError or KeyError if it is none."""
    if dataclasses.is_dataclass(sort) and isinstance(sort, type):
        known = _fields(sort)
        return sort(**{name: _read(known[name], each) for name, each in value.items() if name in known})
    match get_origin(sort), get_args(sort):
        case (shape, (only, *_)) if shape is tuple:
            return tuple(_read(only, each) for each in value)
        case (shape, (some, _)) if shape is UnionType:  # `some | None`
            return None if value is None else _read(some, value)
        case (shape, words) if shape is Literal:
            return _checked(value, value in words, f"one of {words}")
        case (shape, _) if shape is dict:
            return _checked(value, type(value) is dict, "a map")
        case _:
            return _plainly(sort, value)


def _plainly(sort: type, value: Any) -> Any:
    if sort is bytes:
        return value.encode("latin-1")
    if issubclass(sort, Enum):
        return sort(value)
    if sort is float and type(value) is int:
        return float(value)
    return _checked(value, type(value) is sort, sort.__name__)


def _checked(value: Any, right: bool, what: str) -> Any:
    if not right:
        raise TypeError(f"{value!r} is not {what}")
    return value


# -- acts -----------------------------------------------------------------------------------------------------------------


def hand_on(state: State, launch: Launch) -> NoReturn:
    """Let `launch` go on in this process. Raises OSError, and everything is as it was, if the kernel does not start it."""
    held = state.descriptors()
    fd = put_down(state)
    try:
        for each in (*held, fd):
            os.set_inheritable(each, True)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execve(launch.argv[0], [*launch.argv, STATE_OPTION, str(fd)], launch.environ())  # noqa: S606 - it becomes it
    finally:  # only when there was no exec
        for each in held:
            os.set_inheritable(each, False)
        os.close(fd)


def fall_back(state: State, reason: str) -> None:
    """Let the code that handed `state` on go on again, because of `reason`; returns if it does not lie elsewhere.

    Raises OSError if it cannot be started.
    """
    course = state.course
    if course and course.back and not course.returning:
        tree = dataclasses.replace(state.tree, generation=course.generation_before)
        hand_on(dataclasses.replace(state, tree=tree, course=dataclasses.replace(course, returning=reason)), course.back)


def put_down(state: State) -> int:
    """A descriptor of a file without a name that holds `state`. Raises OSError."""
    fd = _nameless()
    try:
        left = memoryview(encode(state))
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        os.close(fd)
        raise
    return fd


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("anima")
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"anima-{os.getpid()}"  # noqa: S108 - O_EXCL, and its name goes at once
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    path.unlink()
    return fd


def take_over(fd: int) -> State:
    """The state a root handed on through `fd`, which is closed; no later exec inherits what it holds. Raises BadMessage."""
    state = read(fd)
    for each in state.descriptors():
        os.set_inheritable(each, False)
    return state


def read(fd: int) -> State:
    """The state in the file behind `fd`, which is closed. Raises BadMessage."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return decode(file.read())


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Inside, what a root reacts to stays pending; an exec takes both along."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """Take what came meanwhile; call it when there are reactions."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
