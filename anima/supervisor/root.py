"""The root process: one loop that forks, listens, restarts and stops, and sleeps in between.

Nothing here knows what a child does. What is kept alive comes from `load`, what a child is comes from `become`.
"""

import faulthandler
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import islice

import anima
from anima import journald
from anima.clock import SYSTEM
from anima.errors import AnimaError, ConfigError, Exit
from anima.journald import Journal
from anima.paths import Home
from anima.supervisor import kernel, orphans, pidfile
from anima.supervisor.cgroups import find_groups
from anima.supervisor.child import Child
from anima.supervisor.family import Family, House
from anima.supervisor.lifecycle import Event
from anima.supervisor.listener import Listener, Reply
from anima.supervisor.lock import prepare, take_lock
from anima.supervisor.logfile import LogFile
from anima.supervisor.order import beyond_hope, is_truly_up, is_well, next_births, next_stops, stop_s, summary
from anima.supervisor.prologue import Become
from anima.supervisor.records import Records
from anima.supervisor.reload import adopt
from anima.supervisor.requests import Requests, describe
from anima.supervisor.spawn import Spawner
from anima.supervisor.spec import Plan
from anima.supervisor.upward import Upward
from anima.supervisor.watch import Watch

_RELOAD_GAP_S = 0.2  # a hundred HUPs in a second are a few reloads
_STRAYS_GAP_S = 0.1  # looking for orphans reads /proc; when thousands die, once for many of them
_STRAYS_TOLD_MAX = 16  # by name, at a time
_STRAYS_PATIENCE_S = 5.0  # how long the last orphans may take to die at the end


