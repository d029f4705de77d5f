"""What the sandbox answers to questions: which tools there are, what became of calls, what waits for a person, which jobs run.

    tools {agent?}                          {tools: [card + why_not], problems: [sentence]}
    intents {state?, agent?}                {intents: [{id, agent, session, turn, tool, args, state, attempts, asked_at, text}]}
    waiting {}                              {waiting: [{id, kind, agent, session, tool, risk, reason, args, question, choices,
                                             since}]}
    jobs {agent}                            {jobs: [{session, id, command, state, started_at, bytes, pid}]}
    job_tail {agent, session, id, lines}    {text}
    jail {}                                 {layers: [{name, there, reason}], builder}

None of them changes anything, and no call needs one: whoever asks has something to show a person.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anima.bus.bus import Answer, Bus
from anima.clock import Clock
from anima.errors import BadMessage, Refused
from anima.limits import page_events_max
from anima.sandbox.catalogue import Catalogue
from anima.sandbox.gate import why_not
from anima.sandbox.hosts import Hosts
from anima.sandbox.intents import KINDS, STATES, Intent, Intents, fold
from anima.sandbox.policies import Policies
from anima.wire.frames import Query

_OPEN = ("waiting", "asked", "ready", "running", "in-doubt")  #: states of calls that are kept in memory, all of them
_LINES = 40
_LINES_MAX = 2_000
_TAIL_BYTES = 32 * 1_024


@dataclass(frozen=True)
class Desk:
    """Everything the answers come from; changes nothing."""

    bus: Bus
    intents: Intents
    catalogue: Catalogue
    policies: Policies
    hosts: Hosts
    jail: Callable[[], dict[str, Any]]
    clock: Clock

    def verbs(self) -> dict[str, Answer]:
        """The questions by name, as `Bus.serve` wants them."""
        return {
            "tools": self._tools,
            "intents": self._intents,
            "waiting": self._waiting,
            "jobs": self._jobs,
            "job_tail": self._job_tail,
            "jail": self._jail,
        }

    async def _tools(self, asked: dict[str, Any]) -> dict[str, Any]:
        await self.catalogue.refresh()
        agent = _text(asked, "agent", "")
        policy = self.policies.of(agent).settings.policy if agent else None
        tools = [
            {**card.fields(), "schema": dict(card.schema), "why_not": why_not(card, policy) if policy else ""}
            for card in self.catalogue.cards.values()
        ]
        return {"tools": tools, "problems": self.catalogue.problems}

    async def _intents(self, asked: dict[str, Any]) -> dict[str, Any]:
        state, agent = _text(asked, "state", ""), _text(asked, "agent", "")
        if state and state not in STATES:
            raise Refused(f"'{state}' is no state of a call; there are {', '.join(STATES)}")
        found = {each.id: each for each in await self._past(agent)} if state not in _OPEN else {}
        found |= {each.id: each for each in (*self.intents.open(), *self.intents.doubts())}
        rows = [
            _row(each)
            for each in sorted(found.values(), key=lambda each: each.seq)
            if agent in ("", each.agent) and state in ("", each.state)
        ]
        return {"intents": rows}

    async def _past(self, agent: str) -> list[Intent]:
        """The newest calls in the journal, settled ones too."""
        query = Query(agent=agent or None, kinds=KINDS, newest=True, limit=page_events_max)
        return fold((await self.bus.read(query)).events)

    async def _waiting(self, _asked: dict[str, Any]) -> dict[str, Any]:
        return {"waiting": [_request(each) for each in self.intents.open() if each.state in ("waiting", "asked")]}

    async def _jobs(self, asked: dict[str, Any]) -> dict[str, Any]:
        agent = _text(asked, "agent")
        told = await self.hosts.look(agent, "background_list", {})
        return {"jobs": [_job(session, row, self.clock) for session, each in told.items() for row in _rows(each.data)]}

    async def _job_tail(self, asked: dict[str, Any]) -> dict[str, Any]:
        agent, session, name = _text(asked, "agent"), _text(asked, "session"), _text(asked, "id")
        lines = asked.get("lines", _LINES)
        if type(lines) is not int or not 0 < lines <= _LINES_MAX:
            raise BadMessage(f"lines is a number from 1 to {_LINES_MAX}")
        listed = await self.hosts.look(agent, "background_list", {}, session)
        rows = [row for each in listed.values() for row in _rows(each.data) if row.get("job") == name]
        if not rows:
            raise Refused(
                f"{agent} has no background command '{name}' in session {session}; `animactl jobs {agent}` lists them"
            )
        since = max(0, int(rows[0].get("bytes", 0)) - _TAIL_BYTES)
        read = (await self.hosts.look(agent, "background_read", {"job": name, "since": since}, session)).get(session)
        if read is None or not read.ok:
            raise Refused(read.text if read else f"the child of session {session} is gone")
        text = read.text.rpartition("\n[")[0] if read.text.endswith("]") else read.text
        return {"text": "\n".join(text.splitlines()[-lines:])}

    async def _jail(self, _asked: dict[str, Any]) -> dict[str, Any]:
        return self.jail()


def _row(intent: Intent) -> dict[str, Any]:
    call = intent.call
    return {
        "id": intent.id,
        "agent": intent.agent,
        "session": intent.session,
        "turn": call.turn,
        "tool": call.tool,
        "args": call.args,
        "state": intent.state,
        "attempts": intent.attempts,
        "asked_at": intent.asked_at,
        "text": intent.response.text if intent.response else "",
    }


def _request(intent: Intent) -> dict[str, Any]:
    asked, question = intent.asked, intent.question
    return {
        "id": intent.id,
        "kind": "question" if question else "approval",
        "agent": intent.agent,
        "session": intent.session,
        "tool": intent.call.tool,
        "risk": asked.risk if asked else "safe",
        "reason": asked.reason if asked else "",
        "args": intent.call.args,
        "question": question.question if question else "",
        "choices": question.choices if question else [],
        "since": intent.since,
    }


def _rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    jobs = data.get("jobs", [])
    return [each for each in jobs if isinstance(each, dict)] if isinstance(jobs, list) else []


def _job(session: str, row: dict[str, Any], clock: Clock) -> dict[str, Any]:
    age_s = 0.0
    with contextlib.suppress(TypeError, ValueError):
        age_s = float(row.get("age_s", 0))
    return {
        "session": session,
        "id": str(row.get("job", "")),
        "command": str(row.get("command", "")),
        "state": str(row.get("state", "")),
        "started_at": clock.now() - age_s,
        "bytes": row.get("bytes", 0),
        "pid": row.get("pid", 0),
    }


def _text(asked: dict[str, Any], name: str, default: str | None = None) -> str:
    value = asked.get(name, default)
    if value is None and default is not None:
        value = default
    if not isinstance(value, str):
        raise BadMessage(f"the question needs '{name}', a text")
    return value
