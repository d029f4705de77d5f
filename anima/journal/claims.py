"""Who may say what: an event that speaks for a process of the house must come from that process, a person's word from a person.

Covered: one agent's process speaking as another agent, as the sandbox, as the journal, or as the person who approves
its calls. What an agent's tools start is covered by the jail: nothing in there reaches the bus at all.
Not covered: a program that got hold of the PID's own socket, and people: whoever has our uid may write to an agent, call
its tools and approve. A program that an agent's own process started outside of a jail would count as a person; it starts none.
"""

from anima.ids import RESERVED
from anima.journal.admission import Entry

PROCESSES = RESERVED - {"all", "cli"}  #: the house's own processes; `source` may name one, or `agent:NAME`

#: Claimed by what only a person may say: it must not come from an agent, nor from the sandbox that carries out its calls.
PERSON = "a person"

#: What only the agent's own process can know.
AGENT_KINDS = frozenset(
    {
        "agent_message",
        "brought_to_mind",
        "turn_started",
        "turn_paused",
        "turn_ended",
        "model_called",
        "model_recorded",
        "reflected",
        "budget_reserved",
        "budget_released",
        "snapshot_stored",
        "chore_called",
    }
)

#: What only mneme writes, whoever wished it: it knows what is known already, and what must not be kept.
MNEME_KINDS = frozenset({"memory_stored", "memory_changed", "memories_imported", "goal_set", "goal_changed", "goal_finished"})

#: What only the sandbox can know: what it did, and what it waits for.
SANDBOX_KINDS = frozenset({"tool_started", "tool_response", "approval_asked", "question_asked", "sandbox_settled"})

#: A person's word about a call.
PERSON_KINDS = frozenset({"approval_given", "question_answered", "intent_resolved"})

#: What only the journal writes, from what the supervisor tells it.
JOURNAL_KINDS = frozenset(
    {"process_started", "process_ready", "process_ended", "process_parked", "journal_opened", "agent_adopted"}
)

_OWNERS = ((SANDBOX_KINDS, "sandbox"), (MNEME_KINDS, "mneme"), (PERSON_KINDS, PERSON), (JOURNAL_KINDS, "journal"))


def claims(entry: Entry) -> frozenset[str]:
    """The processes `entry` claims to come from. One name is the rule; none for what anyone may say; several contradict."""
    claimed = set()
    if entry.source.startswith("agent:"):
        claimed.add(entry.source)
    elif (origin := entry.source.partition(":")[0]) in PROCESSES:
        claimed.add(origin)
    claimed |= {who for kinds, who in _OWNERS if entry.kind in kinds}
    if entry.kind in AGENT_KINDS:
        claimed.add(f"agent:{entry.agent}")
    elif entry.kind == "agent_thawed" or (entry.kind == "agent_frozen" and entry.source != "purser"):
        claimed.add(PERSON)  # an agent could thaw itself otherwise, or stop another one
    elif entry.kind == "soul_changed":  # nobody remakes itself
        claimed.add("thymos" if entry.source == "thymos" else PERSON)
    elif entry.kind == "tool_call":  # an agent's own, or made by hand
        claimed.add(f"agent:{entry.agent}" if entry.source.startswith("agent:") else PERSON)
    return frozenset(claimed)


def is_person(process: str | None) -> bool:
    """Whether what comes from `process` can be a person's word: from no process of the house, or from one that passes it on."""
    return process is None or process in PROCESSES - {"sandbox", "journal", "supervisor", "purser", "thymos", "mneme"}


def may_whisper(process: str | None, agent: str) -> bool:
    """Whether `process` may whisper about `agent`: the agent itself, or one of the house's own processes."""
    return process == f"agent:{agent}" or process in PROCESSES
