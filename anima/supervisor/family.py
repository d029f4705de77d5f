"""All children together: what happens to one is told to the table in `lifecycle.py`, and the answer is carried out here.

Called from one loop, never re-entered by a signal. The only part that changes a child's state.
"""

import math
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from anima.clock import Clock
from anima.paths import Home
from anima.supervisor import output, pidfile
from anima.supervisor.child import Child, end_cause, end_reason
from anima.supervisor.lifecycle import GONE, TABLE, Action, Event, State
from anima.supervisor.logfile import LogFile
from anima.supervisor.policy import Again, Bucket, Death, Finished, GivenUp, History, judge, take, wait_s
from anima.supervisor.records import Records
from anima.supervisor.reexec import Tree
from anima.supervisor.spawn import Spawner
from anima.supervisor.spec import Policy
from anima.supervisor.watch import READ, Watch
from anima.supervisor.words import BEAT, parse_words

_DATAGRAM_BYTES_MAX = 4096
_DATAGRAMS_MAX = 1024  # of one child at a time: one that talks without end must not hold up the others
_KILL_AGAIN_S = 5.0
_HURRY_FIRST_S = 1.0  # what agents have after a second TERM
_HURRY_ALL_S = 1.8  # and the rest, so that all is over within 2 s


@dataclass(frozen=True)
class House:
    """What the family lives with."""

    home: Home
    watch: Watch
    spawner: Spawner
    records: Records
    say: LogFile
    clock: Clock


