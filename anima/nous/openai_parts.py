"""What both of OpenAI's dialects share: arguments of calls read, characters mended, a reminder dressed, usage counted. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from anima.nous.model import Call, Image, Request, Text, Thinking, storable
from anima.nous.retry import Transient
from anima.nous.tokens import estimate, estimate_request

BLANK = "(an empty message)"  # some of the APIs refuse a message without visible characters
PICTURES = "(the pictures that the tools above answered with)"

_OPEN, _CLOSE = "<think>", "</think>"
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


class Tagged:
    """An answer that begins with its thoughts in <think> tags, as open models speak whose server does not take them apart."""

    def __init__(self) -> None:
        self._held = ""  # what may yet become a tag, or blanks around one
        self._place: Literal["before", "inside", "closed", "behind"] = "before"

    def feed(self, piece: str) -> Iterator[Text | Thinking]:
        """The pieces of thought and of answer that are certain with this piece of text."""
        self._held += piece
        if self._place == "before":
            self._begin()
        if self._place == "inside":
            thought, closed, answer = self._held.partition(_CLOSE)
            kept = 0 if closed else _overlap(thought)
            self._held = answer if closed else thought[len(thought) - kept :]
            self._place = "closed" if closed else "inside"
            if thought := thought[: len(thought) - kept]:
                yield Thinking(thought)
        if self._place == "closed":  # the blanks between the thoughts and the answer are neither
            self._held = self._held.lstrip()
            self._place = "behind" if self._held else "closed"
        if self._place == "behind" and self._held:
            yield Text(self._held)
            self._held = ""

    def _begin(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith(_OPEN):
            self._place, self._held = "inside", begun.removeprefix(_OPEN)
        elif begun and not _OPEN.startswith(begun):
            self._place = "behind"

    def end(self) -> Iterator[Text | Thinking]:
        """What was held back and became no tag."""
        held, self._held = self._held, ""
        if held:
            yield Thinking(held) if self._place == "inside" else Text(held)


def _overlap(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of the closing tag."""
    return next((size for size in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:size])), 0)


def counts(usage: object) -> tuple[int, int, int, int] | None:
    """Tokens in, out, read from and written to the cache, by either dialect's names; None if nothing was told."""
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    read = _count(details, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")  # the latter is DeepSeek's
    written = _count(details, "cache_write_tokens")
    tokens_in, tokens_out = _count(usage, "prompt_tokens", "input_tokens"), _count(usage, "completion_tokens", "output_tokens")
    tokens_out = max(tokens_out, _count(usage, "total_tokens") - tokens_in)  # Gemini counts thoughts in the total alone
    return (tokens_in, tokens_out, read, written) if tokens_in or tokens_out else None


def _count(usage: Mapping[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := usage.get(name), int) and value > 0), 0)


def guessed(request: Request, said: str) -> tuple[int, int, int, int]:
    """The counts of a call whose provider tells none, so that budgets hold all the same."""
    return estimate_request(request), estimate(said), 0, 0
