"""The settings of a house and of its agents, read from disk whole or not at all."""

import hashlib
import os
import zoneinfo
from collections.abc import Mapping
from pathlib import Path

from anima.config.check import Document, Missing, References, parse, read_text, section, unknown
from anima.config.models import check_models, load_models, model_names
from anima.config.policy import check_policy
from anima.config.schema import SECTIONS, Agent, Budget, Embedding, House, Log, Models, Record, Sandbox, Supervisor
from anima.config.secrets import Secret, find_secrets
from anima.errors import ConfigError, Refused
from anima.ids import check_name
from anima.paths import Home

_PROVIDER_KEYS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "OPENROUTER_API_KEY",
    "ARK_API_KEY",
    "VLLM_API_KEY",
    "LLAMA_API_KEY",
    "LMSTUDIO_API_KEY",
)  # read by providers straight from the environment, so never to be logged either


def load_house(home: Home, environ: Mapping[str, str] = os.environ) -> House:
    """What anima.toml says; all defaults if there is none. Raises ConfigError as "file:line: key: what is wrong"."""
    credentials = find_secrets(home, environ)
    try:
        document = parse(home.config, read_text(home.config))
    except FileNotFoundError:
        document = Document(home.config, {}, "")
    for key in document.values:
        if key not in SECTIONS:
            raise document.wrong((key,), unknown(key, list(SECTIONS), "section"))
    references = _references(credentials, environ)
    models = section(document, Models, references, "models")
    supervisor = section(document, Supervisor, references, "supervisor")
    if supervisor.restart_delay_s > supervisor.restart_delay_max_s:
        raise document.wrong(
            ("supervisor", "restart_delay_s"), "is longer than restart_delay_max_s; lower it or raise that one"
        )
    log = section(document, Log, references, "log")
    record = section(document, Record, references, "record")
    sandbox = section(document, Sandbox, references, "sandbox")
    budget = section(document, Budget, references, "budget")
    embedding = section(document, Embedding, references, "embedding")
    keys = {environ[name] for name in _PROVIDER_KEYS if environ.get(name)}
    definitions, secrets = load_models(home, references)
    check_models(document, ("models", "fallbacks"), models.fallbacks, definitions)
    check_models(document, ("models", "fast_model"), [models.fast_model], definitions)
    secrets |= document.secrets | _values(credentials) | keys
    return House(models, supervisor, log, sandbox, budget, record, embedding, definitions, frozenset(secrets))


def load_agent(home: Home, name: str, environ: Mapping[str, str] = os.environ) -> Agent:
    """What agents/NAME/agent.toml says. Raises ConfigError about the file, the name, or a persona that says nothing."""
    folder = home.agent(name)
    try:
        check_name(name)
    except Refused as error:
        raise ConfigError(f"{folder}: {error}") from None
    try:
        document = parse(folder / "agent.toml", read_text(folder / "agent.toml"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no agent '{name}' ({folder / 'agent.toml'} is missing); `animactl create {name}` makes one"
        ) from None
    credentials = find_secrets(home, environ)
    agent = section(document, Agent, _references(credentials, environ))
    check_models(document, ("fallbacks",), agent.fallbacks, model_names(home))
    check_models(document, ("fast_model",), [agent.fast_model], model_names(home))
    check_models(document, ("reflection", "model"), [agent.reflection.model], model_names(home))
    _check_time_zone(document, agent.time_zone)
    check_policy(document, home, name, agent.policy)
    if (key := agent.policy.search_key) and key not in _values(credentials):  # only those are kept out of every log
        raise document.wrong(("policy", "search_key"), "write it as ${credential:NAME}, and run `animactl secrets set NAME`")
    _check_prompts(folder)
    return agent


def agent_names(home: Home) -> list[str]:
    """Folders below agents/ that hold an agent.toml, sorted. A name that no agent may bear is told by `load_agent`."""
    try:
        return sorted(
            each.name for each in home.agents.iterdir() if (each / "agent.toml").is_file() and not each.name.startswith(".")
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{home.agents} cannot be read: {error.strerror}; correct its permissions") from error


def digest(*parts: object) -> str:
    """A short text that changes when one of `parts` does; files (paths) count by their contents, the rest by its repr."""
    total = hashlib.blake2b(digest_size=12)
    for part in parts:
        content = _contents(part) if isinstance(part, Path) else repr(part).encode()
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()


def house_digest(house: House) -> str:
    """Changes when the journal and its like must be started anew to know the new settings."""
    return digest(house.log, house.sandbox, sorted(house.secrets))


def agent_digest(home: Home, name: str, house: House, agent: Agent) -> str:
    """Changes when agent NAME must be started anew: its settings as resolved, its prompts, or the house's models."""
    folder = home.agent(name)
    files = (folder / "agent.toml", folder / "persona.md", folder / "soul.md", folder / "always.md")
    return digest(house_digest(house), house.models, house.record, house.definitions, house.budget, agent, *files)


def _references(secrets: Mapping[str, Secret], environ: Mapping[str, str]) -> References:
    return {**environ, **{f"credential:{name}": each.value or Missing(each.why) for name, each in secrets.items()}}


def _values(secrets: Mapping[str, Secret]) -> set[str]:
    return {each.value for each in secrets.values() if each.value}


def _check_prompts(folder: Path) -> None:
    persona = folder / "persona.md"
    try:
        if not read_text(persona).strip():
            raise ConfigError(f"{persona} is empty; write who the agent is, one sentence is enough")
    except FileNotFoundError:
        raise ConfigError(f"{persona} is missing; write who the agent is, one sentence is enough") from None
    for name in ("soul.md", "always.md"):
        if (folder / name).exists():
            read_text(folder / name)


def _check_time_zone(document: Document, name: str) -> None:
    if not name:
        return
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise document.wrong(
            ("time_zone",), f"'{name}' is not a time zone known here; write it as Area/City, e.g. Europe/Berlin"
        ) from None


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its permissions") from error
