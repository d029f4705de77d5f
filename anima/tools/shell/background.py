"""background_start, _list, _read, _write, _stop: commands that go on while the agent does something else."""

import time
from typing import Annotated, Any

from anima.limits import KIB, tool_jobs_max
from anima.tools.context import Context
from anima.tools.files.disk import explain
from anima.tools.files.places import place
from anima.tools.schema import Within
from anima.tools.shell.job import Job
from anima.tools.shell.run import shell_program
from anima.tools.shell.session import kept_of
from anima.tools.text import plain
from anima.tools.tool import How, Result, ToolError, tool

_PAGE_BYTES = 32 * KIB
_TAIL_BYTES = 2 * KIB
_STAYS = How(place="host")


@tool(
    risk="dangerous",
    effect="unsafe",
    wall_s=30,
    keywords=("background", "start", "server", "watch", "long", "daemon", "job"),
    how=_STAYS,
)
def background_start(ctx: Context, command: str, cwd: str = ".") -> Result:
    """Start a command that goes on after this call, as a server or a long build. It ends with the session at the latest.

    Args:
        command: a line for the shell
        cwd: the directory to run in; left out, the workspace
    """
    kept = kept_of(ctx)
    if not command.strip():
        raise ToolError("there is no command")
    with kept.lock:
        running = [job.name for job in kept.jobs.values() if job.state == "running"]
        if len(running) >= tool_jobs_max:
            raise ToolError(f"{tool_jobs_max} background commands run already; stop one first ({', '.join(running)})")
        name = f"job{next(kept.numbers)}"
        try:
            kept.jobs[name] = Job(name, command, [shell_program(), "-c", command], place(ctx, cwd))
        except OSError as error:
            raise ToolError(explain(error)) from error
        for old in [job.name for job in kept.jobs.values() if job.state != "running"][: -2 * tool_jobs_max]:
            del kept.jobs[old]
    return Result(ok=True, text=f"{name} is running; background_read shows its output", data={"job": name})


@tool(risk="safe", effect="pure", wall_s=10, keywords=("background", "jobs", "running", "list", "processes"), how=_STAYS)
def background_list(ctx: Context) -> Result:
    """List the background commands of this session, with their state and how much they have written."""
    kept = kept_of(ctx)
    with kept.lock:
        jobs = [_about(job) for job in kept.jobs.values()]
    lines = [f"{job['job']}: {job['state']}, {job['age_s']} s old, {job['bytes']:,} bytes: {job['command']}" for job in jobs]
    return Result(ok=True, text="\n".join(lines) or "[no background commands]", data={"jobs": jobs})


def _about(job: Job) -> dict[str, Any]:
    tail, _, _ = job.read(max(0, job.total - _TAIL_BYTES), _TAIL_BYTES, 0)
    return {
        "job": job.name,
        "state": job.state,
        "command": job.line,
        "age_s": int(time.time() - job.started_at),
        "bytes": job.total,
        "pid": job.pid,
        "tail": plain(tail),
    }


@tool(risk="safe", effect="pure", wall_s=60, keywords=("background", "output", "read", "log", "job"), how=_STAYS)
def background_read(
    ctx: Context, job: str, since: Annotated[int, Within(min=0)] = 0, wait_s: Annotated[float, Within(min=0, max=50)] = 0
) -> Result:
    """Read what a background command has printed.

    Args:
        job: its name, as background_start gave it
        since: begin at this byte of its output; the answer says where to go on
        wait_s: wait up to so many seconds for something new
    """
    found = _job(ctx, job)
    piece, begin, end = found.read(since, _PAGE_BYTES, wait_s)
    if (state := found.state) != "running":
        piece, begin, end = found.read(since, _PAGE_BYTES, 0)  # it may have ended in between, with last words
    notes = [f"[{state}; go on with since={end}]"]
    if begin > since:
        notes.insert(0, f"[the first {begin:,} bytes are gone; the newest are kept]")
    text = plain(piece).rstrip("\n") or "[nothing new]"
    data = {"state": state, "next": end, "more": end < found.total}
    return Result(ok=True, text="\n".join([text, *notes]), data=data)


@tool(risk="dangerous", effect="unsafe", wall_s=15, keywords=("background", "input", "write", "answer", "job"), how=_STAYS)
def background_write(ctx: Context, job: str, text: str = "", end: bool = False) -> str:
    """Give input to a background command, as if typed.

    Args:
        job: its name
        text: what to write; give a newline yourself if one is meant
        end: close its input afterwards
    """
    found = _job(ctx, job)
    try:
        found.write(text.encode(), end=end)
    except BrokenPipeError as error:
        raise ToolError(f"{job} takes no input any more ({found.state})") from error
    except TimeoutError as error:
        raise ToolError(f"{job} does not read its input; only a part of the text was taken") from error
    return f"gave {job} {len(text.encode()):,} bytes" + (" and closed its input" if end else "")


@tool(risk="risky", effect="idempotent", wall_s=30, keywords=("background", "stop", "kill", "end", "job"), how=_STAYS)
def background_stop(ctx: Context, job: str) -> Result:
    """Stop a background command and everything it started.

    Args:
        job: its name
    """
    found = _job(ctx, job)
    was = found.state
    state = found.stop()
    text = f"{job} had ended already ({was})" if was != "running" else f"{job} was stopped ({state})"
    return Result(ok=True, text=text, data=_about(found))


def _job(ctx: Context, name: str) -> Job:
    kept = kept_of(ctx)
    with kept.lock:
        found = kept.jobs.get(name)
        names = ", ".join(kept.jobs) or "none"
    if found is None:
        raise ToolError(f"there is no background command '{name}'; there are: {names} (they end with their session's child)")
    return found
