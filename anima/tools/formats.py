"""Tool calls written as text, by models that have no blocks for them. Two forms, one strict parser, nothing guessed.

    <tool>{"name": "read_file", "args": {"path": "a.txt"}}</tool>

    <function=read_file>
    <parameter=path>a.txt</parameter>
    </function>

A reply is understood whole or not at all: one bad block and no call is made, and the sentence that says what is wrong goes back
to the model. What stands in ``` fences is shown, not called. Identifiers of calls are for the caller to give: they must never
repeat within a conversation, and this parser has no memory.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anima.tools.schema import check_args, expected
from anima.tools.tool import Tool

CALLS_MAX = 16  #: in one reply

_OPEN = re.compile(r"^[ \t]*(`{3,}|~{3,})|<tool>|<function=([^>\n]*)>|</tool>|</function>", re.MULTILINE)
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]*)>")
_PARAMETER_END = re.compile(r"</parameter>(?=\s*(?:<parameter=|</function>))")
_SHAPE = '<tool>{"name": "TOOL", "args": {...}}</tool>'
SHAPES = {  #: how a call is written, by form
    "tags": _SHAPE,
    "functions": "<function=TOOL>\n<parameter=NAME>\nVALUE\n</parameter>\n</function>",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as the model wrote it, its arguments checked."""

    tool: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply consists of. With an `error` there are no calls."""

    text: str  #: the reply without its calls
    calls: tuple[Asked, ...] = ()
    error: str = ""


class _Bad(ValueError):
    pass


def parse_calls(reply: str, tools: Mapping[str, Tool]) -> Parsed:
    """The calls in a reply, in order, and the text around them."""
    try:
        text, calls = _parse(reply, tools)
    except _Bad as error:
        return Parsed(reply, error=f"no tool was called: {error}")
    return Parsed(text, tuple(calls))


def teach(tools: Iterable[Tool], form: str = "tags") -> str:
    """The part of a system prompt that tells a model its tools and how to write a call; `form` is a key of SHAPES."""
    lines = [
        "To use a tool, write a block of exactly this form, alone on its line, and stop; the result comes in the next message:",
        SHAPES[form],
        "",
        "Tools:",
    ]
    lines += [f"- {card.name}: {card.summary.partition(chr(10))[0]} args: {expected(card.schema)}" for card in tools]
    return "\n".join(lines)


def _parse(reply: str, tools: Mapping[str, Tool]) -> tuple[str, list[Asked]]:
    calls: list[Asked] = []
    pieces: list[str] = []
    at = scan = 0
    while found := _OPEN.search(reply, scan):
        if found[1]:
            scan = _after_fence(reply, found)
            continue
        if found[0].startswith("</"):
            raise _Bad(f"there is a {found[0]} without its beginning")
        pieces.append(reply[at : found.start()])
        if found[0] == "<tool>":
            asked, at = _json_block(reply, found.end(), tools)
        else:
            asked, at = _function_block(reply, found, tools)
        calls.append(asked)
        scan = at
        if len(calls) > CALLS_MAX:
            raise _Bad(f"there are more than {CALLS_MAX} calls in one reply")
    pieces.append(reply[at:])
    return "".join(pieces).strip(), calls


def _after_fence(reply: str, opened: "re.Match[str]") -> int:
    """Where the text goes on after a fenced block; the end if it is never closed."""
    fence = opened[1]
    closed = re.compile(rf"^[ \t]*{re.escape(fence)}{re.escape(fence[0])}*[ \t]*$", re.MULTILINE)
    line_end = reply.find("\n", opened.end())
    found = closed.search(reply, line_end + 1) if line_end >= 0 else None
    return found.end() if found else len(reply)


def _json_block(reply: str, begin: int, tools: Mapping[str, Tool]) -> tuple[Asked, int]:
    start = begin + len(reply[begin:]) - len(reply[begin:].lstrip())
    try:
        found, end = json.JSONDecoder(object_pairs_hook=_no_doubles, parse_constant=_no_constants).raw_decode(reply, start)
    except json.JSONDecodeError as error:
        line = reply.count("\n", start, error.pos) + 1
        raise _Bad(
            f"what stands in <tool> is not JSON ({error.msg}, line {line} of the block); the form is {_SHAPE}"
        ) from error
    except RecursionError as error:
        raise _Bad("what stands in <tool> is nested too deeply") from error
    closing = re.compile(r"\s*</tool>").match(reply, end)
    if closing is None:
        raise _Bad(f"behind the JSON of a <tool> block comes {reply[end : end + 20]!r} instead of </tool>")
    if not isinstance(found, dict) or set(found) != {"name", "args"} or not isinstance(found["name"], str):
        raise _Bad(f"a <tool> block holds an object with exactly 'name' and 'args'; the form is {_SHAPE}")
    return _checked(found["name"], found["args"], tools), closing.end()


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Bad("an object in a <tool> block has the same key twice")
    return found


def _no_constants(word: str) -> Any:
    raise _Bad(f"{word} is no JSON")


def _function_block(reply: str, opened: "re.Match[str]", tools: Mapping[str, Tool]) -> tuple[Asked, int]:
    name = opened[2].strip()
    card = _known(name, tools)
    args: dict[str, Any] = {}
    at = opened.end()
    while parameter := _PARAMETER.match(reply, at):
        key = parameter[1].strip()
        end = _PARAMETER_END.search(reply, parameter.end())
        if end is None:
            raise _Bad(f"the parameter '{key}' of <function={name}> is not closed by </parameter>")
        if key in args:
            raise _Bad(f"the parameter '{key}' of <function={name}> is given twice")
        raw = reply[parameter.end() : end.start()]
        args[key] = _value(raw.removeprefix("\n").removesuffix("\n"), card.schema["properties"].get(key, {}), key)
        at = end.end()
    closing = re.compile(r"\s*</function>").match(reply, at)
    if closing is None:
        raise _Bad(f"<function={name}> holds {reply[at : at + 20].strip()!r} where <parameter=...> or </function> belongs")
    return _checked(name, args, tools), closing.end()


def _value(raw: str, shape: Mapping[str, Any], key: str) -> Any:
    """Text stays text; for any other type the value is JSON."""
    if shape.get("type", "string") == "string":
        return raw
    try:
        return json.loads(raw, object_pairs_hook=_no_doubles, parse_constant=_no_constants)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _Bad(f"the parameter '{key}' must be of type {shape['type']}, written as JSON, not {raw[:40]!r}") from error


def _known(name: str, tools: Mapping[str, Tool]) -> Tool:
    if name not in tools:
        raise _Bad(f"there is no tool '{name[:60]}'; there are: {', '.join(tools)}")
    return tools[name]


def _checked(name: str, args: Any, tools: Mapping[str, Tool]) -> Asked:
    card = _known(name, tools)
    given, complaint = check_args(card.schema, args)
    if complaint:
        raise _Bad(f"wrong arguments for {name}: {complaint}. It expects: {expected(card.schema)}")
    return Asked(name, given)
