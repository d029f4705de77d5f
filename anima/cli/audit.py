"""`audit`: whether the ledger balances."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from anima.cli import root
from anima.cli.terminal import colour
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus
    from anima.cli.ledger import Ledger

_SHOWN_MAX = 10


def audit(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a sentence.")] = False,
) -> None:
    """Check that no accepted message was lost or answered twice.

    Every one must be answered, waiting, interrupted, or failed with its reason told. Exits 1 if the ledger does not
    balance.

    Example: animactl audit --json
    """
    home: Home = context.obj
    root.request(home, "status")
    from anima.cli import live

    ledger = live.run(home, _read)
    balance = ledger.balance()
    if as_json:
        print(json.dumps(balance.fields()))
    else:
        counts = ", ".join(f"{count} {name}" for name, count in balance.fields().items())
        verdict = colour("the ledger balances", "green") if balance.ok else colour("the ledger does not balance", "red")
        print(f"{verdict}: {counts}")
    if not balance.ok:
        wrong = ledger.unbalanced()
        shown = "; ".join(f"{what}: seq {seq} to {agent}" for agent, seq, what in wrong[:_SHOWN_MAX])
        more = f" and {len(wrong) - _SHOWN_MAX} more" if len(wrong) > _SHOWN_MAX else ""
        raise Refused(f"messages were lost or doubled ({shown}{more}); this is a defect, keep the journal and report it")


async def _read(bus: "Bus") -> "Ledger":
    """The ledger of the whole journal, up to its head at the first page: a moving target would never balance."""
    from anima.cli.ledger import KINDS, Ledger
    from anima.wire.frames import Query

    ledger, since, until = Ledger(), 0, 0
    while True:
        page = await bus.read(Query(since=since, before=until, kinds=KINDS))
        until = until or page.head + 1
        for event in page.events:
            if event.seq < until:
                ledger.add(event)
        if not page.more or not page.events or page.events[-1].seq >= until:
            return ledger
        since = page.events[-1].seq