class Family:
    """The children by name, in the order of the plan."""

    def __init__(self, house: House, policy: Policy) -> None:
        self._house = house
        self.policy = policy
        self.redact: Callable[[str], str] = str  #: of the plan in force
        self.children: dict[str, Child] = {}
        self.generation = 1  #: of the code in force; who was forked by another runs other code
        self.stopping = False  #: the house goes down: nobody is born or restarted any more
        self.changed = True  #: some state changed since whoever looks at this took it back
        self._by_pid: dict[int, Child] = {}
        self._bucket = Bucket()
        self._chance = random.Random()  # noqa: S311 - jitter, not secrets
        self._judged_at = 0.0  # when the silent were last looked for
        self._hurried_at: float | None = None
        self._acts: dict[Action, Callable[[Child], None]] = {
            Action.NOTHING: self._nothing,
            Action.REFUSE: self._nothing,
            Action.IMPOSSIBLE: self._impossible,
            Action.SPAWN: self._spawn,
            Action.REBIRTH: self._rebirth,
            Action.FORGET: self._forget,
            Action.GREET: self._greet,
            Action.TERMINATE: self._terminate,
            Action.ABORT: self._abort,
            Action.KILL: self._kill,
            Action.JUDGE: self._judge,
            Action.DELAY: self._delay,
            Action.REST: self._rest,
            Action.PARK: self._park,
            Action.FREEZE: self._freeze,
            Action.THAW: self._thaw,
        }

    def tell(self, child: Child, event: Event) -> Action:
        """Let `event` happen to `child`: take its new state from the table, act, and answer with the action."""
        state, action = TABLE[child.state][event]
        if action is Action.IMPOSSIBLE:
            self._house.say.error(f"{child.name}: {event.name} while {child.state}, which cannot happen; please report it")
        if event is Event.DEADLINE and child.state is State.WAITING:
            child.restarts += 1
        if event in (Event.START, Event.STOP, Event.RESTART):
            child.due = False
        child.state = state
        self.changed = True
        self._acts[action](child)
        return action

    # -- going on in other code -----------------------------------------------------------------------------------------

    def hand_on(self) -> Tree:
        """Everything the code that goes on must know."""
        return Tree(tuple(self.children.values()), self.policy, self.generation, self._bucket, self._judged_at)

    def take_over(self, tree: Tree) -> None:
        """Go on with `tree` as if it had always been here; whoever said something meanwhile is heard."""
        self.generation, self._bucket, self._judged_at = tree.generation, tree.bucket, tree.judged_at
        self.redact = output.untold
        self.children = {child.name: child for child in tree.children}
        self._by_pid = {child.pid: child for child in tree.children if child.pid}
        for child in self._by_pid.values():
            if not child.ready_at:
                self._await(child)

    # -- what the loop calls --------------------------------------------------------------------------------------------

    def bid_farewell(self) -> None:
        """Forget those who left the plan and are gone."""
        for name in [name for name, child in self.children.items() if child.leaving and child.state in GONE]:
            del self.children[name]

    def name_of(self, pid: int) -> str | None:
        """The child whose process `pid` is."""
        child = self._by_pid.get(pid)
        return child.name if child else None

    def group_of(self, child: Child) -> str:
        """The folder of its cgroup; "" where there is none."""
        return str(self._house.spawner.groups.folder(child.spec) or "")

    def alive(self) -> int:
        """How many processes there are."""
        return len(self._by_pid)

    def known_pids(self) -> set[int]:
        """The processes that were forked on purpose."""
        return set(self._by_pid)

    def bury(self, pid: int, code: int) -> bool:
        """`pid` was reaped with exit code `code` (or minus the signal). False if it was nobody of the family."""
        child = self._by_pid.pop(pid, None)
        if child is None:
            return False
        self.listen_to(child)
        child.code = code
        now = self._house.clock.monotonic()
        child.healthy_s = now - child.ready_at if child.ready_at else 0.0
        cause, reason = end_cause(child), end_reason(child, starved=self._house.spawner.groups.starved(child.spec))
        self._release(child)
        child.reason = reason
        told = {"exit": max(code, -1), "signal": max(-code, 0), "cause": cause, "reason": reason}
        uptime_s = round(now - child.forked_at, 3)
        self._house.records.add("ended", name=child.name, pid=pid, incarnation=child.incarnation, **told, uptime_s=uptime_s)
        tone = self._house.say.info if cause == "stop" else self._house.say.warning
        tone(f"{child.name} ended (pid {pid}): {reason}", "ended", child.name, pid)
        child.pid = 0
        self.tell(child, Event.EXIT)
        return True

    def listen_to(self, child: Child) -> None:
        """Read what `child` has said since the last time."""
        for _ in range(_DATAGRAMS_MAX):
            try:
                datagram = os.read(child.notify_fd, _DATAGRAM_BYTES_MAX)
            except (BlockingIOError, ConnectionResetError):
                return
            if datagram == BEAT:
                child.beat_at = self._house.clock.monotonic()
            elif datagram:
                self._heed(child, datagram)
            else:
                self._house.watch.forget(child.notify_fd)  # at its end a socket stays readable for ever
                return

    def listen_to_all(self) -> None:
        """Read what everybody has said. The next judgement keeps its time: asking for the status often must not put it off."""
        for child in list(self.children.values()):
            if child.notify_fd >= 0:
                self.listen_to(child)

    def next_wake(self) -> float | None:
        """The moment (monotonic) the family needs the loop again; None if only events matter.

        Beats do not wake anyone: all of them are read once per beat interval, so that a hundred cost one wake-up.
        """
        soonest = None
        for child in self.children.values():
            moment = child.deadline
            if moment is None and child.watched:
                moment = self._judged_at + child.spec.beat_s
            if moment is not None and (soonest is None or moment < soonest):
                soonest = moment
        return soonest

    def act_on_time(self) -> None:
        """Do what is due by now: read beats and find the silent, act on deadlines after a last look at what was said."""
        now = self._house.clock.monotonic()
        children = list(self.children.values())
        if any(child.watched and now >= self._judged_at + child.spec.beat_s for child in children):
            self._judged_at = now
            self.listen_to_all()
            for child in children:
                if child.watched and now - child.beat_at > child.spec.beat_s * child.spec.beats_missed_max:
                    self.tell(child, Event.DEADLINE)
        for child in children:
            if child.deadline is not None and child.deadline <= now:
                if child.notify_fd >= 0:
                    self.listen_to(child)
                if child.deadline is not None and child.deadline <= now:  # it may have become ready, or asked for more time
                    child.deadline = None
                    self.tell(child, Event.DEADLINE)

    def forgive(self, gap_s: float) -> None:
        """The whole machine stood still for `gap_s`: nobody is late."""
        now = self._house.clock.monotonic()
        for child in self._by_pid.values():
            child.beat_at = now
            if child.deadline is not None:
                child.deadline += gap_s

    def hurry(self) -> None:
        """Shorten every deadline so that all are gone within two seconds from now, agents before the rest."""
        self._hurried_at = self._house.clock.monotonic()
        for child in self._by_pid.values():
            if child.deadline is not None:
                child.deadline = self._bounded(child, child.deadline)

    @property
    def hurried(self) -> bool:
        """Whether `hurry` was called."""
        return self._hurried_at is not None

    def abandoned(self) -> bool:
        """Whether all that are left were killed long ago and the kernel does not let go of them."""
        patience = self._house.clock.monotonic() - _KILL_AGAIN_S
        return bool(self._by_pid) and all(0 < child.killed_at < patience for child in self._by_pid.values())

    # -- what the table asks for ------------------------------------------------------------------------------------------

    def _nothing(self, child: Child) -> None:
        """Nothing to do."""

    _impossible = _nothing

    def _spawn(self, child: Child) -> None:
        house, spec = self._house, child.spec
        fork = house.spawner.may_fork(self.policy.spawn)
        if fork:
            for failure in house.spawner.preload(*spec.preload):
                house.say.warning(f"{child.name}: {failure}; it will meet the same")
            fork = house.spawner.may_fork(self.policy.spawn)
        if not fork and self.policy.spawn != "exec" and sys.platform == "linux":
            self._note(child, "a thread runs in the supervisor, so it is started by exec: slower, and it shares no memory")
        now = house.clock.monotonic()  # the fork itself is part of what a birth takes
        try:
            born = house.spawner.spawn(spec, child.incarnation + 1, fork)
        except OSError as error:
            child.reason = f"the system gives no process for it: {error.strerror}"
            self.tell(child, Event.UNBORN)
            return
        child.begin(born, now, self.generation)
        self._by_pid[child.pid] = child
        self._await(child)
        house.records.add("started", name=child.name, pid=child.pid, incarnation=child.incarnation)
        house.say.info(f"{child.name} started (pid {child.pid})", "started", child.name, child.pid)

    def _await(self, child: Child) -> None:
        """Until it is READY, each of its words is heard at once."""
        self._house.watch.listen(child.notify_fd, READ, lambda: self.listen_to(child))

    def _rebirth(self, child: Child) -> None:
        self._forget(child)
        self._spawn(child)

    def _forget(self, child: Child) -> None:
        child.history = History()
        child.unborn = 0

    def _greet(self, child: Child) -> None:
        now = self._house.clock.monotonic()
        self._house.watch.forget(child.notify_fd)  # from now on it is read once per beat, see `next_wake`
        child.ready_at = child.beat_at = now
        child.deadline = None
        child.reason = ""
        boot_s = round(now - child.forked_at, 6)
        self._house.records.add("ready", name=child.name, pid=child.pid, incarnation=child.incarnation, boot_s=boot_s)
        self._house.say.info(f"{child.name} is up (pid {child.pid}, {boot_s * 1000:.1f} ms)", "up", child.name, child.pid)

    def _terminate(self, child: Child) -> None:
        child.cause = "stop"
        child.deadline = self._bounded(child, self._house.clock.monotonic() + child.spec.stop_timeout_s)
        child.send(signal.SIGTERM)
        child.send(signal.SIGCONT)  # a stopped process takes the signal when it goes on

    def _abort(self, child: Child) -> None:
        child.cause = "watchdog" if child.ready_at else "start-timeout"
        child.deadline = self._house.clock.monotonic() + self.policy.abort_grace_s
        self._house.say.warning(f"{child.name} (pid {child.pid}): {end_reason(child)}")
        child.send(signal.SIGABRT)
        child.send(signal.SIGCONT)

    def _kill(self, child: Child) -> None:
        now = self._house.clock.monotonic()
        if child.killed_at:
            self._house.say.error(f"{child.name} (pid {child.pid}) does not die of KILL: it hangs inside the kernel")
        child.killed_at = child.killed_at or now
        child.deadline = now + _KILL_AGAIN_S
        child.send_group(signal.SIGKILL)
        child.send(signal.SIGKILL)
        self._house.spawner.groups.kill(child.spec)

    def _judge(self, child: Child) -> None:
        if self.stopping or child.leaving:
            self.tell(child, Event.FINISHED)
            return
        now = self._house.clock.monotonic()
        death = Death(child.code, child.healthy_s, now)
        verdict, child.history = judge(child.spec.restart, death, child.history, self.policy, self._chance.random())
        match verdict:
            case Again(delay_s):
                wait, self._bucket = take(self._bucket, self.policy, now)
                self._again(child, max(delay_s, wait))
            case Finished(reason):
                child.reason = f"{child.reason}; {reason}" if child.code else reason
                self.tell(child, Event.FINISHED)
            case GivenUp(reason):
                child.reason = f"{child.reason}; {reason}"
                self.tell(child, Event.PARKED)
            case _:
                assert_never(verdict)

    def _again(self, child: Child, delay_s: float) -> None:
        if delay_s == 0:
            self.tell(child, Event.DEADLINE)
            return
        child.deadline = self._house.clock.monotonic() + delay_s
        self._house.records.add("waiting", name=child.name, delay_s=round(delay_s, 3), reason=child.reason)
        self._house.say.warning(f"{child.name} is started again in {delay_s:.1f} s", "again", child.name)

    def _delay(self, child: Child) -> None:
        delay_s = wait_s(child.unborn, self.policy, self._chance.random())
        child.unborn += 1
        child.deadline = self._house.clock.monotonic() + delay_s
        self._house.records.add("unborn", name=child.name, delay_s=round(delay_s, 3), reason=child.reason)
        self._house.say.error(f"{child.name}: {child.reason}; tried again in {delay_s:.1f} s")

    def _rest(self, child: Child) -> None:
        child.deadline = None

    def _park(self, child: Child) -> None:
        child.deadline = None
        self._house.records.add("parked", name=child.name, reason=child.reason)
        how = f"`animactl reset {child.name.removeprefix('agent:')}` frees it"
        self._house.say.error(f"{child.name} is parked: {child.reason} ({how})", "parked", child.name)

    def _freeze(self, child: Child) -> None:
        child.send_group(signal.SIGSTOP)
        child.send(signal.SIGSTOP)
        self._house.records.add("paused", name=child.name, pid=child.pid, incarnation=child.incarnation)

    def _thaw(self, child: Child) -> None:
        child.beat_at = self._house.clock.monotonic()
        child.send_group(signal.SIGCONT)
        child.send(signal.SIGCONT)
        self._house.records.add("resumed", name=child.name, pid=child.pid, incarnation=child.incarnation)

    # -- leaves -----------------------------------------------------------------------------------------------------------

    def _heed(self, child: Child, datagram: bytes) -> None:
        said = parse_words(datagram)
        now = self._house.clock.monotonic()
        if said.beat:
            child.beat_at = now
        if said.hang:
            child.beat_at = -math.inf
        if said.status is not None:
            child.status = said.status
        if said.reason is not None:
            child.last_words = said.reason
        if said.extend_s is not None and child.deadline is not None and not self.hurried:
            child.deadline = max(child.deadline, now + said.extend_s)
        if said.ready:
            self.tell(child, Event.READY)

    def _bounded(self, child: Child, deadline: float) -> float:
        if self._hurried_at is None:
            return deadline
        return min(deadline, self._hurried_at + (_HURRY_FIRST_S if child.spec.parallel else _HURRY_ALL_S))

    def _note(self, child: Child, reason: str) -> None:
        self._house.records.add("note", name=child.name, reason=reason)
        self._house.say.warning(f"{child.name}: {reason}")

    def _release(self, child: Child) -> None:
        """Close what was shared with a dead process; what it could not say any more goes to its log."""
        house = self._house
        house.watch.forget(child.notify_fd)
        if left := output.left_in(child.output_fd) + output.stack_in(house.home.stack_file(child.name)):
            house.say.last_words(child.name, self.redact(os.fsdecode(left)), house.clock.now())
        child.let_go()
        house.spawner.groups.close(child.spec)
        pidfile.remove_pid_file(house.home.pid_file(child.name), child.pid)
