"""journal: stores every fact and tells it to all who follow.

Owns:  $ANIMA_HOME/state/journal.db (and journal.head beside it), the sockets `journal` and `events`
Life:  open the file, check its tail, bind, announce ready; then store, acknowledge, publish until told to stop; fold
       the log into the file and leave. Beside that it writes down what the supervisor tells about processes.
Bus:   serves append, read, ask (head, stats, topics, copy, adopt) and whisper; publishes events, whispers and beats.
Dies:  75 when the disk fails or another process takes its socket, 78 when the file is damaged or of a newer version.
       A full disk does not end it: nothing is accepted until there is space again.
"""

import asyncio
import logging
from contextlib import closing
from functools import partial

from anima.errors import BadMessage
from anima.ids import new_id
from anima.journal.ledger import Ledger
from anima.journal.lifecycle import follow_records, to_event, who
from anima.journal.server import Server
from anima.limits import batch_events_max, last_words_s
from anima.paths import Home
from anima.process.process import Process
from anima.wire.events import JournalOpened, event

_log = logging.getLogger(__name__)


async def main(process: Process) -> None:
    """Live until told to stop; raises what ended it early."""
    boot = new_id()
    with (
        closing(Ledger.open(process.home.journal, alive=process.more_time)) as ledger,
        closing(Server(process.home, ledger, boot, partial(who, process.home), process.status)) as server,
    ):
        opened = event(JournalOpened(boot, ledger.lost), agent="", source="journal")
        tasks = [
            asyncio.create_task(server.run()),
            asyncio.create_task(server.store([opened])),
            asyncio.create_task(write_lives(process.home, server)),
        ]
        stop = asyncio.create_task(process.stopping())
        process.ready(f"{ledger.tip.seq} events")
        await until(stop, tasks)


async def until(stop: asyncio.Task[None], tasks: list[asyncio.Task[None]]) -> None:
    """Wait for `stop`, and a moment more for how the others ended; a task that fails ends the wait with its error."""
    running = {stop, *tasks}
    try:
        while not stop.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await asyncio.wait(running, timeout=last_words_s)
    finally:
        for task in running:
            task.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error("the journal met this while it ended: %s", outcome)


async def write_lives(home: Home, server: Server) -> None:
    """Store what the supervisor tells about processes, and know them by PID while they live."""
    async for records in follow_records(home):
        events = []
        for record in records:
            try:
                found = to_event(record)
            except BadMessage as error:
                _log.warning("a lifecycle record was left out: %s", error)
                continue
            if found is None:
                continue
            if found.kind == "process_started":
                server.senders.learn(record["pid"], record["name"])
            elif found.kind == "process_ended":
                server.senders.forget(record["pid"])
            events.append(found)
        for start in range(0, len(events), batch_events_max):
            await server.store(events[start : start + batch_events_max])
