"""Who may say what: an event that speaks for a process of the house must come from that process.

Covered: one agent's process (or a program it started) speaking as another agent, as the sandbox, as the journal.
Not covered: a program that got hold of the PID's own socket, and people: whoever has our uid may write to an agent.
"""

from anima.ids import RESERVED
from anima.journal.admission import Entry

PROCESSES = RESERVED - {"all", "cli"}  #: the house's own processes; `source` may name one, or `agent:NAME`

#: What only the agent's own process can know.
AGENT_KINDS = frozenset({"agent_message", "tool_call", "turn_started", "turn_paused", "turn_ended", "model_called"})

#: What only the journal writes, from what the supervisor tells it.
JOURNAL_KINDS = frozenset({"process_started", "process_ready", "process_ended", "process_parked", "journal_opened"})


def claims(entry: Entry) -> frozenset[str]:
    """The processes `entry` claims to come from. One name is the rule; none for what anyone may say; several contradict."""
    claimed = set()
    if entry.source.startswith("agent:"):
        claimed.add(entry.source)
    elif (origin := entry.source.partition(":")[0]) in PROCESSES:
        claimed.add(origin)
    if entry.kind in AGENT_KINDS:
        claimed.add(f"agent:{entry.agent}")
    elif entry.kind in JOURNAL_KINDS:
        claimed.add("journal")
    return frozenset(claimed)


def may_whisper(process: str | None, agent: str) -> bool:
    """Whether `process` may whisper about `agent`: the agent itself, or one of the house's own processes."""
    return process == f"agent:{agent}" or process in PROCESSES
