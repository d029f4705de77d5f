"""mneme: remembers for all agents.

Owns:  $ANIMA_HOME/state/mneme.db, which follows from the journal alone
Life:  open the file, read the journal from where it ends, announce ready, remember what happens until told to stop; vectors
       for what is remembered follow in the background.
Bus:   follows the whole journal; appends what it is asked to remember, to change or to import, and stimulus for what comes
       to mind; serves mneme (search, recall, page, show, stats, reached, import, remember, change, pin, call, reindex,
       copy).
Dies:  75 when the disk fails or is full, or the journal has lost what was read, 78 when the file is damaged or of a newer
       version: move it away, and it is written again. Agents go on without it, with what their windows show.
"""

import asyncio
from contextlib import closing
from functools import partial
from importlib.resources import files

from anima.bus.client import connect
from anima.mneme.calls import Calls
from anima.mneme.desk import Desk
from anima.mneme.embed import open_embedder
from anima.mneme.finder import Finder
from anima.mneme.moods import Moods
from anima.mneme.scribe import Scribe
from anima.mneme.store import Store
from anima.mneme.weaver import Weaver
from anima.process.copying import Copier
from anima.process.process import Process
from anima.store.database import open_database


async def main(process: Process) -> None:
    """Live until told to stop; raises what ended it early."""
    home, settings = process.home, process.settings
    with closing(open_database(process.home.mneme, files("anima.mneme") / "schema", alive=process.more_time)) as connection:
        async with connect(home) as bus:
            store, moods = Store(connection), Moods(bus)
            scribe = Scribe(bus, store, moods, settings.secrets)
            weaver = Weaver(store, scribe.grown, partial(open_embedder, settings))
            desk = Desk(bus, store, scribe, weaver)
            finder = Finder(bus, store, scribe, weaver, moods, desk)
            calls = Calls(bus, store, scribe, desk, finder)
            await bus.serve(process.name, {**desk.verbs(), **finder.verbs(), **calls.verbs(), **Copier(connection).verbs()})
            weaving = asyncio.create_task(weaver.weave())
            await process.patiently(scribe.remember(), "waiting for the journal")
            process.ready("idle")
            living = asyncio.create_task(scribe.live())
            stopping = asyncio.create_task(process.stopping())
            await asyncio.wait({living, stopping, weaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (living, weaving):
                if task.done() and not task.cancelled():
                    task.result()
            for task in (living, weaving, stopping):
                task.cancel()
            await asyncio.wait([living, weaving, stopping])
