"""Asking the sandbox, and naming its calls by the beginning of their ids."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anima.bus.bus import Bus
from anima.cli import live, root
from anima.errors import Refused, Unavailable
from anima.paths import Home

SANDBOX = "sandbox"
ASK_S = 10.0
SHORT_MIN = 8
LONG = 18  #: so much of an id names it also among the calls of one step, which share the time in their ids
_SHOWN_MAX = 4

Row = dict[str, Any]  #: what the sandbox tells of one call


async def ask_on(bus: Bus, verb: str, **arguments: Any) -> dict[str, Any]:
    """One question to the sandbox; an argument that is None or "" is left out. Raises Unavailable with what to do."""
    given = {name: value for name, value in arguments.items() if value not in (None, "")}
    try:
        told: dict[str, Any] = await bus.ask(SANDBOX, verb, ASK_S, **given)
    except Unavailable:
        raise Unavailable(
            "the sandbox, which carries out all calls, does not answer; see `animactl status` and `animactl logs sandbox`"
        ) from None
    return told


def ask(home: Home, verb: str, **arguments: Any) -> dict[str, Any]:
    """The same for a command that asks nothing else. Raises Unavailable if house or sandbox are not there."""
    check(home)
    return live.run(home, lambda bus: ask_on(bus, verb, **arguments))


def check(home: Home) -> None:
    """Raise Unavailable if the house is not running or its sandbox is given up."""
    if reason := live.stalled(SANDBOX, process(home)):
        raise Unavailable(reason)


def process(home: Home, name: str = SANDBOX) -> Row:
    """What the supervisor knows of the sandbox. Raises Unavailable if the house is not running, or has none."""
    for each in root.processes(home):
        if each["name"] == name:
            return each
    raise Unavailable(f"this house has no process called {name}; it was started by an older program, restart it")


def choose_agent(home: Home, name: str) -> str:
    """The agent that is meant: the one named, or the only one. Raises Refused, and Unavailable for a house that is down."""
    if name:
        root.agent_process(home, name)
        return name
    names = [str(each["name"]) for each in root.processes(home)]
    agents = sorted(each.removeprefix("agent:") for each in names if each.startswith("agent:"))
    if not agents:
        raise Refused("there is no agent yet, and a call belongs to one; `animactl create NAME` makes it")
    if len(agents) > 1:
        raise Refused(f"say whose call it is with --agent; there are {', '.join(agents)}")
    return agents[0]


def shorten(ids: Iterable[str], least: int = SHORT_MIN) -> dict[str, str]:
    """For each id the shortest beginning that no other of them has."""
    ordered = sorted(set(ids))
    found = {}
    for place, each in enumerate(ordered):
        beside = ordered[max(place - 1, 0) : place] + ordered[place + 1 : place + 2]
        length = max([least, *(_shared(each, other) + 1 for other in beside)])
        found[each] = each[: length + (each[length - 1 : length] == "-")]
    return found


def pick(rows: Sequence[Row], wanted: str) -> Row | None:
    """The one whose id begins so, hyphens or not; None if there is none. Raises Refused if there are several."""
    bare = wanted.strip().lower().replace("-", "")
    found = [row for row in rows if bare and str(row["id"]).replace("-", "").startswith(bare)]
    if len(found) > 1:
        names = list(shorten(str(row["id"]) for row in found).values())
        more = f" and {len(names) - _SHOWN_MAX} more" if len(names) > _SHOWN_MAX else ""
        raise Refused(f"'{wanted}' could be {', '.join(names[:_SHOWN_MAX])}{more}; give more of the id")
    return found[0] if found else None


def nothing_named(wanted: str, known: Sequence[Row], where: str) -> Refused:
    """The complaint about an id that is not among those a command is about: what it is instead, if it is a call at all."""
    row = pick(known, wanted)
    if row is None:
        return Refused(f"no call has an id that begins with '{wanted}'; see {where}")
    return Refused(f"{what(row)} is {told(row)}; see {where}")


def what(row: Mapping[str, Any]) -> str:
    """`exec of arya (0193a1b2-77f0-7d3c)`."""
    return f"{row['tool']} of {row['agent']} ({str(row['id'])[:LONG]})"


def told(row: Mapping[str, Any]) -> str:
    """What state a call is in, in words."""
    words: dict[str, str] = {
        "waiting": "waiting for approval",
        "asked": "waiting for an answer",
        "in-doubt": "in doubt",
        "ready": "about to run",
        "running": "running",
        "resolved": "resolved already",
    }
    state = str(row["state"])
    return words.get(state, f"{state} already")


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
