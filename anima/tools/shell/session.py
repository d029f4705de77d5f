"""shell_session: commands in a shell that stays, with its directory and variables, as long as its jailed child lives."""

from dataclasses import replace

from anima.limits import tool_shells_max
from anima.tools.context import Context
from anima.tools.shell.kept import Kept
from anima.tools.shell.process import report
from anima.tools.shell.run import OUTPUT_BYTES, Seconds, keepers, shell_program, time_limit
from anima.tools.shell.sh import Shell
from anima.tools.tool import How, Result, ToolError, tool


def kept_of(ctx: Context) -> Kept:
    """What lives on between calls. Raises ToolError where nothing does."""
    if not isinstance(ctx.kept, Kept):
        raise ToolError("this tool needs a child that stays between calls, and this call was given none; use exec")
    return ctx.kept


@tool(
    risk="dangerous",
    effect="unsafe",
    wall_s=600,
    output_bytes=OUTPUT_BYTES,
    keywords=("shell", "session", "bash", "terminal", "cd", "environment", "run", "command"),
    how=How(place="host"),
)
def shell_session(
    ctx: Context, command: str = "", session: str = "main", timeout_s: Seconds = 120, restart: bool = False
) -> Result:
    """Run a line in a shell that stays: cd, variables, functions and activated environments last until it is restarted.

    Args:
        command: a line for the shell; may be left out with restart
        session: which shell, if you need several at a time
        timeout_s: seconds after which the command is interrupted; the shell stays
        restart: begin with a new shell first
    """
    kept = kept_of(ctx)
    if not command.strip() and not restart:
        raise ToolError("there is no command")
    shell, fresh = _shell(kept, ctx, session, restart=restart)
    if not command.strip():
        return Result(ok=True, text=f"a new shell runs in {shell.folder}", data={"cwd": shell.folder})
    out, err = keepers(ctx)
    limit_s = time_limit(ctx, timeout_s)
    with kept.lock:
        kept.interrupts[ctx.call] = shell.interrupt
    try:
        ended = shell.run(command, limit_s, out, err)
    finally:
        with kept.lock:
            kept.interrupts.pop(ctx.call, None)
    gone = not shell.alive
    if gone:
        with kept.lock:
            kept.shells.pop(session, None)
        shell.close()
    told = report(replace(ended, reason="") if ended.reason == "gone" else ended, limit_s)
    notes = ["[a new shell]"] if fresh else []
    notes.append("[the shell ended; the next command begins a new one]" if gone else f"[in {shell.folder}]")
    data = {**told.data, "cwd": shell.folder, "fresh": fresh, "gone": gone}
    return Result(told.ok, "\n".join([told.text, *notes]), data)


def _shell(kept: Kept, ctx: Context, name: str, *, restart: bool) -> tuple[Shell, bool]:
    with kept.lock:
        found = kept.shells.get(name)
        if found is not None and (restart or not found.alive):
            del kept.shells[name]
            found.close()
            found = None
        if found is not None:
            return found, False
        if len(kept.shells) >= tool_shells_max:
            raise ToolError(f"there are {tool_shells_max} shells already ({', '.join(kept.shells)}); use one of them")
        kept.shells[name] = Shell(shell_program(), ctx.workdir)
        return kept.shells[name], True
