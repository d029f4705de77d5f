"""The script format of the `scripted` model: read with line numbers, and which entry answers which conversation.

The format is described in docs/models.md. Everything here is a pure function of the file's text and the conversation,
so a killed agent that comes back gets the same entry again.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from anima.errors import ConfigError
from anima.nous.model import Message, storable

ERRORS = ("overloaded", "refused", "cut", "bug")  #: what `error` may say


@dataclass(frozen=True, slots=True)
class Entry:
    """One reply of a script, checked."""

    line: int  #: where it begins
    text: str = ""
    deltas: tuple[str, ...] = ()
    thinking: str = ""
    delay_s: float = 0.0
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    error: str = ""
    exit: int | None = None
    hang: bool = False
    attempts: int = 0  #: error, exit and hang strike in the first so many attempts of a turn; 0 = in all
    match: str = ""
    once: bool = False

    def struck(self, attempt: int) -> bool:
        """Whether the entry's fault happens in this attempt of the turn (from 1)."""
        return self.attempts == 0 or attempt <= self.attempts


_KEYS = tuple(each.name for each in fields(Entry) if each.name != "line")
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "deltas": (list,),
    "thinking": (str,),
    "delay_s": (float, int),
    "calls": (list,),
    "error": (str,),
    "exit": (int,),
    "hang": (bool,),
    "attempts": (int,),
    "match": (str,),
    "once": (bool,),
}


def read_script(text: str, name: str) -> tuple[Entry, ...]:
    """The entries of a script file; TOML if `name` ends in .toml, else one JSON object per line.

    Raises ConfigError with file:line for anything that is not a script.
    """
    rows = _toml_rows(text, name) if name.endswith(".toml") else _json_rows(text, name)
    entries = tuple(_entry(row, f"{name}:{line}", line) for line, row in rows)
    if not entries:
        raise ConfigError(f"{name}:1: the script has no reply; write at least one, such as {_EXAMPLE[name.endswith('.toml')]}")
    return entries


_EXAMPLE = {False: '{"text": "Hello"}', True: '[[reply]] with text = "Hello" below it'}


def _json_rows(text: str, name: str) -> Iterable[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name}:{number}: not a JSON object on one line ({error}); correct the line") from None


def _toml_rows(text: str, name: str) -> Iterable[tuple[int, Any]]:
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found.group(1) if found else str(text.count("\n") + 1)
        raise ConfigError(f"{name}:{line}: not TOML ({error}); correct the line") from None
    replies = content.pop("reply", [])
    if content or not isinstance(replies, list):
        raise ConfigError(
            f"{name}:1: a script consists of [[reply]] tables only; take out {', '.join(content) or 'reply = ...'}"
        )
    headers = [at for at, line in enumerate(text.split("\n"), start=1) if re.match(r"\s*\[\[\s*reply\s*\]\]", line)]
    lines = headers if len(headers) == len(replies) else [1] * len(replies)  # inline arrays have no headers
    return list(zip(lines, replies, strict=True))


def _entry(row: Any, where: str, line: int) -> Entry:
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: a reply is an object such as {_EXAMPLE[False]}, not {str(row)[:60]!r}")
    for key, value in row.items():
        if key not in _TYPES:
            raise ConfigError(f"{where}: unknown key '{key}'; a reply may have {', '.join(_KEYS)}")
        if type(value) not in _TYPES[key]:
            raise ConfigError(f"{where}: {key} is {type(value).__name__}; it must be {_TYPES[key][0].__name__}")
    for wrong in _contradictions(row):
        raise ConfigError(f"{where}: {wrong}")
    values = {**row, "deltas": tuple(row.get("deltas", ())), "calls": tuple(_calls(row.get("calls", ()), where))}
    if values["deltas"]:
        values["text"] = "".join(values["deltas"])
    return Entry(line, **values)


def _contradictions(row: Mapping[str, Any]) -> Iterable[str]:
    """Sentences about values that have the right type and make no sense."""
    deltas = row.get("deltas", [])
    if not all(isinstance(delta, str) for delta in deltas):
        yield "deltas must be a list of texts"
    elif not storable({"texts": [row.get("text"), row.get("thinking"), *deltas]}):
        yield "a text holds half a character (a lone surrogate)"
    elif deltas and row.get("text", "".join(deltas)) != "".join(deltas):
        yield "text and deltas say different things; leave one of them out"
    if row.get("error", ERRORS[0]) not in ERRORS:
        yield f"unknown error '{row['error']}'; it may be {', '.join(ERRORS)}"
    if not 0 <= row.get("delay_s", 0) <= 3600:  # noqa: PLR2004 - an hour between words is a mistake; also catches nan
        yield "delay_s must be between 0 and 3600 seconds"
    if not 0 <= row.get("exit", 0) <= 255:  # noqa: PLR2004 - what an exit code can be
        yield "exit must be an exit code between 0 and 255"
    if row.get("attempts", 0) < 0:
        yield "attempts must not be negative; 0 means all"
    try:
        re.compile(row.get("match", ""))
    except (re.error, RecursionError, OverflowError) as error:
        yield f"match is not a regular expression ({error})"


def _calls(calls: Iterable[Any], where: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get("tool"), str) or set(call) - {"tool", "args"}:
            raise ConfigError(f'{where}: a call is written {{"tool": "exec", "args": {{"command": "ls"}}}}')
        args = call.get("args", {})
        if not isinstance(args, dict):
            raise ConfigError(f"{where}: the args of a call are an object by argument name, not {type(args).__name__}")
        if not storable(args):
            raise ConfigError(f"{where}: the args of the call of '{call['tool']}' hold a value that cannot be stored")
        yield call["tool"], args


def choose_entry(entries: tuple[Entry, ...], messages: tuple[Message, ...]) -> Entry | None:
    """The entry that answers this conversation, or None when the script has run out.

    Entries whose `match` is found in the last user message come first: the first of them answers it, the next one
    follows up on its tool calls, and so on. Otherwise the entries without `match` are used in order, one per answer
    the conversation already holds; the last one repeats unless it says `once`.
    """
    asked = max((at for at, each in enumerate(messages) if each.role == "user"), default=-1)
    said = messages[asked].text if asked >= 0 else ""
    matching = [each for each in entries if each.match and re.search(each.match, said)]
    step = sum(each.role == "assistant" for each in messages[asked + 1 :])
    if step < len(matching):
        return matching[step]
    plain = [each for each in entries if not each.match]
    answers = sum(each.role == "assistant" for each in messages)
    if answers < len(plain):
        return plain[answers]
    rest = plain or matching
    return rest[-1] if rest and not rest[-1].once else None
