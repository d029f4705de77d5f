"""How many tokens a text weighs, estimated without a tokenizer; for budgets, where a little too many is the safe side.

The vendor's glossary gives about 3.5 English characters per token for Claude, and its notes on newer tokenizers about
30 % more tokens for the same text: 3.5 / 1.3 = 2.7 ASCII characters per token. Outside ASCII the UTF-8 length is the
better measure, because scripts with longer encodings also split finer: at 2.3 bytes per token a Chinese character
weighs 1.3, an emoji 1.7, a Cyrillic or accented letter 0.9 tokens. Real counts come from the usage each reply reports.
"""

import math

from anima.nous.model import Request

_ASCII_CHARS_PER_TOKEN = 2.7
_OTHER_BYTES_PER_TOKEN = 2.3
_FRAME_TOKENS = 4  # what roles and separators around one message cost


def estimate(text: str) -> int:
    """Tokens of `text`, rounded up; 0 only for the empty text. Linear, at memory speed."""
    if text.isascii():
        return math.ceil(len(text) / _ASCII_CHARS_PER_TOKEN)
    ascii_chars = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode("utf-8", "surrogatepass")) - ascii_chars
    return math.ceil(ascii_chars / _ASCII_CHARS_PER_TOKEN + other_bytes / _OTHER_BYTES_PER_TOKEN)


def estimate_request(request: Request) -> int:
    """Tokens of everything the model is given: system prompt, tools, messages with their calls."""
    total = estimate(request.system) + estimate(request.reminder)
    for tool in request.tools:
        total += estimate(f"{tool.name}{tool.summary}{dict(tool.schema)}") + _FRAME_TOKENS
    for message in request.messages:
        total += estimate(message.text) + _FRAME_TOKENS
        total += sum(estimate(f"{call.tool}{dict(call.args)}") + _FRAME_TOKENS for call in message.calls)
    return total
