"""Who sent it: from the PID the kernel attests to the name the supervisor knows, remembered until that process ends.

An append that claims to come from a process of the house waits here until its sender is known; so do those behind it
from the same sender, because what one process says keeps its order.
"""

import asyncio
from collections.abc import Awaitable, Callable

from anima.errors import AnimaError, Refused
from anima.journal.claims import PERSON, is_person

Identify = Callable[[int], Awaitable[str | None]]  #: the process with this PID; raises Unavailable if nobody can tell
Judged = Callable[[AnimaError | None], None]  #: told once what came of a claim: None for accepted

NAMES_MAX = 4_096  # a PID asked about again costs one question to the supervisor
QUESTIONS_MAX = 2  # to the supervisor at a time: it serves few clients, and others need it too


class Senders:
    """The processes known by PID, and the claims that wait for one to become known."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._names: dict[int, str] = {}
        self._waiting: dict[int, list[tuple[frozenset[str], Judged]]] = {}
        self._turn = asyncio.Semaphore(QUESTIONS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def learn(self, pid: int, name: str) -> None:
        """The supervisor says that `pid` is `name` from now on."""
        if len(self._names) >= NAMES_MAX:
            self._names.clear()
        self._names[pid] = name

    def forget(self, pid: int) -> None:
        """The process with `pid` has ended: whoever bears this PID next is somebody else."""
        self._names.pop(pid, None)

    def name(self, pid: int) -> str | None:
        """The process with `pid`, if it is known already."""
        return self._names.get(pid)

    @property
    def waiting(self) -> bool:
        """Whether any claim waits; if not, an append without a claim can pass at once."""
        return bool(self._waiting)

    def judge(self, pid: int, claims: frozenset[str], judged: Judged) -> None:
        """Tell `judged` whether `pid` may claim to be all of `claims`: at once if it is known, else as soon as it is."""
        if pid in self._waiting:
            self._waiting[pid].append((claims, judged))
        elif not claims or pid in self._names:
            judged(verdict(claims, pid, self._names.get(pid)))
        else:
            self._waiting[pid] = [(claims, judged)]
            task = asyncio.get_running_loop().create_task(self._ask(pid))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Ask no more; what waits is never answered."""
        for task in self._tasks:
            task.cancel()

    async def _ask(self, pid: int) -> None:
        failure = None
        async with self._turn:
            if (name := self._names.get(pid)) is None:  # else the supervisor told of its own accord meanwhile
                try:
                    name = await self._identify(pid)
                except AnimaError as error:
                    failure = error
        if name is not None:
            self.learn(pid, name)
        for claims, judged in self._waiting.pop(pid):
            judged(failure if failure and claims else verdict(claims, pid, name))


def verdict(claims: frozenset[str], pid: int, name: str | None) -> AnimaError | None:
    """None if the process `name` may claim to be all of `claims`, else why not."""
    if claims <= {name} or (claims == {PERSON} and is_person(name)):
        return None
    said = " and ".join(sorted(claims))
    who = "a person, or a process that passes on what people say," if PERSON in claims else "the process itself"
    return Refused(
        f"an event that speaks for {said} came from {name or 'no process of this house'} (PID {pid}); only {who} may say it",
    )
