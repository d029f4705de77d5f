"""The providers by name: where each is reached, what its key is called, which dialect it speaks. A new one is a line here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from anima.nous.openai_chat import Accent


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider that speaks a dialect of OpenAI's."""

    who: str  #: its name in sentences
    url: str  #: "": must be given
    key_variable: str = ""  #: of the environment; "" where no key is needed
    model: str = ""  #: when none is named; "": one must be
    dialect: str = "chat"
    accent: Accent = field(default_factory=Accent)
    local: bool = False  #: runs on a machine of one's own: no key is asked for, and it costs nothing


#: Gemini refuses a turn whose calls bear no signature, as those of another model or of an earlier process do, without this
#: word of its own for them: https://ai.google.dev/gemini-api/docs/thought-signatures
_FOREIGN = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_OPEN = Accent(tagged=True)  # open models think aloud unless their server takes it apart

PRESETS: dict[str, Preset] = {
    "openai": Preset(
        "OpenAI",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "gpt-6.1-sol",
        "responses",
        Accent(tokens_field="max_completion_tokens", effort=True),
    ),
    "gemini": Preset(
        "Gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        "gemini-3.8-flash",
        accent=Accent(effort=True, unsigned=_FOREIGN),
    ),
    "openrouter": Preset(
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "openrouter/auto",
        accent=Accent(effort=True, returns="reasoning_details"),
    ),
    "ark": Preset("Ark", "https://ark.cn-beijing.volces.com/api/v3", "ARK_API_KEY", "doubao-seed-1-8-251228"),
    "ollama": Preset("Ollama", "http://127.0.0.1:11434/v1", accent=_OPEN, local=True),
    "vllm": Preset("vLLM", "http://127.0.0.1:8000/v1", "VLLM_API_KEY", accent=_OPEN, local=True),
    "llamacpp": Preset("llama.cpp", "http://127.0.0.1:8080/v1", "LLAMA_API_KEY", "default", accent=_OPEN, local=True),
    "lmstudio": Preset("LM Studio", "http://127.0.0.1:1234/v1", "LMSTUDIO_API_KEY", accent=_OPEN, local=True),
    "compatible": Preset("the server", "", accent=_OPEN, local=True),  # any other address, by a definition in models/
}

#: Providers whose key in the environment decides when nothing is configured, the first that is set; anthropic before all.
DECIDING = ("openai", "gemini", "openrouter", "ark")

_OLLAMA = "http://127.0.0.1:11434"


def ollama_url(base_url: str, environ: Mapping[str, str]) -> str:
    """Where Ollama is, without a path: the setting, else $OLLAMA_HOST (which may lack scheme and port), else this machine."""
    said = (base_url or environ.get("OLLAMA_HOST", "")).strip().rstrip("/").removesuffix("/v1")
    if not said:
        return _OLLAMA
    url = said if "://" in said else f"http://{said}"
    try:
        parts = urlsplit(url)
        bare = parts.port is None and parts.scheme == "http" and not parts.path and not base_url
    except ValueError:
        return url  # told when a model is opened there
    url = url.replace("//0.0.0.0", "//127.0.0.1", 1)  # where a server listens is not where one asks it
    return f"{url}:11434" if bare else url