class Root:
    """One house alive.

    `load` reads the plan (ConfigError if it is wrong), `become` is the life of a forked child, `exec_argv` the command
    that leads the same life in a fresh interpreter; `--boot-fd N` is added to it.
    """

    def __init__(self, home: Home, load: Callable[[], Plan], become: Become, exec_argv: list[str]) -> None:
        self._home = home
        self._load = load
        self._become = become
        self._exec_argv = exec_argv
        self._records = Records()
        self._say = LogFile(home, journal=_journal())
        self._upward = Upward(os.environ)
        self._started = time.monotonic()
        self._born = False  #: everybody had a first chance; systemd knows
        self._down = False  #: somebody asked for the end; never taken back
        self._stops_heeded = 0
        self._told = ""  #: what systemd heard last
        self._wrong = ""  #: why the last reload was refused
        self._exit = Exit.OK
        self._ping_at = self._started
        self._reload_at: float | None = None
        self._reloaded_at = 0.0
        self._empty_at: float | None = None  #: when the last child was gone
        self._stray_check_at: float | None = None
        self._strays_checked_at = 0.0
        self._killed: set[int] = set()  #: orphans sent KILL and not yet reaped
        self._strangers: set[int] = set()  #: children this process had before it became the root

    def run(self) -> Exit:
        """Lead the whole life, from the lock to the last orphan. The exit code says how it went; errors are logged."""
        _open_standard_fds()
        kernel.hide_memory()  # before the first key is read; those of its environment were there before
        try:
            prepare(self._home)
            lock = take_lock(self._home)
        except AnimaError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit
        try:
            plan = self._load()
            return self._live(plan)
        except AnimaError as error:
            self._say.error(f"{error}")
            self._upward.say(f"STATUS={error}")
            return error.exit
        finally:
            os.close(lock)

    def _live(self, plan: Plan) -> Exit:
        with self._organs(plan):
            if not plan.journal:
                self._say.leave_journal()
            self._say.info(f"the house at {self._home.root} wakes (pid {os.getpid()})")
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
    def _organs(self, plan: Plan) -> Iterator[None]:
        """Everything the loop needs, given back in the opposite order."""
        self._watch = Watch()
        nofile = _raise_open_files()
        faulthandler.enable(file=2)  # systemd's watchdog ends a root that hangs by ABRT: the stack says where
        kernel.adopt_orphans()
        self._strangers = orphans.direct_children()
        self._groups = find_groups(os.environ)
        self._groups.prepare()
        spawner = Spawner(self._home, self._become, self._exec_argv, nofile, self._groups)
        house = House(self._home, self._watch, spawner, self._records, self._say, SYSTEM)
        self._family = Family(house, plan.policy)
        adopt(self._family, plan)
        requests = Requests(self._family, self._status, self._reload, self._go_down)
        pid_path = self._home.pid_file("supervisor")
        try:
            self._listener = Listener(self._home, self._watch, self._records, requests.answer, spawner.reserve, SYSTEM)
            pidfile.write_pid_file(pid_path)
            yield
            self._listener.close()
        finally:
            pidfile.remove_pid_file(pid_path, os.getpid())
            self._watch.close()

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
        if self._stray_check_at is not None and self._stray_check_at <= time.monotonic():
            self._kill_strays()
        self._listener.turn()
        self._speak_upward(now)

    def _next_wake(self) -> float | None:
        """The earliest moment anybody needs the loop; now, if there is more to do at once."""
        now = time.monotonic()
        moments = [self._family.next_wake(), self._listener.next_wake(), self._reload_at, self._stray_check_at]
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
        gap_s = max(busy_s, late_s)
        if gap_s > self._family.policy.pause_gap_s:
            self._family.forgive(gap_s)
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
        if self._reload_at is not None and self._reload_at <= now:
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
            self._strangers.discard(pid)
            self._killed.discard(pid)
            self._family.bury(pid, os.waitstatus_to_exitcode(status))
            self._stray_check_at = max(time.monotonic(), self._strays_checked_at + _STRAYS_GAP_S)

    def _kill_strays(self) -> None:
        """End those who hang on to us without being of the family: an orphan belongs to nobody."""
        self._stray_check_at = None
        self._strays_checked_at = time.monotonic()
        found = {}
        for pid in orphans.direct_children() - self._family.known_pids() - self._strangers:
            command = orphans.command_of(pid)
            if command is not None and pid not in self._killed:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # our own child, not yet reaped: the PID cannot mean anyone else
                    found[pid] = command
        self._killed |= found.keys()
        for pid, command in islice(found.items(), _STRAYS_TOLD_MAX):
            reason = f"'{command}' was left behind by a process of the house; killed"
            self._records.add("stray", name="", pid=pid, reason=reason)
            self._say.warning(f"pid {pid}: {reason}")
        if len(found) > _STRAYS_TOLD_MAX:
            self._say.warning(f"and {len(found) - _STRAYS_TOLD_MAX} more")

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
        left = orphans.direct_children() - self._strangers
        return not left or now > self._empty_at + _STRAYS_PATIENCE_S

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

    def _reload(self) -> Reply:
        """Live by the configuration as it is now. Raises ConfigError, and leaves everything as it was, if it is wrong."""
        self._reload_at = None
        self._reloaded_at = time.monotonic()
        self._upward.reloading()
        self._wrong, self._family.changed = "", True
        try:
            plan = self._load()
        except ConfigError as error:
            self._wrong = f"; the configuration is wrong, the old one stays in force: {error}"
            self._say.error(self._wrong.removeprefix("; "), "reload_refused")
            raise
        except Exception as error:
            text = f"reading the configuration failed, the old one stays in force:\n{traceback.format_exc()}"
            self._say.error(text, "reload_refused")
            raise ConfigError(f"reading the configuration failed ({error!r}); the supervisor's log has the details") from error
        finally:
            if self._born:
                self._upward.say("READY=1")
        if self._family.stopping:
            return {"ok": True, "added": [], "removed": [], "changed": []}
        changes = adopt(self._family, plan)
        text = f"reloaded: {len(changes.added)} added, {len(changes.removed)} removed, {len(changes.changed)} changed"
        self._say.info(text, "reloaded")
        self._records.add("reloaded", name="supervisor", **asdict(changes))
        return {"ok": True, **asdict(changes)}

    def _status(self) -> Reply:
        now = time.monotonic()
        return describe(
            self._family,
            now,
            {
                "pid": os.getpid(),
                "version": anima.__version__,
                "uptime_s": round(now - self._started, 3),
                "state": "stopping" if self._down else "running" if self._born else "starting",
                "cgroups": {
                    "base": str(self._groups.base or ""),
                    "controllers": self._groups.controllers,
                    "reason": self._groups.reason,
                },
            },
        )

    def _speak_upward(self, now: float) -> None:
        if self._upward.beat_s and now >= self._ping_at:
            self._ping_at = now + self._upward.beat_s
            if is_well(self._family.children.values(), self._family.policy, now):
                self._upward.say("WATCHDOG=1")
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


def _journal() -> Journal | None:
    """Systemd's journal, if that reads our stderr. Else its variable is taken away: our children trust it."""
    if journald.is_ours(os.environ):
        return Journal()
    os.environ.pop(journald.STREAM, None)
    return None


def _open_standard_fds() -> None:
    """Fill descriptors 0 to 2 if the caller closed them: a socket of ours must never become somebody's stderr."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:  # noqa: PLR2004 - the first that is no standard one
            os.close(fd)
            break
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the process lives


def _raise_open_files() -> int:
    """Allow this process as many open files as it may have; what the soft limit was before, for the children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS caps it below the hard limit; then the old one stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
