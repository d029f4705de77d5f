"""The process tree. One module per kind of process; this literal is the order in which they are born.

    supervisor            root: forks, restarts and outlives all others
    ├── journal           stores every fact and publishes it; owns journal.db and the bus sockets
    ├── mneme             remembers for all agents: finds, forgets, brings to mind; owns mneme.db
    ├── thymos            feels: turns facts into hormones that decay, and those into words; owns thymos.db
    ├── sandbox           the hands: carries out every tool call in a jail, once; owns all that runs in them
    ├── purser            reads what agents spend on models and freezes the one that overspends; owns purser.db
    └── agent:NAME        one mind, one process each: wakes, thinks, answers

They are stopped in the opposite order. A process exists because it alone owns something.
"""

from anima.supervisor.spec import ChildSpec

#: Infrastructure, in the order of birth; agents follow, all at once.
TREE = (
    ChildSpec(name="journal", kind="journal", vital=True),  # nothing is said or done without it
    ChildSpec(name="mneme", kind="mneme", awaited=False),  # nobody waits for it: without it a turn knows what its window shows
    ChildSpec(name="thymos", kind="thymos", awaited=False),  # nor it: an agent goes on with the last words it heard
    ChildSpec(name="sandbox", kind="sandbox", awaited=False),  # nobody needs it up: a call lies in the journal until it is
    ChildSpec(name="purser", kind="purser", awaited=False),  # nor it: what it missed it reads
)
