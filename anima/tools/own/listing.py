"""list_tools: what there is, for a model that was shown only a part of it."""

import json

from anima.tools.context import Context
from anima.tools.recall import matching
from anima.tools.registry import load
from anima.tools.schema import expected
from anima.tools.tool import Result, ToolError, tool


@tool(risk="safe", effect="pure", wall_s=20, keywords=("tools", "abilities", "can", "help", "list"))
def list_tools(ctx: Context, name: str = "", about: str = "") -> Result:
    """List the tools you may use, or describe one of them completely.

    Args:
        name: the tool to describe, with the schema of its arguments
        about: only tools that have to do with these words
    """
    cards = {each.name: each for each in load(ctx.extra).tools.values() if ctx.tools is None or each.name in ctx.tools}
    if name:
        if name not in cards:
            raise ToolError(f"there is no tool '{name}' for you; there are: {', '.join(cards)}")
        card = cards[name]
        text = f"{card.name}: {card.summary}\nrisk: {card.risk}; arguments: {expected(card.schema)}"
        return Result(ok=True, text=text, data={"name": card.name, "schema": json.loads(expected(card.schema))})
    chosen = matching(list(cards.values()), about) if about.strip() else list(cards.values())
    lines = [f"{card.name}: {card.summary.partition(chr(10))[0]}" for card in chosen]
    return Result(
        ok=True, text="\n".join(lines) or f"[no tool has to do with {about}]", data={"tools": [card.name for card in chosen]}
    )
