"""Which model answers: names written `provider:model`, the choice when nothing is configured, and the one door to open them.

The three providers stand in one table below; a new one is a line there.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anima.errors import ConfigError
from anima.nous import anthropic, scripted
from anima.nous.model import Model
from anima.nous.reflex.provider import Reflex
from anima.nous.retry import Policy

KEY_VARIABLE = "ANTHROPIC_API_KEY"
URL_VARIABLE = "ANTHROPIC_BASE_URL"


@dataclass(frozen=True, slots=True)
class Access:
    """What a provider may need beyond the model's name. Settings win over the environment; no repr shows a secret."""

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path = Path()  #: what the FILE of scripted:FILE is relative to: the agent's own folder
    anthropic_api_key: str = field(default="", repr=False)  #: models.anthropic_api_key in anima.toml
    anthropic_base_url: str = ""  #: models.anthropic_base_url in anima.toml
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model taken, and one sentence that says why; "" when it was simply configured."""

    model_name: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Provider:
    open: Callable[[str, Access], Model]
    takes: str  # what may stand behind the colon; "" = nothing may
    modules: tuple[str, ...] = ()  # heavy imports that the root may do before it forks


def _open_anthropic(model: str, access: Access) -> Model:
    key = access.anthropic_api_key or access.environ.get(KEY_VARIABLE, "")
    url = access.anthropic_base_url or access.environ.get(URL_VARIABLE, "")
    return anthropic.open_anthropic(model, key, url, access.policy)


_PROVIDERS: dict[str, _Provider] = {
    "anthropic": _Provider(_open_anthropic, anthropic.DEFAULT_MODEL, anthropic.MODULES),
    "scripted": _Provider(lambda file, access: scripted.open_scripted(file, access.folder), "FILE"),
    "reflex": _Provider(lambda _model, _access: Reflex(), ""),
}


def parse_model(name: str) -> tuple[str, str]:
    """`provider:model` in two; the model is "" when the provider stands alone. Raises ConfigError for an unknown provider."""
    provider, _, model = name.strip().partition(":")
    known = _PROVIDERS.get(provider)
    forms = ", ".join(f"{each}:{has.takes}" if has.takes else each for each, has in _PROVIDERS.items())
    if known is None:
        near = difflib.get_close_matches(provider.lower(), _PROVIDERS, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"there is no model provider '{provider}'; {hint}a model is written {forms}")
    if model and not known.takes:
        raise ConfigError(f"'{name}' names no model: {provider} has only one, write just '{provider}'")
    return provider, model.strip()


def choose(configured: str, environ: Mapping[str, str], anthropic_api_key: str = "") -> Choice:
    """The model to use: the configured one, else what a key in settings or environment allows, else reflex.

    Raises ConfigError if the configured one cannot be a model's name.
    """
    if configured.strip():
        parse_model(configured)
        return Choice(configured.strip())
    claude = f"anthropic:{anthropic.DEFAULT_MODEL}"
    if anthropic_api_key.strip() or environ.get(KEY_VARIABLE, "").strip():
        source = "models.anthropic_api_key" if anthropic_api_key.strip() else KEY_VARIABLE
        return Choice(
            claude, f"no model is configured and {source} is set, so {claude} answers; `model` in agent.toml changes it"
        )
    return Choice(
        "reflex",
        f"no model is configured and {KEY_VARIABLE} is not set, so the built-in rule-based reflex answers; "
        "set the key before `animactl up`, or `model` in agent.toml, to change it",
    )


def open_model(name: str, access: Access) -> Model:
    """The model of that name, ready to be asked; nothing is sent yet.

    Raises ConfigError, one sentence, for an unknown provider, a missing key, an unreadable or malformed script.
    """
    provider, model = parse_model(name)
    return _PROVIDERS[provider].open(model, access)


def modules_needed(name: str) -> tuple[str, ...]:
    """Modules the root should import before it forks an agent with this model. Raises ConfigError as parse_model does."""
    return _PROVIDERS[parse_model(name)[0]].modules
