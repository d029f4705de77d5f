"""exec, python and safe_shell: a command runs to its end within one call."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

from anima.limits import KIB, tool_wall_max_s
from anima.tools.context import Context
from anima.tools.files.places import place
from anima.tools.schema import Within
from anima.tools.shell.process import TERM_GRACE_S, Plan, report, run_process
from anima.tools.shell.pump import Keeper
from anima.tools.shell.safe import PATH, parse, safe
from anima.tools.tool import Result, ToolError, tool

OUTPUT_BYTES = 64 * KIB
STREAM_BYTES = 30 * KIB  #: of each output, so that both fit
_MARGIN_S = TERM_GRACE_S + 1.0  #: so long before the jail ends the call, the command is told to end


def keepers(ctx: Context) -> tuple[Keeper, Keeper]:
    """Where the two outputs of a command go."""
    limit = max(KIB, min(STREAM_BYTES, ctx.output_bytes * 45 // 100))
    name = Path(ctx.call).name or "command"
    files = [ctx.spill / f"{name}.{kind}.txt" if ctx.spill else None for kind in ("stdout", "stderr")]
    live = (1, 2) if ctx.live else (None, None)
    return Keeper(limit, files[0], live[0]), Keeper(limit, files[1], live[1])


def time_limit(ctx: Context, wanted_s: float) -> float:
    """Seconds a command may take: what was asked for, but less than what the call has."""
    most = max(0.5, ctx.wall_s - _MARGIN_S)
    return min(wanted_s, most) if wanted_s > 0 else most


def shell_program() -> str:
    """The shell that runs lines: bash, because that is what models write; else sh."""
    return shutil.which("bash") or "/bin/sh"


def _run(ctx: Context, plan: Plan) -> Result:
    out, err = keepers(ctx)
    return report(run_process(plan, out, err), plan.limit_s)


Seconds = Annotated[float, Within(min=0, max=tool_wall_max_s)]


@tool(
    risk="dangerous",
    effect="unsafe",
    wall_s=tool_wall_max_s,
    output_bytes=OUTPUT_BYTES,
    keywords=("run", "execute", "command", "shell", "bash", "install", "build", "test", "git"),
)
def exec(  # noqa: A001 - the name a model knows
    ctx: Context,
    command: str = "",
    argv: list[str] = [],  # noqa: B006 - never changed
    cwd: str = ".",
    stdin: str = "",
    timeout_s: Seconds = 120,
) -> Result:
    """Run a command to its end and get its exit code, stdout and stderr. Give either a shell line or a list of words.

    Args:
        command: a line for the shell, with pipes and all
        argv: the program and its arguments, each to the letter; no shell sees them
        cwd: the directory to run in; left out, the workspace
        stdin: what the command reads from its input; left out, nothing
        timeout_s: seconds after which it is stopped; its output so far is kept
    """
    if bool(command.strip()) == bool(argv):
        raise ToolError("give either 'command' (a shell line) or 'argv' (a list of words)")
    words = list(argv) or [shell_program(), "-c", command]
    return _run(ctx, Plan(words, place(ctx, cwd), time_limit(ctx, timeout_s), stdin.encode()))


@tool(
    risk="dangerous",
    effect="unsafe",
    wall_s=tool_wall_max_s,
    output_bytes=OUTPUT_BYTES,
    keywords=("python", "calculate", "compute", "script", "code", "run", "math"),
)
def python(ctx: Context, code: str, timeout_s: Seconds = 120) -> Result:
    """Run a Python program in a fresh interpreter and get what it prints. Modules of the workspace can be imported.

    Args:
        code: the program; print what you want to see
        timeout_s: seconds after which it is stopped; its output so far is kept
    """
    return _run(ctx, Plan([sys.executable, "-u", "-"], ctx.workdir, time_limit(ctx, timeout_s), (code + "\n").encode()))


@tool(
    risk="safe",
    effect="pure",
    wall_s=60,
    output_bytes=OUTPUT_BYTES,
    keywords=("look", "inspect", "list", "show", "ls", "cat", "find", "grep", "wc", "head", "tail", "date"),
)
def safe_shell(ctx: Context, command: str, cwd: str = ".") -> Result:
    """Run one command that can only look (ls, cat, head, tail, wc, find, grep, diff, stat, du, date, ...), without a shell.

    Args:
        command: the command with its arguments; quotes are understood; no pipes, redirection, variables or patterns
        cwd: the directory to run in; left out, the workspace
    """
    if reason := safe(command):
        raise ToolError(f"not run: {reason}")
    words = parse(command)
    program = shutil.which(words[0], path=PATH)
    if program is None:
        raise ToolError(f"'{words[0]}' is not installed here")
    environ = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(ctx.workdir)}
    return _run(ctx, Plan([program, *words[1:]], place(ctx, cwd), time_limit(ctx, 0), environ=environ))
