"""Whether an Ollama answers on this machine, and with which model; asked once, quickly, where nothing is configured."""

import http.client
import json
import time
from urllib.parse import urlsplit

_TIMEOUT_S = 0.5  # a service on the same machine answers at once or is not there
_BYTES_MAX = 1 << 20
_KEPT_S = 60.0
_OK = 200

_found: dict[str, tuple[float, str]] = {}  # by address: until when it holds, and the model


def probe(url: str) -> str:
    """The model that an Ollama at `url` used or got last; "" if none answers or it has none. Known for a minute."""
    until, model = _found.get(url, (0.0, ""))
    if time.monotonic() < until:
        return model
    model = _ask(url)
    _found[url] = (time.monotonic() + _KEPT_S, model)
    return model


def _ask(url: str) -> str:
    parts = urlsplit(url)
    sort = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = sort(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", f"{parts.path}/api/tags")
            answer = connection.getresponse()
            body = answer.read(_BYTES_MAX) if answer.status == _OK else b""
        finally:
            connection.close()
        models = json.loads(body or b"{}").get("models") or []
        names = [each["name"] for each in models if "embed" not in each["name"]]
        return str(names[0]) if names else ""
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError, KeyError):
        return ""  # nobody there, or somebody else
