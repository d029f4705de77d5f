"""aimock (`@copilotkit/aimock`, command `llmock`): a server of the models' dialects that nobody here wrote.

CI installs it; elsewhere npm fetches it once into the user's cache. Without npm its tests are skipped, and say so.
"""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.system.conftest import eventually

VERSION = "1.43.0"
PACKAGE = f"@copilotkit/aimock@{VERSION}"
INSTALL_S = 180


def command() -> str:
    """Where llmock is; installs it if need be. Skips the test where it cannot be had, but never in CI."""
    if found := shutil.which("llmock"):
        return found
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"anima-tests/aimock-{VERSION}"
    binary = cache / "node_modules/.bin/llmock"
    if not binary.exists():
        npm = shutil.which("npm") or _missing("npm is not installed, so aimock cannot be fetched")
        install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(cache), PACKAGE]
        done = subprocess.run(install, capture_output=True, timeout=INSTALL_S, check=False, text=True)
        if done.returncode != 0:
            _missing(f"npm cannot fetch {PACKAGE}: {done.stderr.strip()[-200:]}")
    return str(binary)


def _missing(why: str) -> str:
    if os.environ.get("CI"):
        pytest.fail(f"{why}; .ci/run must install it")
    pytest.skip(why)


class Aimock:
    """A running server with its fixtures, on a port of its own choice."""

    def __init__(self, folder: Path, *fixtures: dict[str, Any], flags: tuple[str, ...] = ()) -> None:
        self._file = folder / "fixtures.json"
        self._file.write_text(json.dumps({"fixtures": list(fixtures)}))
        self._log = folder / "aimock.log"
        self._flags = flags

    def __enter__(self) -> Self:
        arguments = ["--port", "0", "--fixtures", str(self._file), "--validate-on-load", *self._flags]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([command(), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.url = str(eventually(self._listening, f"aimock did not start: {self._log.read_text()}"))
        return self

    def __exit__(self, sort: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def _listening(self) -> str:
        assert self._process.poll() is None, self._log.read_text()
        return self._log.read_text().partition("listening on ")[2].partition("\n")[0].strip()

    def chaos(self, **rates: float) -> None:
        """Set the rates of faults from now on: dropRate, malformedRate, rateLimitRate, disconnectRate; nothing: none."""
        self._ask("/__aimock/chaos", rates)

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far, with its body and what became of it."""
        return list(self._ask("/__aimock/journal?limit=1000"))

    def _ask(self, path: str, body: dict[str, float] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)
