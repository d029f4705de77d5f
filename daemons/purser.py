"""purser: reads what all agents spend on their models, and freezes the one that spends more than it may.

Owns:  $ANIMA_HOME/state/purser.db, which follows from the journal alone
Life:  read the journal from where the book ends, announce ready, follow it until told to stop.
Bus:   follows the whole journal; appends agent_frozen; serves purser (budget, copy).
Dies:  75 when the disk fails or the journal has lost what was read, 78 when the book is damaged: move it away, and it is
       written again. Agents go on without it; each of them keeps to its budget by itself.
"""

import asyncio
import os
from contextlib import closing
from functools import partial
from importlib.resources import files

from anima.bus.client import connect
from anima.errors import AnimaError, ConfigError
from anima.nous.choose import Access, about
from anima.nous.model import Done
from anima.paths import Home
from anima.process.copying import Copier
from anima.process.process import Process
from anima.purser.account import day_of
from anima.purser.book import Book, Call
from anima.purser.clerk import Clerk
from anima.purser.wards import house_ward, read_wards
from anima.store.database import open_database
from anima.supervisor import control
from anima.wire.spending import UNKNOWN_USD


async def main(process: Process) -> None:
    """Live until told to stop; raises what ended it early."""
    home = process.home
    settings = process.settings
    house = house_ward(settings)
    wards = read_wards(home, settings)
    prices = partial(price_of, Access(os.environ, models=settings.models, definitions=settings.definitions))

    def day(agent: str, ts: float) -> str:
        return day_of(ts, wards.get(agent, house).zone)

    with closing(open_database(process.home.purser, files("anima.purser") / "schema", alive=process.more_time)) as connection:
        async with connect(home) as bus:
            book = Book(connection, day, prices)
            clerk = Clerk(bus, book, wards, house, partial(stop_agent, home))
            await bus.serve(process.name, {"budget": clerk.budget, **Copier(connection, book.commit).verbs()})
            await process.patiently(clerk.remember(), "waiting for the journal")
            process.ready("idle")
            await process.while_living(clerk.live())


def price_of(access: Access, call: Call) -> float:
    """What a call costs by the house's prices, in US dollars; UNKNOWN_USD for a model they do not know."""
    try:
        price = about(call.model, access).price
    except ConfigError:
        return UNKNOWN_USD
    done = Done("", call.tokens_in, call.tokens_out, call.cache_read, call.cache_written)
    return price.of(done) if price else UNKNOWN_USD


async def stop_agent(home: Home, name: str) -> None:
    """Have the root end the agent's process for good. Raises Unavailable if it does not answer."""
    answer = await asyncio.to_thread(control.ask, home, {"do": "stop", "names": [f"agent:{name}"]})
    if answer.get("ok") is not True:
        raise AnimaError(str(answer.get("error", "the supervisor refused without a reason")))
