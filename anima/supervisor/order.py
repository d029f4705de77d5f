"""Who is born next, who stops next, and what a whole family looks like in one line. Pure; reads children, changes none."""

from collections import Counter
from collections.abc import Iterable, Sequence

from anima.errors import Exit
from anima.supervisor.child import Child
from anima.supervisor.lifecycle import BUSY, GONE, State
from anima.supervisor.spec import Policy

_WELL = frozenset({State.UP, State.DOWN, State.PAUSED})
_BIRTHS_MAX = 16  # at once: between two such groups the root looks at its signals and its socket


def next_births(children: Sequence[Child]) -> list[Child]:
    """Whom to start now: the first serial child that is due, or else the due parallel ones.

    A serial child is waited for until it is up, parked, or slow enough in coming back that it would hold up the house;
    one that is not `awaited` only begins before those behind it.
    """
    for child in children:
        if not child.spec.parallel:
            if child.due:
                return [child]
            if child.state in BUSY and child.spec.awaited:
                return []
    return [child for child in children if child.due][:_BIRTHS_MAX]


def is_born(children: Iterable[Child]) -> bool:
    """Whether everybody has had a first chance: up, or down for a known reason."""
    return not any(child.due or child.state in BUSY for child in children)


def is_truly_up(children: Iterable[Child]) -> bool:
    """Whether the house may be called READY: everybody had a first chance, and what it cannot do without is up."""
    children = list(children)
    return is_born(children) and all(child.state in _WELL for child in children if child.spec.vital)


def beyond_hope(children: Iterable[Child]) -> Child | None:
    """The vital child that is parked, if one is."""
    return next((child for child in children if child.spec.vital and child.state is State.FAILED), None)


def is_well(children: Iterable[Child], policy: Policy, now: float) -> bool:
    """Whether systemd may be told that the house lives: every vital child beats, or did so a short time ago.

    Short is what its own watchdog needs to bring it back. One that a person stopped is left alone, and so is one whose
    data is wrong: to start the whole house anew would not mend it.
    """
    return all(_lives(child, policy, now) for child in children if child.spec.vital and child.spec.beat_s > 0)


def _lives(child: Child, policy: Policy, now: float) -> bool:
    if child.state in (State.DOWN, State.PAUSED) or (child.state is State.FAILED and child.code == Exit.CONFIG):
        return True
    spec = child.spec
    if child.state is State.STARTING and child.deadline and child.deadline > child.forked_at + spec.start_timeout_s:
        return now < child.deadline  # it asked for more time, e.g. because its database moves forward
    return now - child.beat_at <= spec.beat_s * (spec.beats_missed_max + 1) + policy.abort_grace_s + spec.start_timeout_s


def start_s(children: Iterable[Child], now: float) -> float:
    """How long those who are on their way up may still take, in seconds; they may have asked for more time than usual."""
    return max((child.deadline - now for child in children if child.state is State.STARTING and child.deadline), default=0.0)


def stop_s(children: Iterable[Child]) -> float:
    """How long an orderly stop takes at most, in seconds: agents all at once, then the rest one after the other."""
    children = list(children)
    rest = sum(child.spec.stop_timeout_s for child in children if not child.spec.parallel)
    return max((child.spec.stop_timeout_s for child in children if child.spec.parallel), default=0.0) + rest


def next_stops(children: Sequence[Child], hurry: bool) -> list[Child]:
    """Whom to tell to stop now: all parallel ones, because an agent's last act is to write; then the rest from the end.

    In a hurry the rest goes all at once.
    """
    alive = [child for child in children if child.state not in GONE]
    first = [child for child in alive if child.spec.parallel]
    chosen = first or (alive if hurry else alive[-1:])
    return [child for child in chosen if child.state is not State.STOPPING]


def summary(children: Iterable[Child]) -> str:
    """One truthful line for systemd: `3 agents up, 1 parked: arya; journal waiting`."""
    children = list(children)
    agents = [child for child in children if child.spec.parallel]
    counts = Counter(child.state for child in agents)
    words = [f"{counts.pop(State.UP, 0)} agent{'' if sum(c.state is State.UP for c in agents) == 1 else 's'} up"]
    for state in State:
        if counts.get(state):
            word = "parked" if state is State.FAILED else state.value
            names = [child.name.removeprefix("agent:") for child in agents if child.state is state]
            words.append(f"{len(names)} {word}: {_some(names)}")
    line = ", ".join(words)
    others = [
        f"{child.name} {child.state.value}" for child in children if not child.spec.parallel and child.state is not State.UP
    ]
    return "; ".join([line, *others])


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= len(names[:5]) else f"{shown} and {len(names) - 5} more"
