"""What the root does for each verb of the control socket, and the sentence it answers with."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from anima.errors import BadMessage, ConfigError, Refused
from anima.supervisor.child import Child
from anima.supervisor.control import Request
from anima.supervisor.family import Family
from anima.supervisor.lifecycle import GONE, Action, Event, State
from anima.supervisor.listener import Later, Reply, refusal

_EVENTS = {
    "start": Event.START,
    "stop": Event.STOP,
    "restart": Event.RESTART,
    "reset": Event.RESET,
    "pause": Event.PAUSE,
    "resume": Event.RESUME,
}

_DOING = {
    Action.SPAWN: "starting",
    Action.REBIRTH: "starting",
    Action.TERMINATE: "stopping",
    Action.FREEZE: "paused",
    Action.THAW: "resumed",
    Action.FORGET: "failures forgotten",
    Action.REST: "down",
}


def matching(children: dict[str, Child], names: tuple[str, ...]) -> list[Child]:
    """The children meant by `names`: full names, agents' names, patterns of either, or `all` agents.

    Raises Refused if one of them means nobody, so that a mistyped name does nothing at all.
    """
    found: dict[str, Child] = {}
    for wanted in names:
        hits = {name: child for name, child in children.items() if _means(wanted, child)}
        if not hits and wanted != "all":
            known = ", ".join(sorted(name.removeprefix("agent:") for name in children)[:20])
            raise Refused(f"there is no process '{wanted}'; there are: {known}")
        found |= hits
    return list(found.values())


def _means(wanted: str, child: Child) -> bool:
    if wanted == "all":
        return child.spec.parallel
    short = child.name.removeprefix("agent:")
    if wanted in (child.name, short):
        return True
    if not any(letter in wanted for letter in "*?["):
        return False
    return fnmatchcase(child.name, wanted) or (child.spec.parallel and fnmatchcase(short, wanted))


def order(family: Family, request: Request) -> Reply | Later:
    """Carry out a start, stop, restart, reset, pause or resume; the reply, or where to get it once all is done."""
    try:
        chosen = matching(family.children, request.names)
    except Refused as error:
        return refusal(error)
    did, refused, pending = {}, [], list[tuple[str, int]]()
    for child in chosen:
        before = child.incarnation
        action = family.tell(child, _EVENTS[request.do])
        if action is Action.REFUSE:
            refused.append(_refused(child, request.do))
        else:
            did[child.name] = _DOING.get(action, child.state.value)
            pending.append((child.name, before))
    if refused and not did:
        return refusal(Refused("; ".join(refused)))
    reply: Reply = {"ok": True, "did": did}
    if refused:
        reply["refused"] = refused
    return Promise(family, request.do, tuple(pending), reply) if request.wait else reply


def _refused(child: Child, do: str) -> str:
    name = child.name.removeprefix("agent:")
    if child.state is State.FAILED:
        return f"{child.name} is parked: {child.reason}; `animactl reset {name}` frees it"
    if child.state is State.PAUSED:
        return f"{child.name} is paused; `animactl resume {name}` lets it go on"
    return f"cannot {do} {child.name} while it is {child.state.value}"


@dataclass(frozen=True)
class Promise:
    """The reply once every child (and its incarnation before) is where `do` leads, or what became of it instead."""

    family: Family
    do: str
    pending: tuple[tuple[str, int], ...]
    reply: Reply

    def __call__(self) -> Reply | None:
        """The reply, or None if it is too early."""
        children = self.family.children
        gone = [name for name, _ in self.pending if name not in children and self.do != "stop"]
        outcomes = [_outcome(self.do, children[name], before) for name, before in self.pending if name in children]
        if any(outcome is None for outcome in outcomes):
            return None
        failed = [outcome for outcome in outcomes if outcome] + [f"{name} is no longer of the house" for name in gone]
        return {**self.reply, **refusal(Refused("; ".join(failed)))} if failed else self.reply


def _outcome(do: str, child: Child, before: int) -> str | None:
    """Empty if `child` is where `do` leads, a sentence if it never will be, None if that is still open."""
    if do == "stop":
        done = child.state in GONE
    elif do == "pause":
        done = child.state is State.PAUSED
    elif do == "reset":
        done = child.state in (State.UP, State.DOWN, State.PAUSED)
    else:
        done = child.state is State.UP and (do != "restart" or child.incarnation > before)
    if done:
        return ""
    lost = child.state in (State.DOWN, State.FAILED, State.WAITING)
    return f"{child.name} is {child.state.value}: {child.reason or 'it was stopped'}" if lost else None


class Requests:
    """Answers requests about a family, and passes on to the root what is the root's own to decide."""

    def __init__(
        self,
        family: Family,
        status: Callable[[], Reply],
        reload: Callable[[], Reply],
        down: Callable[[], None],
        upgrade: Callable[[Request], Reply | Later],
    ) -> None:
        self._family = family
        self._reload_plan = reload
        self._go_down = down
        self._verbs: dict[str, Callable[[Request], Reply | Later]] = {
            "status": lambda _: status(),
            "who": lambda request: {"ok": True, "name": family.name_of(request.pid)},
            "reload": self._reload,
            "down": self._down,
            "upgrade": upgrade,
            **dict.fromkeys(_EVENTS, self._order),
        }

    def answer(self, request: Request) -> Reply | Later:
        """The reply to `request`, or where to get it later. Raises BadMessage for a verb that is not served here."""
        verb = self._verbs.get(request.do)
        if verb is None:
            raise BadMessage(f"'{request.do}' is not served")
        return verb(request)

    def noted(self, later: Later) -> dict[str, Any] | None:
        """A promise as a map, for the code that goes on; None for one that ends with this code."""
        return {"do": later.do, "pending": later.pending, "reply": later.reply} if isinstance(later, Promise) else None

    def promise(self, noted: dict[str, Any]) -> Promise:
        """The promise that was `noted`."""
        return Promise(self._family, noted["do"], tuple((name, before) for name, before in noted["pending"]), noted["reply"])

    def _order(self, request: Request) -> Reply | Later:
        if self._family.stopping:
            return refusal(Refused("the house is going down; start it again with `animactl up --detach`"))
        return order(self._family, request)

    def _reload(self, _request: Request) -> Reply:
        try:
            return self._reload_plan()
        except (ConfigError, Refused) as error:
            return refusal(error)

    def _down(self, request: Request) -> Reply | Later:
        self._go_down()
        return self._gone if request.wait else {"ok": True, "did": "stopping"}

    def _gone(self) -> Reply | None:
        return None if self._family.alive() else {"ok": True, "did": "stopped"}


def describe(family: Family, now: float, supervisor: dict[str, Any]) -> Reply:
    """The answer to `status`: read what everybody says first, so that it is true now."""
    family.listen_to_all()
    told = [{**child.describe(now), "cgroup": family.group_of(child)} for child in family.children.values()]
    return {"ok": True, "supervisor": supervisor, "processes": told}
