"""ask_person and sleep_until: declared here for the model, done by the runtime, because only the journal can wait for days.

What the runtime needs is checked here: `run.plan` answers with `data` that says what to wait for, and nothing waits itself. A
jailed child that is given such a call refuses it: it would seem to be done.

    ask_person    -> data {question, choices}     a question stored as a fact; what a person answers is the tool's response
    sleep_until   -> data {due}                   seconds since 1970, UTC; a timer whose firing is the tool's response
"""

import datetime as dt
import re
import time

from anima.tools.context import Context
from anima.tools.own.mind import time_zone
from anima.tools.tool import How, Result, ToolError, tool

_SLEEP_S_MAX = 366 * 86_400
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"(?:in\s+)?(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_RUNTIME = How(place="runtime")


@tool(
    risk="safe",
    effect="idempotent",
    wall_s=5,
    keywords=("ask", "person", "question", "human", "confirm", "clarify"),
    how=_RUNTIME,
)
def ask_person(question: str, choices: list[str] = []) -> Result:  # noqa: B006 - never changed
    """Ask the person you work for, and wait for the answer, however long it takes.

    Args:
        question: what you need to know, complete in itself
        choices: answers to choose from, if there are a few
    """
    if not question.strip():
        raise ToolError("there is no question")
    return Result(ok=True, text=question, data={"question": question, "choices": choices})


@tool(
    risk="safe",
    effect="idempotent",
    wall_s=5,
    keywords=("wait", "sleep", "later", "until", "remind", "timer", "alarm"),
    how=_RUNTIME,
)
def sleep_until(ctx: Context, when: str) -> Result:
    """Do nothing until a point in time; then go on where you are.

    Args:
        when: a span (90s, 10m, 2h, 1d), a time of day (07:30), or a date and time (2031-05-04 07:30, with or without an offset)
    """
    due = moment(when, time.time(), ctx.zone)
    return Result(ok=True, text=f"until {dt.datetime.fromtimestamp(due, dt.UTC).isoformat()}", data={"due": due})


def moment(when: str, at: float, zone: str) -> float:
    """The point in time, in seconds since 1970, that `when` means at the time `at`. Raises ToolError if it is none, or past."""
    text = when.strip().lower()
    if span := _SPAN.fullmatch(text):
        due = at + float(span[1]) * _UNITS_S[span[2]]
    elif re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        due = _next_time_of_day(text, at, zone)
    else:
        try:
            given = dt.datetime.fromisoformat(when.strip())
        except ValueError as error:
            raise ToolError(f"'{when[:60]}' is no point in time; write 10m, 07:30 or 2031-05-04 07:30") from error
        due = (given if given.tzinfo else _in_zone(given, zone)).timestamp()
    if due <= at:
        raise ToolError(f"'{when[:60]}' is past")
    if due - at > _SLEEP_S_MAX:
        raise ToolError(f"'{when[:60]}' is more than a year away")
    return due


def _next_time_of_day(text: str, at: float, zone: str) -> float:
    hours, minutes, seconds = (int(each) for each in f"{text}:0".split(":")[:3])
    try:
        wanted = dt.time(hours, minutes, seconds)
    except ValueError as error:
        raise ToolError(f"'{text}' is no time of day") from error
    where = time_zone(zone)
    today = dt.datetime.fromtimestamp(at, where).date() if where else dt.datetime.fromtimestamp(at).date()  # noqa: DTZ006
    for day in (today, today + dt.timedelta(days=1)):
        due = _in_zone(dt.datetime.combine(day, wanted), zone).timestamp()
        if due > at:
            return due
    raise AssertionError("a time of day comes within two days")


def _in_zone(naive: dt.datetime, zone: str) -> dt.datetime:
    where = time_zone(zone)
    return naive.replace(tzinfo=where) if where else naive.astimezone()
