"""Which model answers: names, the choice when nothing is configured, and the one door to open them.

A name is `provider:model`, the provider alone, or the NAME of a definition in models/. What stands in a definition wins
over anima.toml, and that over the environment.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from anima.config.schema import Definition, Models
from anima.errors import ConfigError
from anima.nous import anthropic, exchange, scripted
from anima.nous.exchange import Endpoint
from anima.nous.fallback import Chain, Link
from anima.nous.model import Model
from anima.nous.openai import open_openai
from anima.nous.presets import DECIDING, PRESETS, ollama_url
from anima.nous.prices import Known, known
from anima.nous.reflex.provider import Reflex
from anima.nous.retry import Policy

KEY_VARIABLE = "ANTHROPIC_API_KEY"
TOKEN_VARIABLE = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - the name of a variable
URL_VARIABLE = "ANTHROPIC_BASE_URL"

_PATIENCE_S = 20.0  # where another model can answer, one that is away is not waited for longer than this
_OTHER = Definition(provider="openai")
_NO_DEFINITIONS: Mapping[str, Definition] = {}


@dataclass(frozen=True, slots=True)
class Access:
    """What a provider may need beyond the model's name. No repr shows a secret."""

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path = Path()  #: what the FILE of scripted:FILE is relative to: the agent's own folder
    models: Models = field(default_factory=Models)  #: [models] of anima.toml
    definitions: Mapping[str, Definition] = field(default_factory=dict)  #: models/NAME.toml, by name
    policy: Policy = field(default_factory=Policy)

    def keys(self, provider: str) -> dict[str, str]:
        """The keys known for a provider, by the name of the setting or variable they stand in; the first one holds."""
        settings = {
            "anthropic": self.models.anthropic_api_key,
            "openai": self.models.openai_api_key,
            "gemini": self.models.gemini_api_key,
            "openrouter": self.models.openrouter_api_key,
            "ark": self.models.ark_api_key,
        }
        told = {f"models.{provider}_api_key": settings.get(provider, "")}
        told |= {name: self.environ.get(name, "") for name in variables(provider)}
        return {place: key.strip() for place, key in told.items() if key.strip()}

    def key(self, provider: str) -> str:
        """The key known for a provider, "" if there is none."""
        return next(iter(self.keys(provider).values()), "")

    def key_place(self, provider: str) -> str:
        """Where the key of a provider is set right, for a sentence."""
        setting = f"models.{provider}_api_key"
        if setting in self.keys(provider):
            return f"{setting} in anima.toml"
        if not variables(provider):
            return "its api_key"
        beside = f", or {setting} in anima.toml" if provider in ("anthropic", *DECIDING) else ""
        return f"{variables(provider)[0]} in the environment of `animactl up`{beside}"

    def url(self, provider: str) -> str:
        """Where a provider is reached."""
        if provider == "anthropic":
            return self.models.anthropic_base_url or self.environ.get(URL_VARIABLE, "")
        if provider == "ollama":
            return f"{ollama_url(self.models.ollama_base_url, self.environ)}/v1"
        if provider == "openai":
            return self.models.openai_base_url or self.environ.get("OPENAI_BASE_URL", "") or PRESETS[provider].url
        return PRESETS[provider].url


def variables(provider: str) -> tuple[str, ...]:
    """The variables of the environment in which a provider's key may stand."""
    if provider == "anthropic":
        return (KEY_VARIABLE, TOKEN_VARIABLE)
    return (PRESETS[provider].key_variable,) if PRESETS[provider].key_variable else ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The model taken, and one sentence that says why; "" when it was simply configured."""

    model_name: str
    why: str = ""


def parse_model(name: str, definitions: Mapping[str, Definition] = _NO_DEFINITIONS) -> tuple[str, str]:
    """Provider and its own name for the model ("": its usual one). Raises ConfigError for a name that is none."""
    name = name.strip()
    if name in definitions:
        return definitions[name].provider, definitions[name].model
    provider, _, model = (part.strip() for part in name.partition(":"))
    forms = {
        **{each: f"{each}:{has.model or 'MODEL'}" for each, has in PRESETS.items() if has.url},
        "scripted": "scripted:FILE",
    }
    forms = {"anthropic": f"anthropic:{anthropic.DEFAULT_MODEL}", **forms, "reflex": "reflex"}
    if provider not in forms:
        near = difflib.get_close_matches(provider.lower(), [*definitions, *forms], n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(
            f"there is no model provider '{provider}'; {hint}a model is written {', '.join(forms.values())}, "
            "or as the NAME of a models/NAME.toml"
        )
    if model and provider == "reflex":
        raise ConfigError(f"'{name}' names no model: {provider} has only one, write just '{provider}'")
    return provider, model


def choose(configured: str, access: Access, probe: Callable[[str], str] = lambda _url: "") -> Choice:
    """The model to use: the configured one, else what a key allows, else what `probe` finds at Ollama's address, else reflex.

    Raises ConfigError if the configured one cannot be a model's name.
    """
    if configured.strip():
        parse_model(configured, access.definitions)
        return Choice(configured.strip())
    changes = "`model` in agent.toml changes it"
    for provider in ("anthropic", *DECIDING):
        if access.key(provider):
            name = f"{provider}:{anthropic.DEFAULT_MODEL if provider == 'anthropic' else PRESETS[provider].model}"
            source = next(iter(access.keys(provider)))
            return Choice(name, f"no model is configured and {source} is set, so {name} answers; {changes}")
    url = ollama_url(access.models.ollama_base_url, access.environ)
    if found := probe(url):
        name = f"ollama:{found}"
        return Choice(name, f"no model and no key is configured, and an Ollama answers at {url}, so {name} answers; {changes}")
    return Choice(
        "reflex",
        f"no model is configured and {KEY_VARIABLE} is not set, nor another provider's key, so the built-in rule-based reflex "
        "answers; set the key before `animactl up`, or `model` in agent.toml, to change it",
    )


def open_model(name: str, access: Access, fallbacks: tuple[str, ...] = ()) -> Model:
    """The model of that name, ready to be asked, with those behind it that answer when it cannot; nothing is sent yet.

    Without `fallbacks` those of the definition hold, else those of anima.toml. Raises ConfigError, one sentence, for an
    unknown provider, a missing key, an unreadable or malformed script, unless another model stands in for it.
    """
    name = name.strip()
    parse_model(name, access.definitions)
    names = chain_of(name, access, fallbacks)
    links = tuple(Link(each, _opener(each, access, hurried=each != names[-1])) for each in names)
    chain = Chain(name, links)
    chain.open()
    return chain


def chain_of(name: str, access: Access, fallbacks: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The models that may answer for that name, in the order in which they are asked."""
    name = name.strip()
    definition = access.definitions.get(name)
    rest = fallbacks or (definition.fallbacks if definition else ()) or access.models.fallbacks
    return tuple(dict.fromkeys((name, *(each.strip() for each in rest))))


