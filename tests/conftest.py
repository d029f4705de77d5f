"""What all tests share: asyncio for async tests, and a clean environment."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_house_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not see the home, the key or the credentials of whoever runs it."""
    for name in (
        "ANIMA_HOME",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "RUNTIME_DIRECTORY",
        "XDG_RUNTIME_DIR",
        "NOTIFY_SOCKET",
    ):
        monkeypatch.delenv(name, raising=False)
