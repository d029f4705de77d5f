"""The root process: one loop that forks, listens, restarts and stops, and sleeps in between.

Nothing here knows what a child does. What is kept alive comes from `load`, what a child is comes from `become`.
"""

import faulthandler
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict

import anima
from anima.clock import SYSTEM
from anima.errors import AnimaError, ConfigError, Exit, Refused
from anima.paths import Home
from anima.supervisor import descriptors, kernel, orphans, pidfile
from anima.supervisor.cgroups import find_groups
from anima.supervisor.child import Child
from anima.supervisor.family import Family, House
from anima.supervisor.lifecycle import Event
from anima.supervisor.listener import Listener, Reply, open_door
from anima.supervisor.lock import prepare, take_lock
from anima.supervisor.logfile import LogFile, find_journal
from anima.supervisor.order import beyond_hope, is_truly_up, is_well, next_births, next_stops, start_s, stop_s, summary
from anima.supervisor.program import Program
from anima.supervisor.records import Records
from anima.supervisor.reexec import Launch, State, fall_back, hand_on, release_signals, signals_held_back, take_over
from anima.supervisor.reload import adopt
from anima.supervisor.requests import Requests, describe
from anima.supervisor.spawn import Spawner
from anima.supervisor.spec import Plan, Policy
from anima.supervisor.strays import Strays
from anima.supervisor.upgrade import Means, Upgrade
from anima.supervisor.upward import Upward
from anima.supervisor.watch import Watch

_RELOAD_GAP_S = 0.2  # a hundred HUPs in a second are a few reloads
_STRAYS_PATIENCE_S = 5.0  # how long the last orphans may take to die at the end


