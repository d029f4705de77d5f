"""Moving a living house to other code: look whether it can be, let the root go on in it, then everybody else one by one.

What is decided is in `rolling.py`, what is handed on in `reexec.py`. Each step is a lifecycle record `upgrade`, so that
whoever asked for it can watch; the last one has `over` set.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import anima
from anima.errors import ConfigError, Refused
from anima.supervisor.child import Child
from anima.supervisor.control import Request
from anima.supervisor.family import Family, House
from anima.supervisor.lifecycle import Event, State
from anima.supervisor.listener import Later, Reply, refusal
from anima.supervisor.preflight import Preflight, Report
from anima.supervisor.reexec import Course, Launch
from anima.supervisor.reexec import State as Handed
from anima.supervisor.reload import adopt
from anima.supervisor.rolling import Lost, Over, Roll, Rolling, Wait, next_move
from anima.supervisor.spec import Plan
from anima.supervisor.upward import is_service

_HALF = "who has not begun anew goes on in the old code; mend it or put the old version back, then `animactl upgrade` again"


@dataclass(frozen=True)
class Means:
    """What the root lends to it."""

    launch: Launch  #: how the code in force was started
    snapshot: Callable[[], Handed]  #: all that is handed on, as it is now
    load: Callable[[], Plan]
    modules: tuple[str, ...]  #: imported before anybody begins anew, one a turn


class Upgrade:
    """The one that may be under way. `leaving` is what the root shall become at the end of its turn."""

    def __init__(self, house: House, family: Family, means: Means, course: Course | None, newest: int) -> None:
        self._house = house
        self._family = family
        self._means = means
        self.course = course
        self.newest = newest  #: number of the newest generation of code
        self.leaving: Launch | None = None
        self.pid = 0  #: of the process that tries other code, until it is reaped
        self._here = family.generation  # of the code that runs this
        self._ahead = list(means.modules) if course else []
        self._planned = course is None
        self._preflight: Preflight | None = None
        self._found: Report | None = None
        self._target = means.launch
        self._check = False
        if course:
            how = "is back" if course.returning else "goes on"
            self._tell(
                f"the supervisor {how} in version {anima.__version__}, with {len(family.children)} processes as they were"
            )

    # -- what the root calls ----------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> Reply | Later:
        """Look whether it can be done, and begin; the answer comes when that is known."""
        if self._family.stopping:
            return refusal(Refused("the house is going down; nothing was touched"))
        if self._preflight or self.course:
            return refusal(Refused("an upgrade is already under way; `animactl status` shows how far it is"))
        try:
            self._target = self._means.launch.elsewhere(request.to) if request.to else self._means.launch
            self._try(self._target)
        except Refused as error:
            return refusal(error)
        except OSError as error:
            return refusal(
                Refused(f"the new code cannot be tried: {error.strerror} ({self._target.argv[0]}); nothing was touched")
            )
        self._check, self._found = request.check, None
        return self._answer

    @property
    def standing(self) -> str:
        """How far it is, for people; "" if there is none."""
        if self.course is None:
            return "the new code is being tried" if self._preflight else ""
        way = f"going back to version {self.course.old}" if self.course.returning else f"upgrading to version {self.course.new}"
        return f"{way}; {self.course.rolling} begins anew" if self.course.rolling else way

    def bury(self, pid: int, code: int) -> None:
        """A process was reaped."""
        if pid == self.pid:
            self.pid = 0
        if self._preflight:
            self._preflight.bury(pid, code)

    def next_wake(self) -> float | None:
        """When the loop must come back for it (monotonic)."""
        if self._preflight:
            return self._preflight.deadline
        return 0.0 if self.course and not self._planned else None

    def turn(self) -> None:
        """One step, if it is time for one."""
        if self._preflight:
            if report := self._preflight.report():
                self._preflight.close()
                self._preflight = None
                self._judge(report)
        elif self.course and not self.leaving:
            self._advance(self.course)

    def stop(self) -> None:
        """The house goes down: whatever was meant, it is over."""
        if self._preflight:
            self._preflight.close()
            self._judge(Report("the house is going down"))
            self._preflight = None
        elif self.course:
            self._end("the house is going down")
        self.leaving = None

    def failed(self, error: OSError) -> None:
        """The kernel did not start the other code: everything is as it was."""
        python = self.leaving.argv[0] if self.leaving else ""
        self.leaving, self._family.generation = None, self._here
        if self.course and self.course.returning:
            self._judge_return(self.course, Report(f"{python} cannot be started: {error.strerror}"))
        else:
            self._end(f"{python} cannot be started: {error.strerror}; everything goes on as it was")

    # -- the preflight ----------------------------------------------------------------------------------------------------

    def _try(self, launch: Launch) -> None:
        self._preflight = Preflight(self._house.watch, launch, self._means.snapshot())
        self.pid = self._preflight.pid

    def _answer(self) -> Reply | None:
        found, self._found = self._found, None
        if found is None:
            return None
        if found.error:
            return refusal(Refused(f"{found.error}; nothing was touched"))
        return {
            "ok": True,
            "version": found.version,
            "old": anima.__version__,
            "where": found.where,
            "notes": list(found.notes),
            "since": self._house.records.head,
        }

    def _judge(self, report: Report) -> None:
        """Go where the preflight went before, if it came back."""
        if report.error:  # it may be a line of a traceback
            report = replace(report, error=self._family.redact(report.error))
        if self.course:
            self._judge_return(self.course, report)
            return
        self._found = report
        if report.error:
            self._house.say.warning(f"the upgrade is refused: {report.error}; nothing was touched")
            return
        if self._check:
            return
        other = self._target.argv[0] != self._means.launch.argv[0]
        self._house.say.info(f"upgrading from version {anima.__version__} to {report.version} ({report.where})")
        self.course = Course(
            began=time.monotonic(),
            old=anima.__version__,
            new=report.version,
            back=self._means.launch if other else None,
            generation_before=self._family.generation,
            parked=tuple(child.name for child in self._family.children.values() if child.state is State.FAILED),
        )
        self.newest = self._family.generation = self.newest + 1
        self.leaving = self._target

    def _judge_return(self, course: Course, report: Report) -> None:
        if report.error:
            self._end(f"{course.returning}; there is no way back: {report.error}; {_HALF}")
            return
        self._family.generation = course.generation_before
        self.leaving = course.back

    # -- one by one -------------------------------------------------------------------------------------------------------

    def _advance(self, course: Course) -> None:
        if self._ahead:
            self._house.spawner.warm(self._ahead.pop(0))
            return
        if not self._planned:
            self._planned = True
            try:
                adopt(self._family, self._means.load(), renew=False)
            except ConfigError as error:
                self._lose(course, f"the configuration is wrong for version {course.new}: {error}")
                return
        children = self._family.children
        rolled = children.get(course.rolling)
        if rolled and rolled.state is State.UP and rolled.generation == self._family.generation:
            course = self.course = replace(course, rolling="")
        if course.returning and (again := next((each for each in children.values() if self._is_rid(course, each)), None)):
            self.course = replace(course, rolling=again.name, since=again.incarnation)
            self._family.tell(again, Event.RESET)
            return
        match next_move(children.values(), self._family.generation, Rolling(course.rolling, course.since, course.parked)):
            case Roll(name):
                self.course = replace(course, rolling=name, since=children[name].incarnation)
                self._family.tell(children[name], Event.RESTART)
            case Lost(name, reason):
                self._lose(course, f"{name} is not up in version {anima.__version__}: {reason}")
            case Over(left):
                self._finish(course, left)
            case Wait():
                return
            case other:
                assert_never(other)

    def _is_rid(self, course: Course, child: Child) -> bool:
        """Whether what keeps it from living was the code that is left again."""
        stuck = child.state in (State.FAILED, State.WAITING) and child.name not in course.parked
        return stuck and child.generation != self._family.generation

    def _lose(self, course: Course, reason: str) -> None:
        """Turn back, if there is a way; the preflight of the old code says so."""
        if course.returning:
            self._end(f"{course.returning}; and on the way back {reason}")
            return
        if course.back is None:
            self._end(f"{reason}; {_HALF}")
            return
        self.course = replace(course, returning=reason, rolling="")
        self._tell(f"{reason}; going back to version {course.old}")
        try:
            self._try(course.back)
        except OSError as error:
            self._judge_return(self.course, Report(f"{course.back.argv[0]} cannot be started: {error.strerror}"))

    def _finish(self, course: Course, left: tuple[str, ...]) -> None:
        if course.returning:
            lost = (State.WAITING, State.FAILED)
            away = [name for name, each in self._family.children.items() if each.state in lost and name not in course.parked]
            who = f"all but {', '.join(away)}" if away else "everybody"
            self._end(f"{course.returning}; {who} is back in version {course.old}")
            return
        still = f"; in the old code until they are restarted, because they are paused: {', '.join(left)}" if left else ""
        if course.back and is_service(os.environ):
            still += "; the service still names the environment before: run `animactl install` of the new one"
        self._tell(
            f"upgraded from version {course.old} to {course.new} in {time.monotonic() - course.began:.1f} s{still}", over="done"
        )
        self.course = None

    def _end(self, reason: str) -> None:
        """It did not come to what was meant."""
        self.course = None
        self._tell(reason, over="failed")

    def _tell(self, reason: str, over: str = "") -> None:
        tone = self._house.say.warning if over == "failed" else self._house.say.info
        tone(reason)
        self._house.records.add("upgrade", name="supervisor", reason=reason, over=over)
