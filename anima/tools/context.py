"""What a call knows about itself: whose it is, where it acts, how much it may take. Made by the sandbox, never by a model."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from anima.errors import BadMessage
from anima.limits import tool_output_bytes_max, tool_wall_s

Network = Literal["none", "web", "hosts"]


@dataclass(frozen=True, slots=True)
class Web:
    """How far a web tool may reach. The empty one reaches nothing."""

    network: Network = "none"  #: web: every public address; hosts: only those named
    hosts: tuple[str, ...] = ()  #: names, or *.name for everything below it; none named means none
    search_provider: str = ""  #: searxng, brave or tavily
    search_url: str = ""  #: of a SearXNG; the others have their own
    search_key: str = field(default="", repr=False)  #: given to web_search's own child and to no other


@dataclass(frozen=True, slots=True)
class Context:
    """One call. Only `workdir` must be given; what is empty is not to be had."""

    workdir: Path  #: where relative paths begin
    agent: str = ""
    session: str = ""
    call: str = ""  #: id of the call, the same for every attempt: the idempotency key
    wall_s: float = tool_wall_s  #: what is left of the wall limit; the jail ends the call soon after
    output_bytes: int = tool_output_bytes_max  #: the agent's own cap on what a model is shown of a result
    spill: Path | None = None  #: folder where a call may leave its whole output, to be paged through
    tools: tuple[str, ...] | None = None  #: those the agent may use; None means all, () means none
    extra: Path | None = None  #: folder of the house's own tools ($ANIMA_HOME/tools)
    zone: str = ""  #: time zone of the agent, as Area/City; "" means the machine's
    notes: str | None = None  #: the session's scratchpad, as the last call of `notes` left it; None if nobody keeps one
    issues: str = ""  #: repository for report_issue, as OWNER/NAME; "" means a file in the workspace
    live: bool = False  #: commands repeat their output on the child's own stdout and stderr as it comes
    web: Web = field(default_factory=Web)
    kept: object = field(
        default=None, compare=False, repr=False
    )  #: shells and jobs (shell/kept.py), in a long-lived child only

    def fields(self) -> dict[str, Any]:
        """A plain map that `read` understands; `kept` stays at home."""
        found = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "kept"}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}
        plain["web"] = {each.name: getattr(self.web, each.name) for each in dataclasses.fields(Web)}
        return plain

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The context in a map. Raises BadMessage if a key is unknown, missing or of another type."""
        values = _typed(dict(found), _SHAPE, "context")
        if "workdir" not in values:
            raise BadMessage("a context lacks 'workdir'")
        values |= {name: Path(values[name]) for name in ("workdir", "spill", "extra") if values.get(name) is not None}
        values["web"] = Web(**_typed(dict(values.get("web", {})), _WEB_SHAPE, "context.web"))
        return cls(**values)


_TEXTS = (list, tuple)
_SHAPE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("workdir", "agent", "session", "call", "zone", "issues"), (str,)),
    **dict.fromkeys(("spill", "extra", "notes"), (str, type(None))),
    "wall_s": (float, int),
    "output_bytes": (int,),
    "tools": (*_TEXTS, type(None)),
    "web": (dict,),
    "live": (bool,),
}
_WEB_SHAPE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("network", "search_provider", "search_url", "search_key"), (str,)),
    "hosts": _TEXTS,
}


def _typed(found: dict[str, Any], shape: Mapping[str, tuple[type, ...]], where: str) -> dict[str, Any]:
    for name, value in found.items():
        if name not in shape:
            raise BadMessage(f"{where} has '{name}', which is unknown")
        if type(value) not in shape[name]:
            raise BadMessage(f"{where}.{name} is {type(value).__name__}, not {shape[name][0].__name__}")
        if isinstance(value, list):
            found[name] = tuple(value)
    return found