class Root:
    """One house alive; one that goes on where other code left off, if that handed on its state through `state_fd`."""

    def __init__(self, home: Home, program: Program, state_fd: int = -1) -> None:
        self._home = home
        self._program = program
        self._state_fd = state_fd
        self._records = Records()
        self._say = LogFile(home, journal=find_journal())
        self._upward = Upward(os.environ)
        self._started = time.monotonic()
        self._born = False  #: everybody had a first chance; systemd knows
        self._down = False  #: somebody asked for the end; never taken back
        self._stops_heeded = 0
        self._told = ""  #: what systemd heard last
        self._wrong = ""  #: why the last reload was refused
        self._read_s = 0.0  #: how long a reload of this turn read
        self._exit = Exit.OK
        self._ping_at = self._started
        self._reload_at: float | None = None
        self._reloaded_at = 0.0
        self._empty_at: float | None = None  #: when the last child was gone
        self._strays = Strays(self._records, self._say)

    def run(self) -> Exit:
        """Lead the whole life, from the lock to the last orphan. The exit code says how it went; errors are logged."""
        descriptors.open_standard()
        kernel.hide_memory()  # before the first key is read; those of its environment were there before
        try:
            handed = None if self._state_fd < 0 else take_over(self._state_fd)
            if handed is None:
                prepare(self._home)
            self._lock = handed.lock_fd if handed else take_lock(self._home)
        except AnimaError as error:
            sys.stderr.write(f"{error}\n")
            self._upward.say(f"STATUS={error}")
            return error.exit
        try:
            return self._live(handed)
        except AnimaError as error:
            self._say.error(f"{error}")
            self._upward.say(f"STATUS={error}")
            return error.exit
        finally:
            os.close(self._lock)

    def _live(self, handed: State | None) -> Exit:
        with self._begun() if handed is None else self._resumed(handed):
            woke = time.monotonic()
            while not self._over():
                before = time.monotonic()
                until = self._next_wake()
                self._watch.sleep(until)
                now = time.monotonic()
                self._forgive_pauses(before - woke, 0.0 if until is None else now - max(until, before))
                woke = now
                self._turn(now)
            self._say.info("the house is at rest")
        return self._exit if not self._family.alive() else Exit.BUG

    @contextmanager
    def _begun(self) -> Iterator[None]:
        """A house that wakes."""
        plan = self._program.load()
        self._strays.strangers = orphans.direct_children()
        with self._organs(plan.policy, descriptors.raise_limit()) as house:
            self._say.may_use_journal(plan.journal)
            adopt(self._family, plan)
            self._upgrade = Upgrade(house, self._family, self._means(), None, 1)
            self._listen(open_door(self._home))
            self._say.info(f"the house at {self._home.root} wakes (pid {os.getpid()})")
            yield

    @contextmanager
    def _resumed(self, handed: State) -> Iterator[None]:
        """A house that other code kept alive until a moment ago; nobody in it may notice the difference."""
        try:
            house = self._take_up(handed)
        except Exception as error:
            self._say.error(f"this code cannot take the house over:\n{traceback.format_exc()}")
            fall_back(handed, f"version {anima.__version__} cannot take the house over ({error!r})")
            raise
        with house:
            release_signals()
            yield

    def _take_up(self, handed: State) -> ExitStack:
        """Everything as it was; what is to be given back at the end."""
        self._say.may_use_journal(handed.journal)
        self._records = Records(handed.diary)
        self._started, self._born, self._told = handed.started, handed.born, handed.told
        self._ping_at, self._reload_at = handed.ping_at, handed.reload_at
        self._strays = Strays(self._records, self._say, set(handed.strangers), set(handed.killed))
        with ExitStack() as organs:
            house = organs.enter_context(self._organs(handed.tree.policy, handed.nofile))
            self._family.take_over(handed.tree)
            means = self._means(handed.loaded)
            self._upgrade = Upgrade(house, self._family, means, handed.course, handed.newest)
            self._listen(socket.socket(fileno=handed.door_fd))
            self._listener.take_over(handed.clients, self._requests.promise)
            self._watch.died = True  # whoever ended meanwhile waits to be reaped
            return organs.pop_all()

    @contextmanager
    def _organs(self, policy: Policy, nofile: int) -> Iterator[House]:
        """Everything the loop needs, given back in the opposite order."""
        self._watch = Watch()
        faulthandler.enable(file=2)  # systemd's watchdog ends a root that hangs by ABRT: the stack says where
        kernel.adopt_orphans()
        self._groups = find_groups(os.environ)
        self._groups.prepare()
        self._spawner = Spawner(self._home, self._program.become, self._program.child_argv, nofile, self._groups)
        house = House(self._home, self._watch, self._spawner, self._records, self._say, SYSTEM)
        self._family = Family(house, policy)
        pid_path = self._home.pid_file("supervisor")
        try:
            pidfile.write_pid_file(pid_path)
            yield house
            self._listener.close()
        finally:
            pidfile.remove_pid_file(pid_path, os.getpid())
            self._watch.close()

    def _means(self, loaded: tuple[str, ...] = ()) -> Means:
        launch = Launch(self._program.root_argv, os.environ.get("PYTHONPATH", ""))
        return Means(launch, self._snapshot, self._read_plan, (*loaded, *self._program.modules))

    def _listen(self, door: socket.socket) -> None:
        family, upgrade = self._family, self._upgrade
        door.setblocking(False)
        self._door = door
        self._requests = Requests(family, self._status, self._reload, self._go_down, upgrade.ask)
        answer, reserve = self._requests.answer, self._spawner.reserve
        self._listener = Listener(door, self._watch, self._records, answer, reserve, SYSTEM)

    # -- one turn ---------------------------------------------------------------------------------------------------------

    def _turn(self, now: float) -> None:
        """Take notice of what happened, decide, act. The order matters: the dead first, so that nobody signals them."""
        if self._watch.died:
            self._watch.died = False  # this first: who dies while we reap is for the next turn
            self._reap()
        self._heed_signals(now)
        self._family.act_on_time()
        if self._family.stopping:
            for child in next_stops(list(self._family.children.values()), self._family.hurried):
                self._family.tell(child, Event.STOP)
        else:
            for child in next_births(list(self._family.children.values())):
                self._family.tell(child, Event.START)
        self._family.bid_farewell()
        if self._strays.due_at is not None and self._strays.due_at <= time.monotonic():
            self._kill_strays()
        self._upgrade.turn()
        self._listener.turn()
        self._speak_upward(now)
        if self._upgrade.leaving:
            self._leave(self._upgrade.leaving)

    def _next_wake(self) -> float | None:
        """The earliest moment anybody needs the loop; now, if there is more to do at once."""
        now = time.monotonic()
        reload_at = None if self._upgrade.course else self._reload_at  # it waits until that is over
        moments = [self._family.next_wake(), self._listener.next_wake(), reload_at, self._strays.due_at]
        moments.append(self._upgrade.next_wake())
        if self._upward.beat_s:
            moments.append(self._ping_at)
        if self._family.stopping:
            moments.append(now if next_stops(list(self._family.children.values()), self._family.hurried) else None)
            moments.append(now + _STRAYS_PATIENCE_S)
        elif next_births(list(self._family.children.values())):
            moments.append(now)
        return min((moment for moment in moments if moment is not None), default=None)

    def _forgive_pauses(self, busy_s: float, late_s: float) -> None:
        """When the root itself was held up beyond reason, so was everybody: no deadline of that time counts."""
        gap_s, busy_s, self._read_s = max(busy_s, late_s), busy_s - self._read_s, 0.0
        if gap_s > self._family.policy.pause_gap_s:
            self._family.forgive(gap_s)
            if max(busy_s, late_s) > self._family.policy.pause_gap_s:  # else a keyring waited for a person, and the root for it
                self._say.warning(f"the machine stood still for {gap_s:.1f} s; all deadlines begin anew")

    def _heed_signals(self, now: float) -> None:
        if self._watch.stops > self._stops_heeded:
            again = self._stops_heeded > 0 or self._watch.stops > 1
            self._stops_heeded = self._watch.stops
            self._go_down()
            if again and not self._family.hurried:
                self._say.warning("told to stop again: everything ends within 2 s")
                self._family.hurry()
        if self._watch.reload:
            self._watch.reload = False
            self._reload_at = max(now, self._reloaded_at + _RELOAD_GAP_S)
        if self._reload_at is not None and self._reload_at <= now and not self._upgrade.course:
            with suppress(ConfigError):  # logged by _reload, and nobody else waits for the answer
                self._reload()

    # -- the dead ---------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Take in everybody who ended, children and orphans alike, and look whether they left somebody behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._strays.reaped(pid)
            code = os.waitstatus_to_exitcode(status)
            self._upgrade.bury(pid, code)
            self._family.bury(pid, code)

    def _kill_strays(self) -> None:
        self._strays.kill(self._family.known_pids() | {self._upgrade.pid})

    def _over(self) -> bool:
        """Whether nothing is left to wait for."""
        if not self._family.stopping:
            return False
        if self._family.alive():
            return self._family.abandoned()
        now = time.monotonic()
        if self._empty_at is None:
            self._empty_at = now
            self._kill_strays()
        return not self._strays.left() or now > self._empty_at + _STRAYS_PATIENCE_S

    # -- going on in other code -------------------------------------------------------------------------------------------

    def _snapshot(self) -> State:
        now = time.monotonic()
        return State(
            lock_fd=self._lock,
            door_fd=self._door.fileno(),
            tree=self._family.hand_on(),
            diary=self._records.hand_on(),
            started=self._started,
            nofile=self._spawner.nofile,
            clients=self._listener.hand_on(self._requests.noted),
            born=self._born,
            told=self._told,
            ping_at=self._ping_at,
            reload_at=now if self._watch.reload else self._reload_at,
            strangers=tuple(self._strays.strangers),
            killed=tuple(self._strays.killed),
            loaded=self._spawner.loaded,
            journal=self._say.to_journal,
            newest=self._upgrade.newest,
            course=self._upgrade.course,
        )

    def _leave(self, launch: Launch) -> None:
        """Become `launch`. Returns only if somebody wants the house to stop, which comes first, or if it cannot be started."""
        with signals_held_back():
            if self._watch.stops > self._stops_heeded:
                return
            try:
                hand_on(self._snapshot(), launch)
            except OSError as error:
                self._upgrade.failed(error)

    # -- what the root is asked ---------------------------------------------------------------------------------------------

    def _go_down(self) -> None:
        if self._down:
            return
        self._down = self._family.stopping = True
        self._say.info("going down", "house_down")
        patience_s = stop_s(self._family.children.values()) + _STRAYS_PATIENCE_S
        self._upward.say("STOPPING=1", "STATUS=going down", f"EXTEND_TIMEOUT_USEC={int(patience_s * 1e6)}")
        for child in self._family.children.values():
            child.due = False
        self._records.add("stopping", name="supervisor", reason="going down")
        self._upgrade.stop()

    def _reload(self) -> Reply:
        """Live by the configuration as it is now. Raises ConfigError, and leaves everything as it was, if it is wrong.

        Raises Refused during an upgrade: who is restarted, and when, would be decided in two places.
        """
        if self._upgrade.course:
            raise Refused("an upgrade is under way; reload when it is over")
        self._reload_at = None
        self._reloaded_at = time.monotonic()
        self._upward.reloading()
        self._wrong, self._family.changed = "", True
        try:
            plan = self._read_plan()
        finally:
            self._read_s = time.monotonic() - self._reloaded_at
            if self._born:
                self._upward.say("READY=1")
        if self._family.stopping:
            return {"ok": True, "added": [], "removed": [], "changed": []}
        changes = adopt(self._family, plan)
        added, removed, changed = map(len, (changes.added, changes.removed, changes.changed))
        self._say.info(f"reloaded: {added} added, {removed} removed, {changed} changed", "reloaded")
        self._records.add("reloaded", name="supervisor", **asdict(changes))
        return {"ok": True, **asdict(changes)}

    def _read_plan(self) -> Plan:
        """The plan as the configuration has it now. Raises ConfigError, also for a mistake of whoever reads it."""
        try:
            plan = self._program.load()
        except ConfigError as error:
            self._wrong = f"; the configuration is wrong, the old one stays in force: {error}"
            self._say.error(self._wrong.removeprefix("; "), "reload_refused")
            raise
        except Exception as error:
            self._say.error(f"the plan cannot be made, the old one stays in force:\n{traceback.format_exc()}", "reload_refused")
            raise ConfigError(f"reading the configuration failed ({error!r}); the supervisor's log has the details") from error
        self._say.may_use_journal(plan.journal)
        return plan

    def _status(self) -> Reply:
        now = time.monotonic()
        itself = {
            "pid": os.getpid(),
            "version": anima.__version__,
            "uptime_s": round(now - self._started, 3),
            "state": "stopping" if self._down else "running" if self._born else "starting",
            "cgroups": self._groups.describe(),
            "generation": self._family.generation,
            "upgrade": self._upgrade.standing,
        }
        return describe(self._family, now, itself)

    def _speak_upward(self, now: float) -> None:
        if self._upward.beat_s and now >= self._ping_at:
            self._ping_at = now + self._upward.beat_s
            if is_well(self._family.children.values(), self._family.policy, now):
                self._upward.say("WATCHDOG=1")
        if not self._born and not self._down:
            self._upward.extend(start_s(self._family.children.values(), now), now)
        if not self._family.changed:
            return
        self._family.changed = False
        line = summary(self._family.children.values()) + self._wrong
        words = [f"STATUS={line}"] if line != self._told and not self._down else []
        self._told = line
        if not self._born and not self._down and is_truly_up(self._family.children.values()):
            self._born = True
            words.insert(0, "READY=1")
            self._say.info(f"the house is up after {now - self._started:.3f} s: {line}", "house_up")
        if words:
            self._upward.say(*words)
        if not self._born and not self._down and self._upward.heard and (lost := beyond_hope(self._family.children.values())):
            self._give_up(lost)

    def _give_up(self, lost: Child) -> None:
        """A service that cannot start ends, with the code that says whether to try again; a person's house stays to tell."""
        self._exit = Exit.CONFIG if lost.code == Exit.CONFIG else Exit.BUG
        self._go_down()
        self._upward.say(f"STATUS={lost.name} does not start: {lost.reason}")
