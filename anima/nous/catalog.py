"""Every model this house could think with: name, price, window, and whether its key works. `python -m anima.nous.catalog`.

A program of its own because the command line may not know providers, and because keys then stay in this process. It
prints one JSON object per line; with --check each model's provider is asked, by the cheapest question it has.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from anima.config.load import agent_names, load_agent, load_house
from anima.errors import AnimaError, ConfigError
from anima.nous import anthropic
from anima.nous.choose import Access, about, choose, endpoint_of, open_model, parse_model
from anima.nous.exchange import Exchange, check_endpoint
from anima.nous.model import Message, Request
from anima.nous.ollama import probe
from anima.nous.presets import DECIDING, PRESETS
from anima.nous.prices import AS_OF
from anima.nous.retry import Policy, Transient
from anima.paths import Home, find_home
from anima.supervisor.kernel import hide_memory

_CHECK_S = 20.0
_PATIENT = Policy(total_s=0.0)  # a check asks once
_WORD = Request("", (Message("user", "Say ok."),), tokens_max=16)


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the list."""

    name: str
    used_by: tuple[str, ...]  #: `house`, agents, and what else names it
    window_tokens: int  #: 0: not known
    price_in: float | None  #: US dollars for a million tokens; None: not known
    price_out: float | None
    prices_of: str  #: the day of the built-in table
    key: str  #: none (needs none), missing, set, works, refused, unreachable
    note: str = ""  #: a sentence, where something is wrong or was chosen


def uses(home: Home, access: Access) -> dict[str, tuple[str, ...]]:
    """Who would think with which model, in the order of the list: the house, agents, definitions, keys in the environment."""
    found: dict[str, dict[str, None]] = {}
    for name, who in (*_of_house(access), *_of_agents(home, access), *_possible(access)):
        if name.strip():
            found.setdefault(name.strip(), {}).update({who: None} if who else {})
    return {name: tuple(who) for name, who in found.items()}


def _of_house(access: Access) -> Iterator[tuple[str, str]]:
    yield choose(access.models.default, access, probe).model_name, "house"
    yield access.models.fast_model, "chores"
    for name in access.models.fallbacks:
        yield name, "fallback"


def _of_agents(home: Home, access: Access) -> Iterator[tuple[str, str]]:
    for agent in agent_names(home):
        try:
            settings = load_agent(home, agent, access.environ)
        except ConfigError:
            continue  # `config check` tells
        yield settings.model, agent
        yield settings.fast_model, f"chores of {agent}"
        for name in settings.fallbacks:
            yield name, f"fallback of {agent}"


def _possible(access: Access) -> Iterator[tuple[str, str]]:
    """Models that nobody need use yet."""
    for name, definition in access.definitions.items():
        yield name, ""
        for each in definition.fallbacks:
            yield each, f"fallback of {name}"
    for provider in ("anthropic", *DECIDING):
        if access.key(provider):
            yield f"{provider}:{anthropic.DEFAULT_MODEL if provider == 'anthropic' else PRESETS[provider].model}", ""
    yield "reflex", ""


def entry(name: str, used_by: tuple[str, ...], access: Access) -> Entry:
    """What is known of a model without asking anybody."""
    try:
        provider, _ = parse_model(name, access.definitions)
    except ConfigError as error:
        return Entry(name, used_by, 0, None, None, AS_OF, "missing", str(error))
    definition, facts = access.definitions.get(name), about(name, access)
    price = facts.price
    key = "none"
    if provider not in ("reflex", "scripted"):
        has = bool((definition and definition.api_key) or access.key(provider))
        local = provider in PRESETS and PRESETS[provider].local
        key = "set" if has else "none" if local else "missing"
    return Entry(
        name,
        used_by,
        facts.window_tokens,
        price.read if price else None,
        price.written if price else None,
        AS_OF,
        key,
    )


async def check(name: str, access: Access) -> tuple[str, str]:
    """Whether a model answers: its condition, and a sentence if it does not. Asks the provider; costs next to nothing."""
    provider, _ = parse_model(name, access.definitions)
    try:
        async with asyncio.timeout(_CHECK_S):
            if provider in PRESETS:
                return await _listed(name, access)
            model = open_model(name, access)
            try:
                async for _ in model.stream(_WORD):
                    pass
            finally:
                await model.close()
    except AnimaError as error:
        return ("unreachable" if error.exit == 75 else "refused"), str(error)  # noqa: PLR2004 - Exit.TRY_LATER
    except TimeoutError:
        return "unreachable", f"it said nothing for {_CHECK_S:g} s"
    return "works", ""


async def _listed(name: str, access: Access) -> tuple[str, str]:
    """Ask for the list of models: that costs nothing, and tells whether key and name are right."""
    endpoint = check_endpoint(endpoint_of(name, access))
    exchange = Exchange(endpoint)
    try:
        document = await exchange.get("/models")
    except Transient as failure:
        return "unreachable", str(failure)
    finally:
        await exchange.close()
    listed = document.get("data")
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    names = {str(each.get("id")).removeprefix("models/") for each in found}
    if names and endpoint.model not in names and f"{endpoint.model}:latest" not in names and endpoint.model != "default":
        return "refused", f"{endpoint.who} answers, but has no model '{endpoint.model}'"
    return "works", ""


async def entries(home: Home, access: Access, *, checked: bool) -> AsyncIterator[Entry]:
    """The list, in its order; with `checked` all are asked at once."""
    listed = [entry(name, used_by, access) for name, used_by in uses(home, access).items()]
    checks = {each.name: asyncio.ensure_future(check(each.name, access)) for each in listed if checked and _worth(each)}
    for each in listed:
        if each.name not in checks:
            yield each
            continue
        key, note = await checks[each.name]
        yield Entry(**{**asdict(each), "key": key, "note": note})


def _worth(each: Entry) -> bool:
    return each.key != "missing" and not each.name.startswith(("reflex", "scripted"))


async def main(home: Home, *, checked: bool) -> None:
    """Print the list. Raises ConfigError about settings that are wrong."""
    house = load_house(home)
    access = Access(os.environ, Path(), house.models, house.definitions, _PATIENT)
    async for each in entries(home, access, checked=checked):
        sys.stdout.write(json.dumps(asdict(each), ensure_ascii=False) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    hide_memory()
    arguments = argparse.ArgumentParser(description="List the models as JSON lines.")
    arguments.add_argument("--home", default="")
    arguments.add_argument("--check", action="store_true")
    told = arguments.parse_args()
    try:
        asyncio.run(main(find_home(os.environ, told.home or None), checked=told.check))
    except AnimaError as error:
        sys.exit(str(error))
