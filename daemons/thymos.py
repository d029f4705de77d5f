"""thymos: feels. Turns the facts of every agent's life into hormones that decay, and those into words and means.

Owns:  $ANIMA_HOME/state/thymos.db, which follows from the journal and the agents' settings alone
Life:  read the diary and the journal from where it ends, announce ready, feel what happens until told to stop.
Bus:   follows the whole journal; appends soul_changed, and stimulus for what packages find; serves thymos (feel, show, why,
       series, psyche, archetype, archetypes, copy).
Dies:  75 when the disk fails or the journal has lost what was felt, 78 when the diary is damaged: move it away, and it is
       written again. Agents go on without it, with the last words they heard.
"""

import gc
from contextlib import closing
from functools import partial
from importlib.resources import files

from anima.bus.client import connect
from anima.clock import SYSTEM
from anima.process.copying import Copier
from anima.process.process import Process
from anima.psyche.archetypes import named, names
from anima.psyche.soul import GrowingSoul
from anima.store.database import open_database
from anima.thymos.answers import Answers
from anima.thymos.decay import halved
from anima.thymos.diary import Diary
from anima.thymos.hearts import Hearts
from anima.thymos.natures import read_natures
from anima.thymos.subscribers import installed


async def main(process: Process) -> None:
    """Live until told to stop; raises what ended it early."""
    home = process.home
    with closing(open_database(process.home.thymos, files("anima.thymos") / "schema", alive=process.more_time)) as connection:
        async with connect(home) as bus:
            diary = Diary(connection)
            souls = partial(GrowingSoul, halved)
            hearts = Hearts(bus, diary, read_natures(home), souls, installed(), process.status)
            answers = Answers(hearts, diary, SYSTEM, named, names())
            await bus.serve(process.name, {**answers.verbs(), **Copier(connection).verbs()})
            gc.disable()  # a fold makes no cycles; looking for them takes a quarter of the time a long journal takes
            await process.patiently(hearts.remember(), "waiting for the journal")
            gc.enable()
            process.ready(hearts.status)
            await process.while_living(hearts.live(), hearts.write())
