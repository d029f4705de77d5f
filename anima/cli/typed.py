"""`--arg name=value` into the arguments of a tool: each value read as the tool's schema wants it. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from anima.config.check import unknown
from anima.errors import Refused

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def arguments(given: Sequence[str], whole: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """What `--args` (one JSON object) and then each `--arg` say. Raises Refused with the sentence for the person.

    A text stays what was typed, a number, a truth or a structure is read; a list also from its `--arg` given several
    times. Whether the values may be so is the tool's to say: the call goes the way of every call.
    """
    args = _object(whole)
    properties: Mapping[str, Any] = schema.get("properties", {})
    lists: set[str] = set()
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise Refused(f"--arg {each!r} is not of the form name=value")
        if name not in properties:
            raise Refused(f"--arg {name}: {unknown(name, sorted(properties), 'argument')}" if properties else _none(name))
        value = _value(name, text, properties[name])
        if name in lists:
            args[name] += value
        else:
            args[name] = value
            if isinstance(value, list):
                lists.add(name)
    return args


def _none(name: str) -> str:
    return f"--arg {name}: this tool takes no arguments"


def _object(whole: str) -> dict[str, Any]:
    if not whole:
        return {}
    try:
        read = json.loads(whole)
    except (ValueError, RecursionError) as error:
        raise Refused(f"--args is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise Refused('--args is not a JSON object; write {"name": value}')
    return read


def _value(name: str, text: str, shape: Mapping[str, Any]) -> Any:
    kind = shape.get("type", "string")
    match kind:
        case "string":
            return _text(name, text)
        case "boolean":
            if text.lower() not in _WORDS:
                raise Refused(f"--arg {name}: {text!r} is neither true nor false")
            return _WORDS[text.lower()]
        case "integer" | "number":
            return _number(name, text, kind)
        case "array":
            return _list(name, text, shape.get("items", {}))
        case _:
            return _parsed(name, text, kind)


def _text(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"--arg {name} is not UTF-8 at character {error.start}; nothing was called") from None
    return text


def _number(name: str, text: str, kind: str) -> float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        if kind == "number":
            return float(text)
    except ValueError:
        pass
    raise Refused(f"--arg {name}: {text!r} is not {'a whole number' if kind == 'integer' else 'a number'}")


def _list(name: str, text: str, items: Mapping[str, Any]) -> list[Any]:
    """A JSON list, or the one entry that was typed."""
    if text.lstrip().startswith("["):
        read = _parsed(name, text, "array")
        if isinstance(read, list):
            return read
    return [_value(name, text, items)]


def _parsed(name: str, text: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"--arg {name} must be {kind} written as JSON: {error}") from None
