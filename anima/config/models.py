"""Shared definitions of models: `$ANIMA_HOME/models/NAME.toml`, read and checked like all settings.

Whoever writes NAME where a model is asked for means what stands in that file.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from anima.config.check import Document, References, parse, read_text, resolve, section
from anima.config.schema import MODEL_PROVIDERS, Definition
from anima.errors import ConfigError, Refused
from anima.ids import check_name
from anima.paths import Home

_BUILT_IN = ("reflex", "scripted")  # models that need no definition, and whose names none may take
_OURS = frozenset({"model", "messages", "input", "stream", "tools"})  # fields of a request that `params` cannot replace
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_TABLES = ("headers", "params")


def load_models(home: Home, references: References) -> tuple[dict[str, Definition], set[str]]:
    """All definitions by name, and the secrets in them. Raises ConfigError as "file:line: key: what is wrong"."""
    found: dict[str, Definition] = {}
    documents: dict[str, Document] = {}
    secrets: set[str] = set()
    try:
        paths = sorted(each for each in home.models.iterdir() if each.suffix == ".toml" and not each.name.startswith("."))
    except FileNotFoundError:
        return {}, set()
    except OSError as error:
        raise ConfigError(f"{home.models} cannot be read: {error.strerror}; correct its permissions") from error
    for path in paths:
        documents[path.stem] = document = parse(path, read_text(path))
        found[path.stem] = _definition(document, path.stem, references)
        secrets |= document.secrets
    for name, definition in found.items():
        check_models(documents[name], ("fallbacks",), definition.fallbacks, found)
    return found, secrets


def model_names(home: Home) -> list[str]:
    """The names of all definitions, read or not."""
    return sorted(each.stem for each in home.models.glob("*.toml"))


def check_models(document: Document, key: tuple[str, ...], names: Iterable[str], defined: Collection[str]) -> None:
    """Raise ConfigError if one of `names`, which stand at `key`, can be no model's; what is empty names none."""
    for name in names:
        if name and name not in defined and name.partition(":")[0] not in (*MODEL_PROVIDERS[1:], *_BUILT_IN):
            raise document.wrong(key, f"there is no model '{name}'; write provider:model, or the NAME of a models/NAME.toml")


def _definition(document: Document, name: str, references: References) -> Definition:
    try:
        check_name(name)
    except Refused as error:
        raise ConfigError(f"{document.path}: {error}") from None
    if name in MODEL_PROVIDERS or name in _BUILT_IN:
        raise ConfigError(f"{document.path}: '{name}' means the provider of that name; give the file another one")
    headers = _table(document, "headers", references)
    params = _table(document, "params", references)
    for key, value in headers.items():
        if not (isinstance(value, str) and _HEADER_NAME.fullmatch(key) and _HEADER_VALUE.fullmatch(value)):
            raise document.wrong(("headers", key), 'is no header; write it as Name = "value", in plain ASCII')
        document.secrets.add(value)
    if taken := _OURS & params.keys():
        raise document.wrong(("params", min(taken)), "cannot be set here; it follows from the conversation")
    values = {key: value for key, value in document.values.items() if key not in _TABLES}
    definition = section(replace(document, values=values), Definition, references)
    if definition.provider == "compatible" and not definition.base_url:
        raise document.wrong(("base_url",), "is missing; say where the server is, as https://HOST/v1, or name its provider")
    if not definition.model and definition.provider in ("compatible", "ollama", "vllm", "lmstudio"):
        raise document.wrong(("model",), "is missing; say what the server calls the model")
    return replace(definition, headers=headers, params=params)


def _table(document: Document, name: str, references: References) -> dict[str, Any]:
    values = document.values.get(name, {})
    if not isinstance(values, dict):
        raise document.wrong((name,), f"is a section; write [{name}] and its keys below")
    return {key: resolve(document, (name, key), value, references) for key, value in values.items()}
