"""think, now and notes: what an agent needs to keep its own head clear. None of them touches anything."""

import datetime as dt
import time
import zoneinfo

from anima.limits import KIB
from anima.tools.context import Context
from anima.tools.tool import Result, ToolError, tool

NOTES_CHARS_MAX = 16_000
_THOUGHT_CHARS_MAX = 32_000


@tool(risk="safe", effect="pure", wall_s=5, keywords=("think", "plan", "reason", "consider"))
def think(thought: str) -> str:
    """Write a thought down before acting. It changes nothing; it is there to plan, to weigh, to check a result.

    Args:
        thought: in any form
    """
    if len(thought) > _THOUGHT_CHARS_MAX:
        raise ToolError(f"a thought of {len(thought)} characters; think in pieces of up to {_THOUGHT_CHARS_MAX}")
    return "noted"


@tool(risk="safe", effect="pure", wall_s=5, keywords=("time", "date", "now", "today", "clock", "day", "hour", "weekday"))
def now(ctx: Context, zone: str = "") -> Result:
    """Tell the time and date, as exactly as the machine knows them.

    Args:
        zone: a time zone as Area/City, or UTC; left out, your own
    """
    where = time_zone(zone or ctx.zone)
    at = dt.datetime.now(where) if where else dt.datetime.now().astimezone()
    named = zone or ctx.zone or at.tzname() or "the machine's zone"
    data = {"iso": at.isoformat(timespec="seconds"), "unix": round(time.time(), 3), "zone": named}
    return Result(ok=True, text=f"{at:%A}, {at.isoformat(sep=' ', timespec='seconds')} ({named})", data=data)


def time_zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The zone of a name, None for "". Raises ToolError if there is none such."""
    if not name:
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError(f"there is no time zone '{name[:60]}'; zones are written as Europe/Berlin or UTC") from error


@tool(
    risk="safe",
    effect="pure",
    wall_s=5,
    output_bytes=64 * KIB,
    keywords=("notes", "remember", "scratchpad", "todo", "plan", "list"),
)
def notes(ctx: Context, content: str | None = None, append: bool = False) -> Result:
    """Read or write the scratchpad of this conversation, which you see again in every later step.

    Args:
        content: the new notes; left out, the present ones are shown
        append: put content behind what is there instead of in its place
    """
    if ctx.notes is None:
        raise ToolError("nobody keeps notes here; write a file instead")
    if content is None:
        return Result(ok=True, text=ctx.notes or "[no notes yet]", data={"notes": ctx.notes})
    whole = f"{ctx.notes.rstrip()}\n{content}".lstrip("\n") if append else content
    if len(whole) > NOTES_CHARS_MAX:
        raise ToolError(f"the notes would have {len(whole)} characters; they hold {NOTES_CHARS_MAX}. Shorten them")
    return Result(ok=True, text=f"the notes have {len(whole)} characters now", data={"notes": whole})
