"""The kinds of event that memory is made of, beside what was said and done, and how a memory is called.

Everything a person or a model makes of memories goes through the journal, so mneme.db follows from it: whoever loses that
file has it written again, and whoever keeps the journal keeps the memory.

    memory_stored       a fact, or a pin; the event's id is the memory's
    memory_changed      edited, shared, forgotten, superseded, said again
    memories_imported   a batch of a life lived elsewhere, each with an id of its own
    snapshot_stored     what left the window of a conversation, in few words; it moves the window's boundary
    goal_set, goal_changed, goal_finished
"""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from anima.errors import BadMessage
from anima.wire.body import Body, of_kind

#: Sorts of memories; episodes are what was said and done.
SORTS = ("episode", "fact", "snapshot1", "snapshot2", "goal1", "goal2", "pin")
STATES = ("live", "superseded", "forgotten")
#: What a row may say besides, its type, and what it is if nothing is said.
MORE: dict[str, tuple[tuple[type, ...], Any]] = {
    "sort": ((str,), "episode"),
    "importance": ((float, int), 0.5),
    "shared": ((bool,), True),
    "mood": ((dict,), {}),
    "state": ((str,), "live"),
    "by": ((str,), ""),
    "accessed": ((int,), 0),
    "data": ((dict,), {}),
}
CHANGED = ("text", "importance", "shared", "state")  #: what a `memory_changed` may change
_TYPES = {"id": (str,), "ts": (float, int), "session": (str,), "speaker": (str,), "text": (str,)} | {
    name: types for name, (types, _) in MORE.items()
}
_ALWAYS = ("id", "ts", "session", "speaker", "text")
_NUMBER_MAX = 2**63 - 1  # SQLite takes no more
EXTRACT = "extract"  #: stands for the model's name in a snapshot that no model wrote


@of_kind("memory_stored")
class MemoryStored(Body):
    """Something worth keeping for itself. The event's session is where it was said; its id is the memory's."""

    text: str
    sort: str = "fact"  #: fact or pin
    importance: float = 0.5  #: 0 to 1
    shared: bool = False  #: may surface in other sessions
    speaker: str = ""  #: who said so
    replaces: str = ""  #: id of the memory that it contradicts and supersedes
    about: str = ""  #: id of the memory that is pinned


@of_kind("memory_changed")
class MemoryChanged(Body):
    """A memory is another from here on. What is not named stays."""

    memory: str
    changes: dict[str, Any]  #: what is in CHANGED, and again (it was said again)
    reason: str = ""  #: a sentence


@of_kind("memories_imported")
class MemoriesImported(Body):
    """Memories from a file, complete as they stand there; what is known already stays, unless they are `final`."""

    rows: list[Any]  #: maps: id, ts, session, speaker, text, and what of MORE is not the usual
    origin: str = ""  #: the file's name
    final: bool = False  #: so they are from here on, known or not: of an agent that moved


@of_kind("snapshot_stored")
class SnapshotStored(Body):
    """What was said in the session from seq `since` to before `until`, in few words. `until` is the boundary from now on."""

    level: int  #: 1: hours, of the conversation; 2: weeks, of snapshots of level 1
    text: str
    since: int
    until: int
    model: str  #: who wrote it; EXTRACT: sentences of the conversation itself, picked by rule
    turns: int = 0  #: how many of the conversation's turns it stands for
    of: list[str] = field(default_factory=list)  #: ids of the snapshots it was made of


@of_kind("goal_set")
class GoalSet(Body):
    """The agent wants something. The event's id is the goal's."""

    text: str
    level: int = 1  #: 1: what is at hand; 2: what it is for, for weeks
    parent: str = ""  #: id of the goal of level 2 that it serves


@of_kind("goal_changed")
class GoalChanged(Body):
    """A goal is put in other words, or something was done for it."""

    goal: str
    text: str = ""  #: the goal in its new words; "" leaves them
    note: str = ""  #: what was done, or stands in the way


@of_kind("goal_finished")
class GoalFinished(Body):
    """Nothing more is done for a goal."""

    goal: str
    outcome: str  #: reached or given_up
    note: str = ""


def key(agent: str, memory: str) -> str:
    """What a memory is called in the store: two agents may have imported the same file. Raises BadMessage for an empty id."""
    if not memory:
        raise BadMessage("a memory without an id")
    return f"{agent}/{memory}"


def bare(stored: str) -> str:
    """What the memory is called everywhere else."""
    return stored.partition("/")[2]


def check_row(row: Any) -> None:
    """Raise BadMessage unless a row of `memories_imported` is a memory that can be kept."""
    if not isinstance(row, dict):
        raise BadMessage(f"a row of memories is {type(row).__name__}, not a map")
    for name in _ALWAYS:
        if name not in row:
            raise BadMessage(f'a memory has no "{name}"')
    check_said(row)
    if not row["id"]:
        raise BadMessage("a memory without an id")


def check_said(said: Mapping[str, Any]) -> None:
    """Raise BadMessage if something that is said of a memory is not of its type, or not within its bounds."""
    for name, value in said.items():
        if type(value) not in _TYPES.get(name, (type(value),)):
            raise BadMessage(f'its "{name}" is {type(value).__name__}, not {_TYPES[name][0].__name__}')
    if said.get("sort", SORTS[0]) not in SORTS:
        raise BadMessage(f'there is no sort "{said["sort"]}"; there are {", ".join(SORTS)}')
    if said.get("state", STATES[0]) not in STATES:
        raise BadMessage(f'there is no state "{said["state"]}"; there are {", ".join(STATES)}')
    if not 0 <= said.get("importance", 0.5) <= 1:
        raise BadMessage('its "importance" lies between 0 and 1')
    if not 0 <= said.get("accessed", 0) <= _NUMBER_MAX or not abs(said.get("ts", 0)) <= _NUMBER_MAX:
        raise BadMessage('its "accessed" or its "ts" is no number within reach')
    if any(type(level) not in (float, int) for level in said.get("mood", {}).values()):
        raise BadMessage('its "mood" is numbers by the names of hormones')
    if any(type(said.get("data", {}).get(name, [])) is not list for name in ("secrets", "notes")):
        raise BadMessage('"secrets" and "notes" in its "data" are lists')
    try:
        json.dumps([said.get("mood"), said.get("data")], allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadMessage(f'its "mood" or its "data" cannot be kept ({error})') from None
