"""`tools`: what agents can do with their hands, and within which limits."""

import json
from typing import Annotated, Any

import typer

from anima.cli.names import complete
from anima.cli.table import Column, duration, render, size
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clean, colour, note, one_line, width
from anima.cli.wrap import Wrap
from anima.errors import Refused
from anima.paths import Home

COLUMNS = (
    Column("TOOL"),
    Column("RISK", leaves=3),
    Column("CLASS", leaves=4),
    Column("WALL", right=True, leaves=2),
    Column("OUTPUT", right=True, leaves=1),
    Column("WHAT IT DOES", flexible=True),
)
_COLOURS = {"safe": "green", "risky": "yellow", "dangerous": "red"}
_CLASSES = {
    "pure": "changes nothing; after a crash it is run again",
    "idempotent": "run twice it does what it does once; after a crash it is run again",
    "checkable": "after a crash it is looked up whether it took place",
    "unsafe": "never run twice; after a crash nobody may know whether it took place",
}
_COLUMNS_MAX = 100

Agent = Annotated[
    str, typer.Option("--agent", "-a", help="As this agent may use them.", show_default=False, autocompletion=complete)
]


def tools(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="One tool, in full.", show_default=False)] = "",
    agent: Agent = "",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON schema of the arguments.")] = False,
) -> None:
    """List all tools: risk, class and limits of each.

    The class says what happens to a call that a crash cut off. With --agent, those its policy does not allow stand last,
    with the reason.

    Example: animactl tools exec --schema
    """
    home: Home = context.obj
    from anima.cli import hands, root

    if agent:
        root.agent_process(home, agent)
    told = hands.ask(home, "tools", agent=agent)
    listed: list[dict[str, Any]] = sorted(told["tools"], key=lambda each: (bool(each.get("why_not")), each["name"]))
    if name:
        listed = [named(listed, name)]
    if schema:
        found = {each["name"]: each["schema"] for each in listed}
        print(json.dumps(found[name] if name else found, ensure_ascii=False, indent=None if as_json else 2))
    elif as_json:
        print(json.dumps(listed[0] if name else listed, ensure_ascii=False))
    else:
        print("\n".join(full_lines(listed[0], width()) if name else lines(listed, agent, width())))
        for problem in told.get("problems", []):
            note(clean(str(problem)))


def named(listed: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The card of the tool called `name`. Raises Refused with the nearest one."""
    for each in listed:
        if each["name"] == name:
            return each
    from anima.config.check import unknown

    raise Refused(f"'{name}' is an {unknown(name, [each['name'] for each in listed], 'tool')}")


def lines(listed: list[dict[str, Any]], agent: str, columns: int) -> list[str]:
    """The table for a terminal of that width; below it those the agent may not use."""
    allowed = [each for each in listed if not each.get("why_not")]
    refused = [each for each in listed if each.get("why_not")]

    def paint(row: int, title: str, text: str) -> str:
        return colour(text, _COLOURS.get(allowed[row]["risk"], "grey")) if title == "RISK" else text

    shown = render(COLUMNS, [_cells(each) for each in allowed], columns, paint) if allowed else []
    if refused:
        shown += [""] if shown else []
        shown.append(f"not for {agent}:")
        shown += [line for text in _refusals(refused) for line in _wrapped(clean(text), columns)]
    return shown


def _refusals(refused: list[dict[str, Any]]) -> list[str]:
    """Each reason once, after the names of all tools it holds for."""
    names: dict[str, list[str]] = {}
    for card in refused:  # the reason names its tool first of all, if it does
        names.setdefault(str(card["why_not"]).replace(card["name"], "it", 1), []).append(card["name"])
    return [f"{', '.join(found)}: {why}" for why, found in names.items()]


def full_lines(card: dict[str, Any], columns: int) -> list[str]:
    """Everything about one tool."""
    room = min(columns, _COLUMNS_MAX)
    shown = [f"{colour(clean(card['name']), 'bold')}: {card['risk']}, {card['effect']} ({_CLASSES.get(card['effect'], '?')})"]
    shown += [card["summary"], f"limits: {_limits(card)}"]
    if card.get("why_not"):
        shown.append(f"not allowed: {card['why_not']}")
    shown = [line for text in shown for line in _wrapped(clean(text) if "\x1b" not in text else text, room)]
    required = card["schema"].get("required", [])
    for name, shape in card["schema"].get("properties", {}).items():
        shown.append(f"  --arg {clean(name)}={_kind(shape)}{'' if name in required else _default(shape)}")
        shown += [f"      {line}" for line in _wrapped(clean(shape.get("description", "")), room - 6)]
    return shown


def _wrapped(text: str, columns: int) -> list[str]:
    wrap = Wrap(columns)
    return (wrap.feed(text) + wrap.end()).split("\n")


def _cells(card: dict[str, Any]) -> list[str]:
    summary = one_line(card["summary"], NO_TERMINAL_COLUMNS)
    return [card["name"], card["risk"], card["effect"], duration(card["wall_s"]), size(card["output_bytes"]), summary]


def _limits(card: dict[str, Any]) -> str:
    network = "may reach the network" if card.get("network") else "no network"
    place = {"host": ", in a process that stays for the session", "runtime": ", without a process of its own"}
    return (
        f"{duration(card['wall_s'])}, {size(card['output_bytes'])} of output, {network}{place.get(card.get('place', ''), '')}"
    )


def _kind(shape: dict[str, Any]) -> str:
    if "enum" in shape:
        return "|".join(map(str, shape["enum"]))
    if shape.get("type") == "array":
        return f"{_kind(shape.get('items', {}))} (may be repeated)"
    return {"string": "text", "object": "JSON", "boolean": "true|false"}.get(shape.get("type", ""), str(shape.get("type")))


def _default(shape: dict[str, Any]) -> str:
    return f" (else {json.dumps(shape['default'], ensure_ascii=False)})" if "default" in shape else " (may be left out)"
