"""agent: one mind. Takes a message from the journal, thinks, answers; each conversation strictly in order.

Owns:  $ANIMA_HOME/agents/NAME/  (settings, persona, reminders)
Life:  read its folder, read the journal from where everything was settled, announce ready, take turns until told to
       stop, put down the ones that run. A turn that a death interrupted is taken up again and ends exactly once.
Bus:   follows its own topic; serves agent:NAME (system, viewport, frozen); whispers deltas.
Dies:  78 when its folder is wrong. A journal that is away is waited for.
"""

from anima.agent.folder import Folder
from anima.agent.life import Life
from anima.agent.thinker import Thinker
from anima.bus.client import connect
from anima.process.process import Process


async def main(process: Process) -> None:
    """Live until told to stop; raises ConfigError if the folder is wrong."""
    folder = Folder.read(process.home, process.name.removeprefix("agent:"))
    async with connect(process.home) as bus, Thinker(folder, process.settings) as thinker:
        life = Life(folder, bus, thinker, process.status)
        await bus.serve(process.name, {"system": thinker.system, "viewport": life.viewport, "frozen": life.frozen})

        await process.patiently(life.remember(), "waiting for the journal")
        process.ready(life.status)

        await life.until(process.stop)
