"""From a TOML text to a checked section: every complaint is one sentence with file, line, key, and what is allowed.

Pure: texts and values in, sections or ConfigError out.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from anima.config.lines import key_lines
from anima.config.option import Option, Value, inner, options
from anima.errors import ConfigError
from anima.log.redact import redactor

S = TypeVar("S")


@dataclass(frozen=True)
class Missing:
    """What stands in a reference's place where it is known why it has no value."""

    why: str  #: a sentence: what is the matter, and what to do


References = Mapping[str, str | Missing]  #: what ${NAME} and ${credential:NAME} stand for

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of texts"}
_PARSER_PLACE = re.compile(r" ?\(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


@dataclass
class Document:
    """One parsed file: its values, and where they stand."""

    path: Path
    values: dict[str, Any]
    text: str
    secrets: set[str] = field(default_factory=set)  #: values met while reading that must never be shown
    _lines: dict[tuple[str, ...], int] | None = None

    def wrong(self, key: tuple[str, ...], sentence: str) -> ConfigError:
        """The complaint about `key`, with file and line; a secret that a reference brought into it is left out."""
        if self._lines is None:  # only who complains pays for the scan
            self._lines = key_lines(self.text)
        return ConfigError(f"{self.path}:{self._lines.get(key, 1)}: {'.'.join(key)}: {redactor(self.secrets)(sentence)}")


def read_text(path: Path) -> str:
    """The text of a file. Raises FileNotFoundError as is, ConfigError if it cannot be read or is not UTF-8."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its permissions or remove it") from error


def parse(path: Path, text: str) -> Document:
    """The document in `text`. Raises ConfigError with the line where it stops being TOML."""
    try:
        return Document(path, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        match = _PARSER_PLACE.search(str(error))
        line = int(match["line"]) if match and match["line"] else text.count("\n") + 1
        raise ConfigError(f"{path}:{line}: not valid TOML: {_PARSER_PLACE.sub('', str(error))}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets a thousand deep
        raise ConfigError(f"{path}: not readable as TOML: {error}") from None


def section(document: Document, made: type[S], references: References, table: str = "") -> S:
    """The section of class `made` from `table` of the document ("" means its top level), defaults filled in.

    What the section holds as sections of its own is read from their tables. `references` holds what ${NAME} and
    ${credential:NAME} stand for. Raises ConfigError about unknown keys, wrong types and values outside their bounds.
    """
    values = document.values.get(table, {}) if table else document.values
    prefix = (table,) if table else ()
    if not isinstance(values, dict):
        raise document.wrong(prefix, f"is {_named(values)}, but this is a section; write [{table}] and its keys below")
    known, tables = options(made), inner(made)
    checked: dict[str, Any] = {}
    for key, value in values.items():
        place = (*prefix, key)
        if key in tables:
            checked[key] = section(document, tables[key], references, key)
            continue
        if key not in known:
            raise document.wrong(place, unknown(key, [*known, *tables], "key"))
        default, about = known[key]
        resolved = resolve(document, place, value, references)
        if about.secret and resolved:
            document.secrets.add(str(resolved))
        sort = type(default)
        checked[key] = _checked(document, place, _typed(resolved, sort, resolved is not value), (sort, about))
    return made(**checked)


def unknown(name: str, allowed: list[str], what: str) -> str:
    """The sentence about a name that is none of `allowed`, with the nearest one if there is one."""
    near = difflib.get_close_matches(name, allowed, 1)
    return f"unknown {what}" + (f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(allowed)}")


def resolve(document: Document, place: tuple[str, ...], value: Any, references: References) -> Any:
    """The value with every ${...} replaced; what came from a credential is remembered as a secret."""
    if isinstance(value, list):
        return [resolve(document, place, each, references) for each in value]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        found = references[name] if name in references else Missing(_missing(name))
        if isinstance(found, Missing):
            raise document.wrong(place, found.why)
        if name.startswith("credential:"):
            document.secrets.add(found)
        return found

    return _REFERENCE.sub(replacement, value)


def _missing(name: str) -> str:
    if name.startswith("credential:"):
        return f"there is no credential '{(bare := name.removeprefix('credential:'))}'; run `animactl secrets set {bare}`"
    return f"the environment variable {name} is not set; set it where the house is started, or write the value here"


def _typed(value: Any, sort: type[Value], replaced: bool) -> Any:
    """Text that stood for a reference, as the option's type where it can be; whole numbers as numbers, lists frozen."""
    if sort is tuple:
        return tuple(value) if isinstance(value, list) else value
    if type(value) is int and sort is float and abs(value) < 1 << 53:
        return float(value)
    if not replaced or sort is str:
        return value
    if sort is bool:
        return {"true": True, "false": False}.get(value, value)
    try:
        return sort(value)
    except ValueError:
        return value


def _checked(document: Document, place: tuple[str, ...], value: Any, declared: tuple[type[Value], Option]) -> Value:
    sort, about = declared
    if type(value) is not sort:  # a bool is no number here
        raise document.wrong(place, f"is {_named(value, _veiled(document, value, about))}, allowed is {allowed(sort, about)}")
    if isinstance(value, tuple):
        return _listed(document, place, value, about)
    if about.choices and value not in about.choices:
        raise document.wrong(place, f"'{value}' is not known; allowed is {allowed(sort, about)}")
    if isinstance(value, int | float) and not _within(value, about):
        raise document.wrong(place, f"{value} is out of range; allowed is {allowed(sort, about)}")
    checked: Value = value
    return checked


def _listed(document: Document, place: tuple[str, ...], values: tuple[Any, ...], about: Option) -> tuple[str, ...]:
    for number, value in enumerate(values, 1):
        if not isinstance(value, str) or not value:
            said = _named(value, _veiled(document, value, about))
            raise document.wrong(place, f"entry {number} is {said}, allowed is {allowed(tuple, about)}")
        if about.choices and value not in about.choices:
            raise document.wrong(place, f"entry {number}, '{value}', is not known; allowed is {allowed(tuple, about)}")
    return values


def _veiled(document: Document, value: Any, about: Option) -> bool:
    """Whether a complaint must not show `value`, not even the part of it that fits a line."""
    return about.secret or any(each in str(value) for each in document.secrets if each)


def _within(value: float, about: Option) -> bool:
    """Whether the bounds hold; a NaN is outside of all."""
    return (about.min is None or value >= about.min) and (about.max is None or value <= about.max)


def allowed(sort: type[Value], about: Option) -> str:
    """What an option takes, in words."""
    if about.choices:
        named = " or ".join(each or "empty" for each in about.choices)
        return f"a list of {named}" if sort is tuple else named
    unit = f" {about.unit}" if about.unit else ""
    if about.min is not None and about.max is not None:
        return f"{_WORDS[sort]} from {_plain(about.min)} to {_plain(about.max)}{unit}"
    return f"{_WORDS[sort]}{unit}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _named(value: Any, secret: bool = False) -> str:
    if secret:
        return f"of type {type(value).__name__}"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    shown = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - a line stays a line
