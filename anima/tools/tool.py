"""A tool: an annotated function with a docstring, and the decorator that makes one of it. The public way to write tools.

    from anima.tools.tool import tool

    @tool(risk="safe", effect="pure", keywords=("weather",))
    def weather(city: str, days: int = 1) -> str:
        \"\"\"Tell the weather of a city.

        Args:
            city: its name, as people there write it
            days: how many days ahead
        \"\"\"
        ...

The function is synchronous and runs in a jailed child process of its own. What it returns is what the model reads: text, a
`Result`, or a dict or list that is shown as JSON. It raises `ToolError` to say that it did not do what was asked.
A parameter called `ctx` is not shown to the model; it receives the `Context` of the call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec, TypeVar, get_args

from anima.errors import AnimaError
from anima.limits import tool_output_bytes, tool_output_bytes_max, tool_wall_max_s, tool_wall_s
from anima.tools.schema import describe_function
from anima.wire.cards import Card

Risk = Literal["safe", "risky", "dangerous"]  #: what a person is asked about; see `approve` of an agent
Effect = Literal["pure", "idempotent", "checkable", "unsafe"]  #: what may be done about a call nobody knows the end of
Place = Literal["call", "host", "runtime"]
Verdict = Literal["done", "undone", "unknown"]  #: what a probe finds

P = ParamSpec("P")
R = TypeVar("R")


class ToolError(AnimaError):
    """The tool did not do what was asked. One sentence for the model: what happened, where, what to do instead."""


class Interrupted(BaseException):
    """Someone wants the call to end now; raised wherever it is. What can tell its output so far catches it and does."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call. `text` is for the model, `data` (msgpack-able) for programs; not ok means it was not done."""

    ok: bool
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tool:
    """What is known about a tool without calling it.

    `function`, `prepare` and `probe` are written module:function. A checkable tool has a probe; one whose arguments do
    not say what the world looks like afterwards has a `prepare` too, whose findings are stored before the call starts.
    """

    name: str
    summary: str  #: for a model: the first sentence, then what else it must know
    schema: Mapping[str, Any]  #: JSON Schema 2020-12 of the arguments, closed
    effect: Effect
    risk: Risk
    wall_s: float
    output_bytes: int  #: of the text a model is shown
    function: str
    keywords: tuple[str, ...] = ()
    place: Place = "call"  #: call: a jailed child of its own; host: the long-lived one of its session; runtime: no child
    network: bool = False  #: whether its jail needs the network
    prepare: str = ""
    probe: str = ""

    def fields(self) -> dict[str, Any]:
        """The tool as a plain map, to cross a process boundary; `Tool(**fields)` is the way back."""
        return {name: getattr(self, name) for name in self.__slots__} | {"keywords": list(self.keywords)}

    def card(self) -> Card:
        """What the agent tells its model, and the sandbox its policy."""
        return Card(
            self.name,
            self.summary,
            self.schema,
            self.effect,
            self.risk,
            self.wall_s,
            self.output_bytes,
            self.place,
            self.network,
            bool(self.prepare),
        )


@dataclass(frozen=True, slots=True)
class How:
    """What most tools need not say.

    `prepare(args, ctx) -> dict` finds out, before the call starts, what the probe will need; its findings are stored.
    `probe(args, ctx, prepared) -> Verdict` looks whether a call whose end nobody knows took place.
    """

    place: Place = "call"
    network: bool = False
    prepare: Callable[[Any, Any], dict[str, Any]] | None = None
    probe: Callable[[Any, Any, Any], Verdict] | None = None


def tool(
    *,
    risk: Risk,
    effect: Effect,
    wall_s: float = tool_wall_s,
    output_bytes: int = tool_output_bytes,
    keywords: tuple[str, ...] = (),
    how: How = How(),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare a function as a tool; it stays an ordinary function, with the `Tool` as its attribute `tool`.

    Raises TypeError for a declaration that lacks something or contradicts itself, so that it never reaches an agent.
    """

    def declare(function: Callable[P, R]) -> Callable[P, R]:
        said = describe_function(function)
        made = Tool(
            said.name,
            said.summary,
            said.schema,
            effect,
            risk,
            wall_s,
            output_bytes,
            _address(function),
            keywords,
            how.place,
            how.network,
            _address(how.prepare) if how.prepare else "",
            _address(how.probe) if how.probe else "",
        )
        if complaint := flaw(made):
            raise TypeError(f"tool {made.name}: {complaint}")
        function.tool = made  # type: ignore[attr-defined]
        return function

    return declare


def declared(found: object) -> Tool | None:
    """The Tool that was declared on a function, or None."""
    card = getattr(found, "tool", None)
    return card if isinstance(card, Tool) and callable(found) else None


def flaw(card: Tool) -> str:
    """What a declaration lacks or gets wrong, as a sentence; "" if nothing."""
    choices = [
        f"{what} is '{value}'; it is one of {', '.join(get_args(words))}"
        for what, value, words in (("risk", card.risk, Risk), ("effect", card.effect, Effect), ("place", card.place, Place))
        if value not in get_args(words)
    ]
    closed = card.schema.get("type") == "object" and card.schema.get("additionalProperties") is False
    rules = (
        (card.name.isidentifier() and card.name.islower(), "its name must consist of lower-case letters, digits and _"),
        (bool(card.summary.strip()), "its docstring must say what it does, in a sentence for a model"),
        (closed, "its schema must be that of a closed object"),
        (0 < card.wall_s <= tool_wall_max_s, f"wall_s must lie above 0 and up to {tool_wall_max_s:.0f}"),
        (0 < card.output_bytes <= tool_output_bytes_max, f"output_bytes must lie above 0 and up to {tool_output_bytes_max}"),
        ((card.effect == "checkable") == bool(card.probe), "a checkable tool has a probe, and only a checkable one"),
        (bool(card.probe) or not card.prepare, "it has a prepare but no probe to read what that found"),
    )
    return "; ".join(choices + [complaint for holds, complaint in rules if not holds])


def _address(function: Callable[..., Any]) -> str:
    if "<" in function.__qualname__ or "." in function.__qualname__:
        raise TypeError(f"{function.__qualname__} must stand at the top of its module, so that a child can find it by name")
    return f"{function.__module__}:{function.__qualname__}"
