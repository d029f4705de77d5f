"""Living by another plan: what differs is touched, everybody else is left alone."""

from dataclasses import dataclass

from anima.supervisor.child import Child
from anima.supervisor.family import Family
from anima.supervisor.lifecycle import Event, State
from anima.supervisor.spec import ChildSpec, Plan


@dataclass(frozen=True)
class Changes:
    """What a new plan means for the one in force, by name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def compare(old: dict[str, ChildSpec], new: Plan) -> Changes:
    """What `new` changes. Only what a running process cannot take over (its life, settings, beat) counts as a change."""
    wanted = {spec.name: spec for spec in new.specs}
    return Changes(
        added=tuple(name for name in wanted if name not in old),
        removed=tuple(name for name in old if name not in wanted),
        changed=tuple(name for name, spec in wanted.items() if name in old and _life(old[name]) != _life(spec)),
    )


def _life(spec: ChildSpec) -> tuple[str, str, float]:
    return (spec.settings, spec.kind, spec.beat_s)


def adopt(family: Family, plan: Plan, *, renew: bool = True) -> Changes:
    """Live by `plan` from now on. Who is new gets its turn, who left is stopped, who changed begins again (if `renew`)."""
    changes = compare({name: child.spec for name, child in family.children.items() if not child.leaving}, plan)
    known, family.children = family.children, {}
    family.policy, family.redact = plan.policy, plan.redact
    for spec in plan.specs:
        child = known.pop(spec.name) if spec.name in known else Child(spec)
        family.children[spec.name], child.spec = child, spec
        if child.leaving:  # it came back before it was gone
            child.leaving = False
            family.tell(child, Event.START)
        elif renew and spec.name in changes.changed:
            _renew(family, child)
    for name, child in known.items():
        family.children[name] = child
        child.leaving = True
        family.tell(child, Event.STOP)
    family.bid_farewell()
    family.changed = True
    return changes


def _renew(family: Family, child: Child) -> None:
    """A new configuration is a new chance, except for one that a person stopped or that was not born yet."""
    if child.state in (State.FAILED, State.WAITING):
        family.tell(child, Event.RESET)
    elif child.state is not State.DOWN:
        family.tell(child, Event.RESET)  # its failures were those of another configuration
        family.tell(child, Event.RESTART)