def _opener(name: str, access: Access, *, hurried: bool) -> Callable[[], Model]:
    """What opens one model; a `hurried` one gives up early, because another one can answer."""

    def opened() -> Model:
        provider, model = parse_model(name, access.definitions)
        if provider == "scripted":
            return scripted.open_scripted(model, access.folder)
        if provider == "reflex":
            return Reflex()
        definition = access.definitions.get(name)
        policy = access.policy
        if definition:
            policy = replace(policy, total_s=definition.retry_s, answer_s=definition.answer_timeout_s)
        if hurried:
            policy = replace(policy, total_s=min(policy.total_s, _PATIENCE_S))
        if provider == "anthropic":
            return _open_anthropic(model, access, definition, policy)
        return _open_preset(name, provider, access, policy)

    return opened


def _open_anthropic(model: str, access: Access, definition: Definition | None, policy: Policy) -> Model:
    told = definition or Definition()
    extra = anthropic.Extra(headers=told.headers, params=told.params, silence_s=told.silence_s)
    url = told.base_url or access.url("anthropic")
    return anthropic.open_anthropic(model, told.api_key or access.key("anthropic"), url, policy, extra)


def _open_preset(name: str, provider: str, access: Access, policy: Policy) -> Model:
    endpoint = endpoint_of(name, access)
    preset, definition = PRESETS[provider], access.definitions.get(name)
    if not (endpoint.key or preset.local):
        raise ConfigError(
            f"the model {endpoint.name} needs a key: set {endpoint.key_place}, or choose the model `reflex`, which needs none"
        )
    if not endpoint.model:
        raise ConfigError(f"'{name}' names no model: write {provider}:MODEL, as {preset.who} calls it")
    dialect = (definition.dialect if definition else "") or preset.dialect
    return open_openai(endpoint, dialect, preset.accent, policy)


def endpoint_of(name: str, access: Access) -> Endpoint:
    """Where a model that speaks OpenAI's dialects is reached, and with what."""
    provider, model = parse_model(name, access.definitions)
    preset, definition = PRESETS[provider], access.definitions.get(name)
    told = definition or Definition()
    model = model or preset.model
    own = bool(told.api_key)
    return Endpoint(
        name=f"{name}:{model}" if provider == "compatible" else f"{provider}:{model}",
        who=preset.who,
        model=model,
        url=(told.base_url or access.url(provider)).strip().rstrip("/"),
        key=told.api_key.strip() if own else access.key(provider),
        key_place=f"api_key in models/{name}.toml" if own or provider == "compatible" else access.key_place(provider),
        headers=told.headers,
        params=told.params,
        silence_s=told.silence_s,
    )


def about(name: str, access: Access) -> Known:
    """Window and price of a model, as configured or as Done names it. Raises ConfigError as parse_model does."""
    head = name.partition(":")[0]
    if name not in access.definitions and access.definitions.get(head, _OTHER).provider == "compatible":
        name = head  # a model of a definition that has no provider's name calls itself NAME:MODEL
    provider, model = parse_model(name, access.definitions)
    usual = anthropic.DEFAULT_MODEL if provider == "anthropic" else PRESETS[provider].model if provider in PRESETS else ""
    return known(provider, model or usual, access.definitions.get(name))


def fast_model(configured: str, model: str, access: Access) -> str:
    """The model for small chores: the agent's own, else the house's, else the one that thinks."""
    return configured.strip() or access.models.fast_model.strip() or model


def modules_needed(name: str, access: Access) -> tuple[str, ...]:
    """Modules the root should import before it forks an agent with this model. Raises ConfigError as parse_model does."""
    provider, _ = parse_model(name, access.definitions)
    if provider == "anthropic":
        return anthropic.MODULES
    return exchange.MODULES if provider in PRESETS else ()
