"""`doctor`: whether this machine and this home carry a house, and what to do where they do not."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.terminal import clean, colour
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.cli.checks import Finding

_ANSWER_S = 5.0
_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


def doctor(
    context: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Also verify the checksum of every event in the journal.")] = False,
) -> None:
    """Look for what could keep the house from working.

    Works also while the house is down. Exits 1 if something must be put right.

    Example: animactl doctor --deep
    """
    from anima.cli.checks import BAD, OK, Finding, checks

    home: Home = context.obj
    up = root.is_up(home)
    findings = [Finding(OK, "house", "is running" if up else "is not running (`animactl up --detach` starts it)")]
    for check in checks():
        findings += check(home)
    findings += _cgroups(home, up)
    findings += _jail(home, up)
    if deep:
        findings.append(_journal(home, up))
    for finding in findings:
        print(
            f"{colour(f'{finding.verdict:<4}', _COLOURS[finding.verdict])}  {finding.topic}: {clean(finding.text)}", flush=True
        )
    bad = sum(finding.verdict == BAD for finding in findings)
    if bad:
        raise Refused(f"{bad} thing{'s' if bad > 1 else ''} above must be put right")


def _cgroups(home: Home, up: bool) -> "list[Finding]":
    """Whether each process has a cgroup of its own, and what is counted in it: only the root knows."""
    from anima.cli.checks import OK, WARN, Finding

    if not up:
        return []
    told = root.request(home, "status")["supervisor"].get("cgroups", {})
    if not told.get("base"):
        return [Finding(OK, "cgroups", f"none: {told.get('reason')}; no process is bounded by the kernel but those in jails")]
    kept = ", ".join(told["controllers"]) or "nothing is counted (no controllers here), all of one process end together"
    return [
        Finding(WARN if told["reason"] else OK, "cgroups", "; ".join(filter(None, (f"{told['base']}: {kept}", told["reason"]))))
    ]


def _jail(home: Home, up: bool) -> "list[Finding]":
    """What this machine gives the jail of the tools, layer by layer: only the running sandbox can try that."""
    import asyncio

    from anima.bus.client import connect
    from anima.cli.checks import OK, WARN, Finding
    from anima.errors import AnimaError

    async def told() -> dict[str, Any]:
        async with connect(home) as bus:
            answer: dict[str, Any] = await bus.ask("sandbox", "jail", _ANSWER_S)
            return answer

    if not up:
        return [Finding(OK, "jail", "what this machine gives it is told while the house runs")]
    try:
        found = asyncio.run(told())
    except AnimaError as error:
        return [Finding(WARN, "jail", f"the sandbox does not say what it has: {error}")]
    there = ", ".join(each["name"] for each in found["layers"] if each["there"]) or "nothing"
    return [
        Finding(OK, "jail", f"{there} (built {found.get('builder') or 'native'})"),
        *(Finding(WARN, "jail", _missing(each)) for each in found["layers"] if not each["there"]),
    ]


def _missing(layer: dict[str, Any]) -> str:
    return (
        f"no {layer['name']}: {layer['reason']}; calls of tools are refused, unless an agent does without it in words: "
        f'layers_off = ["{layer["name"]}"] below [policy] in its agent.toml'
    )


def _journal(home: Home, up: bool) -> "Finding":
    import asyncio
    import time

    from anima.bus.client import connect
    from anima.cli.chain import verify_file, verify_through_journal
    from anima.cli.checks import BAD, OK, Finding
    from anima.errors import AnimaError

    async def through_journal() -> tuple[int, str]:
        async with connect(home) as bus:
            return await verify_through_journal(bus)

    begun = time.monotonic()
    try:
        count, wrong = asyncio.run(through_journal()) if up else verify_file(home.journal)
    except AnimaError as error:
        return Finding(BAD, "journal", str(error))
    told = f"{count} events verified in {time.monotonic() - begun:.1f} s"
    return (
        Finding(BAD, "journal", f"{wrong}; {told} before it; keep the file, restore a backup")
        if wrong
        else Finding(OK, "journal", told)
    )
