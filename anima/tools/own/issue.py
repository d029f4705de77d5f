"""report_issue: an agent says what is wrong with itself or its house, where a person will find it."""

import re
import shutil
import subprocess
from typing import Annotated

from anima.tools.context import Context
from anima.tools.files.disk import replace
from anima.tools.files.places import shown
from anima.tools.schema import Within
from anima.tools.tool import How, Result, ToolError, tool

_GH_TIMEOUT_S = 40


@tool(
    risk="risky",
    effect="unsafe",
    wall_s=60,
    keywords=("issue", "bug", "improve", "report", "feedback", "problem", "wish"),
    how=How(network=True),
)
def report_issue(
    ctx: Context, title: Annotated[str, Within(min=3, max=200)], description: Annotated[str, Within(min=10, max=20_000)]
) -> Result:
    """Write down something about yourself or your tools that a person should improve: a bug, a missing ability, a wrong answer.

    Args:
        title: in one line
        description: what happened, what should have happened, and how to see it again
    """
    line = " ".join(title.split())
    if ctx.issues:
        return _on_github(ctx, line, description)
    slug = re.sub(r"[^a-z0-9]+", "-", line.lower()).strip("-")[:60] or "issue"
    path = ctx.workdir / "issues" / f"{slug}-{re.sub(r'[^a-zA-Z0-9]', '', ctx.call)[-12:] or 'note'}.md"
    replace(path, f"# {line}\n\n{description.rstrip()}\n\nReported by {ctx.agent or 'an agent'}.\n".encode(), ctx.call)
    return Result(ok=True, text=f"written to {shown(ctx, path)}", data={"path": str(path)})


def _on_github(ctx: Context, title: str, description: str) -> Result:
    gh = shutil.which("gh")
    if gh is None:
        raise ToolError(f"issues go to {ctx.issues} on GitHub, but the program 'gh' is not installed here; tell the person")
    body = f"{description.rstrip()}\n\n(reported by {ctx.agent or 'an agent'}, call {ctx.call})\n"
    argv = [gh, "issue", "create", "--repo", ctx.issues, "--title", title, "--body-file", "-"]
    try:
        done = subprocess.run(argv, input=body.encode(), capture_output=True, timeout=_GH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"gh did not answer within {_GH_TIMEOUT_S} s; whether the issue exists is not known") from error
    if done.returncode:
        raise ToolError(f"gh refused: {done.stderr.decode('utf-8', 'replace').strip()[:500]}")
    url = done.stdout.decode("utf-8", "replace").strip()
    return Result(ok=True, text=f"reported: {url}", data={"url": url})
