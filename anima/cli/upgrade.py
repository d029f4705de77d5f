"""`upgrade`: a running house goes on in other code, and nobody who talks to it notices."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from anima.cli import root
from anima.cli.terminal import clean, colour, is_terminal, note
from anima.errors import BadMessage, Refused, Unavailable
from anima.paths import Home

_PREFLIGHT_S = 90.0  #: longer than the supervisor itself waits for one


def upgrade(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Only look whether it can be done.")] = False,
    to: Annotated[
        Path | None, typer.Option("--to", help="The virtual environment to go to; without it the same one.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Let the running house go on in the code that is installed now.

    First the new code is tried in a process of its own; what is in its way is said, and nothing is touched. Then the
    supervisor goes on in it as the same process, and all others begin anew one by one, each when the one before is up.
    An agent finishes its turn first, or pauses it.

    Example: animactl upgrade --check
    """
    home: Home = context.obj
    steps: list[str] = []
    found: dict[str, Any] = {}
    try:
        found = _begin(home, check=check, to=str(to.absolute()) if to else "")
        if not as_json:
            _show_found(found, check=check)
        if not check:
            _follow(home, found["since"], steps, as_json=as_json)
    except (Refused, Unavailable) as error:
        if not as_json:
            raise
        print(json.dumps(_told(found, steps, check=check, error=str(error))))
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(_told(found, steps, check=check, error="")))


def _begin(home: Home, *, check: bool, to: str) -> dict[str, Any]:
    """What the preflight found. Raises Refused with what is in the way, Unavailable if the house does not run."""
    if is_terminal(sys.stderr):
        note("trying the new code in a process of its own ...")
    try:
        return root.request(home, "upgrade", timeout_s=_PREFLIGHT_S, check=check, to=to)
    except BadMessage:
        raise Refused(
            "the running house is of a version that cannot do this yet; `animactl down && animactl up --detach` is the way"
        ) from None


def _show_found(found: dict[str, Any], *, check: bool) -> None:
    same = found["version"] == found["old"]
    versions = f"version {found['version']}" if same else f"version {found['version']}, now {found['old']}"
    print(f"{colour('nothing is in the way', 'green')}: {clean(found['where'])} ({versions})")
    for sentence in found["notes"]:
        print(clean(sentence))
    if check:
        print("nothing was touched; `animactl upgrade` does it")


def _follow(home: Home, since: int, steps: list[str], *, as_json: bool) -> None:
    """Show each step until the end. Raises Refused if it did not come to what was meant, Unavailable if the house is gone."""
    for record in _records(home, since):
        if record["what"] == "ready":
            steps.append(f"{record['name']} is up (pid {record['pid']})")
        elif record["what"] == "upgrade":
            if record["over"] == "failed":
                raise Refused(record["reason"])
            steps.append(record["reason"])
        else:
            continue
        if not as_json:
            print(clean(steps[-1]), flush=True)
        if record.get("over"):
            return
    raise Unavailable(
        "the supervisor is gone; `animactl status` tells whether the house is up again, `animactl logs supervisor` says why"
    )


def _records(home: Home, since: int) -> Iterator[dict[str, Any]]:
    from anima.supervisor.control import watch

    return watch(home, since)


def _told(found: dict[str, Any], steps: list[str], *, check: bool, error: str) -> dict[str, Any]:
    keys = ("version", "old", "where", "notes")
    return {"ok": not error, "check": check, **{key: found.get(key) for key in keys}, "steps": steps, "error": error}
