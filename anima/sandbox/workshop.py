"""Where a call that passed the gate is carried out: orders to the jail and to the sessions' hosts, endings back.

Knows nothing of the journal and decides nothing: what may be done about a call is intents.py's and the gate's.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Protocol

from anima.errors import AnimaError, Refused, Unavailable
from anima.limits import call_grace_s, spill_files_max, spill_folder_bytes_max
from anima.paths import Home
from anima.sandbox.hosts import Gone, Hosts, Keeper
from anima.sandbox.jail.spec import Order, Outcome
from anima.sandbox.spill import prune
from anima.sandbox.work import Ending, Told, Work, answer, capped, ending, order

_RUN = "anima.tools.run:run"
_PREPARE = "anima.tools.run:prepare"
_PROBE = "anima.tools.run:probe"
_PLAN = "anima.tools.run:plan"
_PRUNE_S = 60.0  # the folder of kept outputs is looked at no more often
_VERDICTS = ("done", "undone", "unknown")


class Jailer(Keeper, Protocol):
    """What is needed of anima.sandbox.jail.jails.Jails."""

    async def run(self, order: Order) -> Outcome:
        """Carry out one order in a jail of its own; cancelling kills it. Raises Unavailable if there are no jails."""
        ...


class Workshop:
    """The jails and hosts of one life of the sandbox."""

    def __init__(self, home: Home, jails: Jailer) -> None:
        self._home = home
        self._jails = jails
        self.hosts = Hosts(jails)
        self._running: dict[str, Work] = {}
        self._pruned_at: dict[str, float] = {}
        self._pruning: set[asyncio.Task[int]] = set()

    async def run(self, work: Work) -> Ending:
        """Carry a call out to its end. What goes wrong on the way is an ending, too."""
        if complaint := self._ground(work):
            return Ending("failed", complaint)
        self._running[work.id] = work
        begun = time.monotonic()
        try:
            if work.card.place == "host":
                return await self._run_in_host(work)
            return ending(await self._jails.run(order(self._home, work, _RUN)), work.card)
        except Unavailable as error:
            return Ending("failed", str(error), duration_s=round(time.monotonic() - begun, 6), lost=isinstance(error, Gone))
        except Refused as error:
            return Ending("denied", str(error))
        except AnimaError as error:
            return Ending("failed", f"the call could not be made: {error}")
        finally:
            del self._running[work.id]

    def interrupt(self, id: str) -> bool:  # noqa: A002 - the intent's own name
        """Ask a running call to end with its output so far; its jail is ended soon after. False if it does not run."""
        work = self._running.get(id)
        if work is None:
            return False
        if work.card.place == "host":
            return self.hosts.interrupt((work.agent, work.session), id)
        return self._jails.interrupt(id, call_grace_s)

    async def prepare(self, work: Work) -> dict[str, Any] | Ending:
        """What the world looks like before a checkable call; an ending if that cannot be found out."""
        if complaint := self._ground(work):
            return Ending("failed", complaint)
        return await self._ask(work, _PREPARE)

    async def plan(self, work: Work) -> dict[str, Any] | Ending:
        """What the runtime has to wait for; an ending if the call makes no sense."""
        if complaint := self._ground(work):
            return Ending("failed", complaint)
        return await self._ask(work, _PLAN)

    async def probe(self, work: Work, prepared: dict[str, Any]) -> str:
        """Whether a call whose end nobody knows took place: done, undone or unknown."""
        if self._ground(work):
            return "unknown"
        told = await self._ask(work, _PROBE, prepared)
        verdict = "unknown" if isinstance(told, Ending) else told.get("verdict")
        return verdict if verdict in _VERDICTS else "unknown"

    async def close(self) -> None:
        """End every host."""
        await self.hosts.close()

    # -- how ---------------------------------------------------------------------------------------------------------------

    async def _run_in_host(self, work: Work) -> Ending:
        begun = time.monotonic()
        wanted = order(self._home, work, _RUN)
        told = await self.hosts.call(wanted, work.rules.stamp, (work.agent, work.session), work.wall_s)
        outcome = "done" if told.ok else "interrupted" if told.data.get("reason") == "interrupted" else "failed"
        return Ending(outcome, capped(told.text, work.card), told.data, round(time.monotonic() - begun, 6))

    async def _ask(self, work: Work, target: str, *more: Any) -> dict[str, Any] | Ending:
        try:
            outcome = await self._jails.run(order(self._home, work, target, *more))
        except AnimaError as error:
            return Ending("failed", f"the call could not be made: {error}")
        told: Told | None = answer(outcome.value) if outcome.how == "answered" else None
        if told is not None and told.ok:
            return told.data
        return ending(outcome, work.card)

    def _ground(self, work: Work) -> str:
        """Make the folders a call works in; a sentence if that cannot be, "" if they are there."""
        spill = self._home.outputs / work.agent
        for folder in (work.rules.workspace, spill):
            if sentence := _made(folder):
                return sentence
        now = time.monotonic()
        if now - self._pruned_at.get(work.agent, -_PRUNE_S) >= _PRUNE_S:
            self._pruned_at[work.agent] = now
            # beside the loop: what stands in there may be a million files, made to keep us busy
            pruning = asyncio.create_task(asyncio.to_thread(prune, spill, spill_folder_bytes_max, spill_files_max))
            self._pruning.add(pruning)
            pruning.add_done_callback(self._pruning.discard)
        return ""


def _made(folder: Path) -> str:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder}, where this agent works, cannot be made: {error.strerror}; its person must see to that"
    return ""
