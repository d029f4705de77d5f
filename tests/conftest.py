"""What all tests share: asyncio for async tests, and a clean environment."""

import pytest
from hypothesis import settings

settings.register_profile("anima", deadline=None)  # a loaded machine takes 200 ms over anything; speed is for bench/
settings.load_profile("anima")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_house_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not see the home, the key or the credentials of whoever runs it."""
    for name in (
        "ANIMA_HOME",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "ARK_API_KEY",
        "GEMINI_API_KEY",
        "LLAMA_API_KEY",
        "LMSTUDIO_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENROUTER_API_KEY",
        "VLLM_API_KEY",
        "RUNTIME_DIRECTORY",
        "XDG_RUNTIME_DIR",
        "NOTIFY_SOCKET",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")  # nor may an Ollama of the developer's answer
