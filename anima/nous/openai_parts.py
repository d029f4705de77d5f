"""What both of OpenAI's dialects share: arguments of calls read, characters mended, a reminder dressed, usage counted. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from anima.nous.model import Call, Image, Request, storable
from anima.nous.retry import Transient
from anima.nous.tokens import estimate, estimate_request

BLANK = "(an empty message)"  # some of the APIs refuse a message without visible characters
PICTURES = "(the pictures that the tools above answered with)"

_EFFORTS = ((2_048, "low"), (8_192, "medium"))  # tokens that may be thought, and what OpenAI calls that
_EFFORT_BEYOND = "high"


def read_args(text: str) -> dict[str, Any] | None:
    """The arguments of a call, or None if the text is no JSON object that can be stored."""
    try:
        args = json.loads(text.strip() or "{}")
    except (ValueError, RecursionError):
        return None
    return args if isinstance(args, dict) and storable(args) else None


def written_args(call: Call) -> str:
    """The arguments of a call as the APIs want them back: JSON in a text."""
    return json.dumps(dict(call.args), ensure_ascii=False)


def broken(tool: str) -> Transient:
    """The failure of a reply whose call cannot be read."""
    return Transient(f"the model called '{tool}' with arguments that make no sense")


def reminder(request: Request) -> str:
    """The request's reminder in tags, for the person must not seem to have said it; "" if there is none."""
    return f"<reminder>\n{request.reminder.strip()}\n</reminder>" if request.reminder.strip() else ""


def data_url(image: Image) -> str:
    """A picture as an address that holds it. Raises Refused as Image.read does."""
    return f"data:{image.mime};base64,{image.base64()}"


def effort(request: Request) -> str:
    """How hard to think, in OpenAI's words; "" leaves it to the model."""
    if not request.thinking_tokens_max:
        return ""
    return next((word for tokens, word in _EFFORTS if request.thinking_tokens_max <= tokens), _EFFORT_BEYOND)


class Characters:
    """Text that comes in pieces: JSON escapes may split a character between two of them."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The characters that are whole with this piece; a half without its other half is replaced."""
        text, self._half = self._half + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return mended(text)

    def end(self) -> str:
        """What stands for a half that stayed alone."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


def mended(text: str) -> str:
    """`text` with surrogate pairs joined and lone halves replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def counts(usage: object) -> tuple[int, int, int, int] | None:
    """Tokens in, out, read from and written to the cache, by either dialect's names; None if nothing was told."""
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    read = _count(details, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")  # the latter is DeepSeek's
    written = _count(details, "cache_write_tokens")
    tokens_in, tokens_out = _count(usage, "prompt_tokens", "input_tokens"), _count(usage, "completion_tokens", "output_tokens")
    return (tokens_in, tokens_out, read, written) if tokens_in or tokens_out else None


def _count(usage: Mapping[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := usage.get(name), int) and value > 0), 0)


def guessed(request: Request, said: str) -> tuple[int, int, int, int]:
    """The counts of a call whose provider tells none, so that budgets hold all the same."""
    return estimate_request(request), estimate(said), 0, 0
