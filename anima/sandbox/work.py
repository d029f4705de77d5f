"""From a call and its agent's rules to an order for the jail, and from what came of it to an ending. Pure.

What the jail is told: the workspace and `write` are its to change, `read` and the house's own tools its to see, and of
the house itself, wherever it lies, nothing. What a person did not allow is not there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anima.limits import KIB, MIB, tool_output_bytes_max
from anima.paths import Home
from anima.sandbox.jail.spec import JailSpec, Limits, Order, Outcome
from anima.sandbox.policies import Rules
from anima.wire.cards import Card
from anima.wire.events import ToolCall

_MARGIN_PART = 0.05  # a tool is told a little less time than its jail has, so that it can answer with its output so far
_MARGIN_MAX_S = 1.0
_OUTPUT_BYTES = 30 * KIB  # of each output of a child that gave no answer


@dataclass(frozen=True, slots=True)
class Work:
    """One call that passed the gate, with everything needed to carry it out."""

    id: str
    agent: str
    session: str
    call: ToolCall
    card: Card
    rules: Rules
    tools: tuple[str, ...]  #: names the agent may use
    notes: str | None = None  #: the session's scratchpad, for the tool that keeps it

    @property
    def wall_s(self) -> float:
        """What it may take: the least of what the tool, the policy and the caller allow."""
        limits = [self.card.wall_s, self.rules.settings.policy.wall_s]
        return min([*limits, self.call.wall_s] if self.call.wall_s > 0 else limits)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a call came to, as its tool_response will tell."""

    outcome: str  #: done, failed, denied, interrupted or unknown
    text: str  #: for the model
    data: Mapping[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0
    lost: bool = False  #: its child was taken from under it: what may be done about that follows from the tool's effect

    @property
    def ok(self) -> bool:
        """Whether it was done as asked."""
        return self.outcome == "done"


def context(home: Home, work: Work) -> dict[str, Any]:
    """The tool's own view of its call: the fields of anima.tools.context.Context, which this part may not name."""
    policy = work.rules.settings.policy
    web = {"network": policy.network, "hosts": list(policy.hosts)} if work.card.network else {}
    if work.card.name == "web_search":
        web |= {
            "search_provider": policy.search_provider,
            "search_url": policy.search_url,
            "search_key": policy.search_key,
        }
    return {
        "workdir": str(work.rules.workspace),
        "agent": work.agent,
        "session": work.session,
        "call": work.id,
        "wall_s": work.wall_s - min(_MARGIN_MAX_S, _MARGIN_PART * work.wall_s),
        "output_bytes": min(tool_output_bytes_max, policy.output_kib * KIB),
        "spill": str(home.outputs / work.agent),
        "tools": list(work.tools),
        "extra": str(home.tools) if home.tools.is_dir() else None,
        "zone": work.rules.settings.time_zone,
        "notes": work.notes,
        "issues": policy.issues,
        "live": True,
        "web": web,
    }


def order(home: Home, work: Work, target: str, *more: Any) -> Order:
    """What the jail shall call for `work`: a function of anima.tools.run, with `more` behind the three usual arguments."""
    name = target.rpartition(":")[2]
    return Order(
        work.id if name == "run" else f"{work.id}:{name}",
        target,
        (work.call.tool, dict(work.call.args), context(home, work), *more),
        spec(home, work.rules, network=work.card.network, wall_s=work.wall_s),
    )


def spec(home: Home, rules: Rules, *, network: bool, wall_s: float) -> JailSpec:
    """What a child of this agent sees and may do. `wall_s` is ignored where a long-lived child is made."""
    policy = rules.settings.policy
    return JailSpec(
        workspace=rules.workspace,
        read=(*map(Path, policy.read), *((home.tools,) if home.tools.is_dir() else ())),
        write=(*map(Path, policy.write), home.outputs / rules.agent),
        protected=(home.root, home.run),
        network=network and policy.network != "none",
        limits=Limits(
            wall_s=wall_s,
            cpu_s=policy.cpu_s,
            memory_bytes=policy.memory_mib * MIB,
            file_bytes=policy.file_mib * MIB,
            files=policy.files,
            processes=policy.processes,
            output_bytes=policy.output_kib * KIB,
        ),
        off=frozenset(policy.layers_off),
    )


def ending(outcome: Outcome, card: Card) -> Ending:
    """What the jail's word means for the call."""
    told = answer(outcome.value)
    took_s = round(outcome.duration_s, 6)
    if told is not None and outcome.how in ("answered", "limit", "interrupted"):
        return _answered(outcome, told, card, took_s)
    words = {"limit": "failed", "refused": "denied", "interrupted": "interrupted"}
    text = capped("\n".join([outcome.reason or "the call ended without an answer", *_so_far(outcome)]), card)
    return Ending(words.get(outcome.how, "failed"), text, _about(outcome), took_s, lost=outcome.how == "killed")


def _answered(outcome: Outcome, told: "Told", card: Card, took_s: float) -> Ending:
    if told.ok:
        return Ending("done", capped(told.text, card), told.data, took_s)
    if outcome.how == "answered":
        return Ending("failed", capped(told.text, card), told.data, took_s)
    text = "\n".join(each for each in (outcome.reason, told.text) if each)
    said = "failed" if outcome.how == "limit" else "interrupted"
    return Ending(said, capped(text, card), {**told.data, **_about(outcome)}, took_s)


def redacted(ending: Ending, redact: Callable[[str], str]) -> Ending:
    """The same without secrets: a file that a tool may read can hold a key, and what is stored is never taken back."""

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return redact(value)
        if isinstance(value, dict):
            return {clean(key): clean(each) for key, each in value.items()}
        return [clean(each) for each in value] if isinstance(value, list | tuple) else value

    try:
        data = clean(dict(ending.data))
    except RecursionError:
        data = {"left_out": "the tool's data is nested too deeply"}
    return replace(ending, text=redact(ending.text), data=data)


@dataclass(frozen=True, slots=True)
class Told:
    """What a function of anima.tools.run answered."""

    ok: bool
    text: str
    data: dict[str, Any]


def answer(value: Any) -> Told | None:
    """The answer in a value that came out of a jail; None if it is none: what runs in there may say anything."""
    if not isinstance(value, dict):
        return None
    ok, text, data = value.get("ok"), value.get("text"), value.get("data", {})
    if type(ok) is not bool or type(text) is not str or type(data) is not dict:
        return None
    if not all(type(key) is str for key in data):
        data = {"left_out": "the tool's data is no map by names"}
    return Told(ok, text, data)


def capped(text: str, card: Card) -> str:
    """`text` with its middle left out where it is longer than the tool's answers may be."""
    return _cut(text, min(card.output_bytes + KIB, tool_output_bytes_max))


def _cut(text: str, limit: int) -> str:
    whole = text.encode(errors="replace")
    if len(whole) <= limit:
        return text
    half = limit // 2
    head, tail = whole[:half].decode(errors="ignore"), whole[-half:].decode(errors="ignore")
    return f"{head}\n[... {len(whole) - limit:,} bytes left out ...]\n{tail}"


def _so_far(outcome: Outcome) -> list[str]:
    found = []
    for name, output in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if output.strip():
            found.append(f"[{name} so far]\n{_cut(output.decode(errors='replace'), _OUTPUT_BYTES)}")
    return found


def _about(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {"how": outcome.how}
    for name in ("limit", "exit", "signal"):
        if value := getattr(outcome, name):
            found[name] = value
    return found
