"""A child's life as a table: in every state, what every event leads to and what is done about it. No cell is empty.

Reading the table answers every "what if" about a child: find the row of its state, the column of the event.
`family.py` carries the actions out; nothing else changes a child's state.
"""

from enum import Enum, StrEnum, auto


class State(StrEnum):
    """Where a child is in its life; the value is the word a person reads in `animactl status`."""

    DOWN = "down"  #: not running and not meant to: not yet born, told to stop, or done
    STARTING = "starting"  #: forked, has not said READY=1
    UP = "up"  #: READY, beats are expected
    STOPPING = "stopping"  #: told to end, and to stay down
    RESTARTING = "restarting"  #: told to end, and to begin again
    WAITING = "waiting"  #: died; the next attempt has its time
    FAILED = "failed"  #: parked: only a person or a new configuration brings it back
    PAUSED = "paused"  #: SIGSTOPped on a person's order, beats not expected
    ABORTING = "aborting"  #: hangs; was sent ABRT to write its stack, KILL comes next


class Event(Enum):
    """What can happen to a child."""

    START = auto()  #: its turn in the order of birth, or a person's order
    READY = auto()  #: it said READY=1
    EXIT = auto()  #: it is gone and reaped
    DEADLINE = auto()  #: the one timer its state has ran out (while UP: too many beats missed)
    STOP = auto()  #: a person's order, or the house goes down
    RESTART = auto()  #: a person's order, or its configuration changed
    RESET = auto()  #: a person's order: forget its failures
    PAUSE = auto()
    RESUME = auto()
    UNBORN = auto()  #: the kernel would not give us a process for it
    FINISHED = auto()  #: judged: it is done
    PARKED = auto()  #: judged: no further attempt


class Action(Enum):
    """What the root does about it."""

    NOTHING = auto()  #: as it should be
    REFUSE = auto()  #: makes no sense now; whoever asked is told why
    IMPOSSIBLE = auto()  #: cannot happen; if it does, the mistake is ours and is logged
    SPAWN = auto()  #: fork it, give it its start timeout
    REBIRTH = auto()  #: forget its failures, then SPAWN
    FORGET = auto()  #: forget its failures
    GREET = auto()  #: take note that it is READY
    TERMINATE = auto()  #: TERM and CONT, give it its stop timeout
    ABORT = auto()  #: ABRT and CONT, give it time to write its stack
    KILL = auto()  #: KILL it and its process group
    JUDGE = auto()  #: ask the policy, which answers with DEADLINE, FINISHED, PARKED or a later DEADLINE
    DELAY = auto()  #: try the fork again later
    REST = auto()  #: no timer any more
    PARK = auto()  #: say that it is given up
    FREEZE = auto()  #: STOP its process group, expect no beats
    THAW = auto()  #: CONT its process group, expect beats from now


S, A = State, Action
_not = A.IMPOSSIBLE

