"""From a function's annotations and docstring to a JSON Schema (2020-12, closed), and arguments checked against it.

Understood: str, int, float, bool, list[T], dict, dict[str, T], Literal, T | None, and Annotated[T, Within(...)].
Only what these can produce is checked; it is a subset of JSON Schema, and no general validator.
"""

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_ENTRY = re.compile(r"(\w+)\s*:\s*(.*)")


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a parameter, both included: of a number's value, or of a text's or list's length."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a function says of itself."""

    name: str
    summary: str
    schema: dict[str, Any]


def describe_function(function: Callable[..., Any]) -> Said:
    """Name, summary and schema of a function. Raises TypeError if it leaves anything unsaid."""
    name = function.__name__
    summary, entries = _read_docstring(inspect.getdoc(function) or "")
    hints = typing.get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "ctx":
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"tool {name}: every parameter is given by name; '{parameter.name}' cannot be")
        if parameter.name not in hints or parameter.name not in entries:
            raise TypeError(f"tool {name}: '{parameter.name}' needs an annotation and a line under Args: in the docstring")
        shape = _shape(hints[parameter.name], f"tool {name}, {parameter.name}")
        shape["description"] = entries[parameter.name]
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
        elif parameter.default not in (None, ()):
            shape["default"] = parameter.default
        properties[parameter.name] = shape
    if extra := set(entries) - set(properties):
        raise TypeError(f"tool {name}: the docstring describes {', '.join(sorted(extra))}, which it does not take")
    schema: dict[str, Any] = {"$schema": DIALECT, "type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return Said(name, summary, schema)


def _shape(hint: Any, where: str) -> dict[str, Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin is typing.Annotated:
        shape = _shape(inner[0], where)
        for bound in inner[1:]:
            if isinstance(bound, Within):
                shape |= _bounds(shape["type"], bound)
        return shape
    if origin is typing.Literal:
        if not all(isinstance(each, str) for each in inner):
            raise TypeError(f"{where}: the choices of a Literal are texts")
        return {"type": "string", "enum": list(inner)}
    if origin in (list, tuple):
        return {"type": "array", "items": _shape(inner[0], where)}
    if hint is dict or origin is dict:
        return {"type": "object", "additionalProperties": _shape(inner[1], where) if inner else True}
    if origin in (typing.Union, types.UnionType) and len(kinds := [each for each in inner if each is not type(None)]) == 1:
        return _shape(kinds[0], where)  # leaving it out says None
    raise TypeError(f"{where}: {hint} is not a type a tool can take; see anima/tools/schema.py")


def _bounds(kind: str, bound: Within) -> dict[str, Any]:
    low, high = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}.get(kind, ("minimum", "maximum"))
    named = {low: bound.min, high: bound.max}
    whole = kind != "number"
    return {name: int(value) if whole else value for name, value in named.items() if value is not None}


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The prose before `Args:`, its lines joined, and the described parameters."""
    prose, found, rest = text.partition("\nArgs:\n")
    summary = "\n\n".join(" ".join(block.split()) for block in re.split(r"\n\s*\n", prose) if block.strip())
    entries: dict[str, str] = {}
    current = ""
    for line in rest.splitlines() if found else ():
        if line and not line[0].isspace():
            break
        match = _ENTRY.fullmatch(line.strip())
        if match and len(line) - len(line.lstrip()) <= 4:  # noqa: PLR2004 - deeper lines go on with the entry above
            current = match[1]
            entries[current] = match[2]
        elif current and line.strip():
            entries[current] += " " + line.strip()
    return summary, entries


# -- checking ------------------------------------------------------------------------------------------------------------


def check_args(schema: Mapping[str, Any], args: Any) -> tuple[dict[str, Any], str]:
    """The arguments as the function takes them, and "" or one sentence that says everything wrong with them."""
    complaints: list[str] = []
    checked = _check(schema, args, "the arguments", complaints)
    return (checked if not complaints else {}), "; ".join(complaints)


def expected(schema: Mapping[str, Any]) -> str:
    """The schema as a model should read it: one line of JSON, without the dialect."""
    return json.dumps({key: value for key, value in schema.items() if key != "$schema"}, ensure_ascii=False)


def _check(schema: Mapping[str, Any], value: Any, where: str, complaints: list[str]) -> Any:
    kind = schema.get("type")
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)  # 5.0 is an integer in JSON Schema
    if kind is not None and not _is_kind(kind, value):
        complaints.append(f"{where} must be {_article(kind)}, not {_article(_kind_of(value))}")
        return value
    if kind == "object":
        return _check_object(schema, value, where, complaints)
    if kind == "array":
        _check_size(len(value), "minItems", "maxItems", schema, f"the number of entries of {where}", complaints)
        return [_check(schema.get("items", {}), each, f"{where}[{index}]", complaints) for index, each in enumerate(value)]
    if kind == "string":
        _check_size(len(value), "minLength", "maxLength", schema, f"the length of {where}", complaints)
        if "enum" in schema and value not in schema["enum"]:
            complaints.append(f"{where} must be one of {', '.join(map(repr, schema['enum']))}, not {_short(value)}")
        if any(0xD800 <= ord(each) <= 0xDFFF for each in value):  # noqa: PLR2004 - surrogates
            complaints.append(f"{where} contains half of a character (a lone surrogate)")
    if kind in ("integer", "number"):
        _check_size(value, "minimum", "maximum", schema, where, complaints)
    return value


def _check_object(schema: Mapping[str, Any], value: Mapping[str, Any], where: str, complaints: list[str]) -> dict[str, Any]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    complaints += [f"'{name}' is missing" for name in schema.get("required", ()) if name not in value]
    checked = {}
    for name, each in value.items():
        if name in known:
            if each is None and name not in schema.get("required", ()):
                continue  # null for what may be left out: left out
            checked[name] = _check(known[name], each, f"'{name}'", complaints)
        elif others is False:
            complaints.append(f"{where} may not have {_short(name)}")
        else:
            checked[name] = _check(others, each, f"{where}.{name}", complaints) if isinstance(others, Mapping) else each
    return checked


def _check_size(size: float, low: str, high: str, schema: Mapping[str, Any], what: str, complaints: list[str]) -> None:
    if low in schema and size < schema[low]:
        complaints.append(f"{what} is {size}; at least {schema[low]}")
    if high in schema and size > schema[high]:
        complaints.append(f"{what} is {size}; at most {schema[high]}")


def _is_kind(kind: str, value: Any) -> bool:
    return kind == _kind_of(value) or (kind == "number" and _kind_of(value) == "integer")


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for sort, kind in (
        (str, "string"), (int, "integer"), (float, "number"), (list, "array"), (tuple, "array"), (Mapping, "object"),
    ):  # fmt: skip
        if isinstance(value, sort):
            return kind
    return "null" if value is None else type(value).__name__


def _article(kind: str) -> str:
    return kind if kind == "null" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004
