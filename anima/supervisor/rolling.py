"""Who begins anew next while the house moves to other code, and when that went wrong. Pure; reads children, changes none."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from anima.supervisor.child import Child
from anima.supervisor.lifecycle import BUSY, State

_LIVES_MAX = 2  # an accident is forgiven once: a second life that ends before READY is the code's own fault


@dataclass(frozen=True)
class Wait:
    """Somebody is on its way."""


@dataclass(frozen=True)
class Roll:
    """Let `name` begin anew."""

    name: str


@dataclass(frozen=True)
class Lost:
    """`name` does not become READY in the code in force; `reason` is a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Over:
    """Everybody that can be is in the code in force; `left` are those that run other code still: they are paused."""

    left: tuple[str, ...]


Move = Wait | Roll | Lost | Over


@dataclass(frozen=True)
class Rolling:
    """Who begins anew right now ("" for nobody), its incarnation before that, and who was parked before it all began."""

    name: str = ""
    since: int = 0
    parked: Collection[str] = ()


def next_move(children: Iterable[Child], generation: int, rolling: Rolling) -> Move:
    """What to do now: one at a time, in the order of the plan, each READY before the next.

    Who is down, parked or waits for its next attempt has no process to be replaced; who is paused stays so.
    """
    children = list(children)
    for child in children:
        if reason := _lost(child, generation, rolling):
            return Lost(child.name, reason)
    for child in children:
        if child.due or child.state in BUSY or (child.name == rolling.name and child.state is State.WAITING):
            return Wait()
        if child.state is State.UP and child.generation != generation:
            return Roll(child.name)
    return Over(tuple(child.name for child in children if child.state is State.PAUSED and child.generation != generation))


def _lost(child: Child, generation: int, rolling: Rolling) -> str:
    """Why `child` is not what it was before, "" if it is or may still become so."""
    if child.state is State.FAILED and child.name not in rolling.parked:
        return child.reason
    if child.name != rolling.name or child.state is State.UP or child.incarnation <= rolling.since:
        return ""
    if child.generation == generation and child.state is State.ABORTING:
        return "it does not become READY in time; its stack is in its log"
    if child.incarnation > rolling.since + _LIVES_MAX or child.state is State.WAITING:
        return child.reason or "it ends before it is READY"
    return ""