#: One row per state, one column per event, in the order of `Event`.
_ROWS: dict[State, tuple[tuple[State, Action], ...]] = {
    S.DOWN: (
        (S.STARTING, A.SPAWN),  # START
        (S.DOWN, _not),  # READY: there is no process
        (S.DOWN, _not),  # EXIT
        (S.DOWN, _not),  # DEADLINE: it has none
        (S.DOWN, A.NOTHING),  # STOP: is so
        (S.STARTING, A.SPAWN),  # RESTART: whoever asks wants it up
        (S.DOWN, A.FORGET),  # RESET: frees it, does not start it
        (S.DOWN, A.REFUSE),  # PAUSE
        (S.DOWN, A.REFUSE),  # RESUME
        (S.DOWN, _not),  # UNBORN
        (S.DOWN, _not),  # FINISHED
        (S.DOWN, _not),  # PARKED
    ),
    S.STARTING: (
        (S.STARTING, A.NOTHING),  # START: it does
        (S.UP, A.GREET),  # READY
        (S.WAITING, A.JUDGE),  # EXIT: died before it was ready
        (S.ABORTING, A.ABORT),  # DEADLINE: never said READY; its stack says where it hangs
        (S.STOPPING, A.TERMINATE),  # STOP: a stop during start is never lost
        (S.RESTARTING, A.TERMINATE),  # RESTART
        (S.STARTING, A.FORGET),  # RESET
        (S.STARTING, A.REFUSE),  # PAUSE: there would be no telling a paused start from a hung one
        (S.STARTING, A.REFUSE),  # RESUME
        (S.WAITING, A.DELAY),  # UNBORN
        (S.STARTING, _not),  # FINISHED
        (S.STARTING, _not),  # PARKED
    ),
    S.UP: (
        (S.UP, A.NOTHING),  # START: is so
        (S.UP, A.NOTHING),  # READY: said twice
        (S.WAITING, A.JUDGE),  # EXIT
        (S.ABORTING, A.ABORT),  # DEADLINE: missed its beats
        (S.STOPPING, A.TERMINATE),  # STOP
        (S.RESTARTING, A.TERMINATE),  # RESTART
        (S.UP, A.FORGET),  # RESET
        (S.PAUSED, A.FREEZE),  # PAUSE
        (S.UP, A.NOTHING),  # RESUME: was not paused
        (S.UP, _not),  # UNBORN
        (S.UP, _not),  # FINISHED
        (S.UP, _not),  # PARKED
    ),
    S.STOPPING: (
        (S.RESTARTING, A.NOTHING),  # START: it must end first, then begins again
        (S.STOPPING, A.NOTHING),  # READY: too late
        (S.DOWN, A.REST),  # EXIT
        (S.STOPPING, A.KILL),  # DEADLINE: did not end when asked
        (S.STOPPING, A.NOTHING),  # STOP: it does
        (S.RESTARTING, A.NOTHING),  # RESTART
        (S.STOPPING, A.FORGET),  # RESET
        (S.STOPPING, A.REFUSE),  # PAUSE
        (S.STOPPING, A.REFUSE),  # RESUME
        (S.STOPPING, _not),  # UNBORN
        (S.STOPPING, _not),  # FINISHED
        (S.STOPPING, _not),  # PARKED
    ),
    S.RESTARTING: (
        (S.RESTARTING, A.NOTHING),  # START: will
        (S.RESTARTING, A.NOTHING),  # READY: too late
        (S.STARTING, A.SPAWN),  # EXIT
        (S.RESTARTING, A.KILL),  # DEADLINE
        (S.STOPPING, A.NOTHING),  # STOP: the last word counts
        (S.RESTARTING, A.NOTHING),  # RESTART
        (S.RESTARTING, A.FORGET),  # RESET
        (S.RESTARTING, A.REFUSE),  # PAUSE
        (S.RESTARTING, A.REFUSE),  # RESUME
        (S.RESTARTING, _not),  # UNBORN
        (S.RESTARTING, _not),  # FINISHED
        (S.RESTARTING, _not),  # PARKED
    ),
    S.WAITING: (
        (S.STARTING, A.SPAWN),  # START: now rather than later
        (S.WAITING, _not),  # READY: there is no process
        (S.WAITING, _not),  # EXIT
        (S.STARTING, A.SPAWN),  # DEADLINE: the wait is over
        (S.DOWN, A.REST),  # STOP
        (S.STARTING, A.SPAWN),  # RESTART
        (S.STARTING, A.REBIRTH),  # RESET
        (S.WAITING, A.REFUSE),  # PAUSE
        (S.WAITING, A.REFUSE),  # RESUME
        (S.WAITING, _not),  # UNBORN
        (S.DOWN, A.REST),  # FINISHED
        (S.FAILED, A.PARK),  # PARKED
    ),
    S.FAILED: (
        (S.FAILED, A.REFUSE),  # START: `reset` says that the cause was looked at
        (S.FAILED, _not),  # READY
        (S.FAILED, _not),  # EXIT
        (S.FAILED, _not),  # DEADLINE
        (S.DOWN, A.REST),  # STOP: a new configuration shall not bring it back either
        (S.FAILED, A.REFUSE),  # RESTART
        (S.STARTING, A.REBIRTH),  # RESET
        (S.FAILED, A.REFUSE),  # PAUSE
        (S.FAILED, A.REFUSE),  # RESUME
        (S.FAILED, _not),  # UNBORN
        (S.FAILED, _not),  # FINISHED
        (S.FAILED, _not),  # PARKED
    ),
    S.PAUSED: (
        (S.PAUSED, A.REFUSE),  # START: it runs, but was paused
        (S.PAUSED, A.NOTHING),  # READY: said twice, before the pause
        (S.WAITING, A.JUDGE),  # EXIT: killed while paused
        (S.PAUSED, _not),  # DEADLINE: disarmed
        (S.STOPPING, A.TERMINATE),  # STOP
        (S.RESTARTING, A.TERMINATE),  # RESTART
        (S.PAUSED, A.FORGET),  # RESET
        (S.PAUSED, A.NOTHING),  # PAUSE: is so
        (S.UP, A.THAW),  # RESUME
        (S.PAUSED, _not),  # UNBORN
        (S.PAUSED, _not),  # FINISHED
        (S.PAUSED, _not),  # PARKED
    ),
    S.ABORTING: (
        (S.ABORTING, A.NOTHING),  # START: the policy will see to it
        (S.ABORTING, A.NOTHING),  # READY: too late
        (S.WAITING, A.JUDGE),  # EXIT
        (S.ABORTING, A.KILL),  # DEADLINE: the stack is written, or never will be
        (S.STOPPING, A.TERMINATE),  # STOP
        (S.RESTARTING, A.TERMINATE),  # RESTART
        (S.ABORTING, A.FORGET),  # RESET
        (S.ABORTING, A.REFUSE),  # PAUSE
        (S.ABORTING, A.REFUSE),  # RESUME
        (S.ABORTING, _not),  # UNBORN
        (S.ABORTING, _not),  # FINISHED
        (S.ABORTING, _not),  # PARKED
    ),
}

#: TABLE[state][event] is the next state and the action.
TABLE: dict[State, dict[Event, tuple[State, Action]]] = {
    state: dict(zip(Event, row, strict=True)) for state, row in _ROWS.items()
}

GONE = frozenset({S.DOWN, S.FAILED})  #: no process, and none to come by itself
BUSY = frozenset({S.STARTING, S.RESTARTING, S.ABORTING, S.STOPPING})  #: about to change by itself
ALIVE = frozenset({S.STARTING, S.UP, S.STOPPING, S.RESTARTING, S.PAUSED, S.ABORTING})  #: there is a process
