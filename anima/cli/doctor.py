"""`doctor`: whether this machine and this home carry a house, and what to do where they do not."""

from typing import TYPE_CHECKING, Annotated

import typer

from anima.cli import root
from anima.cli.terminal import clean, colour
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.cli.checks import Finding

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
    if deep:
        findings.append(_journal(home, up))
    for finding in findings:
        print(
            f"{colour(f'{finding.verdict:<4}', _COLOURS[finding.verdict])}  {finding.topic}: {clean(finding.text)}", flush=True
        )
    bad = sum(finding.verdict == BAD for finding in findings)
    if bad:
        raise Refused(f"{bad} thing{'s' if bad > 1 else ''} above must be put right")


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
