"""How many tokens a text weighs: estimated without a tokenizer, and corrected by the usage that each reply reports.

`estimate` counts for the hungriest tokenizer there is: a little too many is the safe side for a budget. The vendor's
glossary gives about 3.5 English characters per token for Claude, and its notes on newer tokenizers about 30 % more tokens
for the same text: 3.5 / 1.3 = 2.7 ASCII characters per token. Outside ASCII the UTF-8 length is the better measure,
because scripts with longer encodings also split finer: at 2.3 bytes per token a Chinese character weighs 1.3, an emoji 1.7,
a Cyrillic or accented letter 0.9 tokens.

`Estimator` knows one model: it begins with what is known of its tokenizer and learns from every reply.
"""

import math
import re
from dataclasses import dataclass, replace

from anima.nous.model import Message, Request

_ASCII_CHARS_PER_TOKEN = 2.7
_OTHER_BYTES_PER_TOKEN = 2.3
_FRAME_TOKENS = 4  # what roles and separators around one message cost
_IMAGE_TOKENS = 1_600  # about a megapixel, where the vendors' own formulas end

_FACTORS = (  # of a model's tokens to `estimate`'s, before anything was seen; the first pattern that is found counts
    (r"claude-(?:3|[a-z]+-4(?:-[0-6](?!\d)|-\d{8}|$))", 0.77),  # Claude until 4.6: 3.5 characters a token
    (r"claude", 1.0),
    (r"gpt|openai|\bo\d", 0.72),  # o200k: about 4 English characters a token, less in code
    (r"gemini|gemma", 0.75),
    (r"qwen|llama|mistral|deepseek|doubao|glm|kimi", 0.85),
)
_ERROR_AT_FIRST = 0.3  # what a beginner's guess may be off by
_TELLING_TOKENS = 256  # a smaller request is mostly frames that nobody sees, and says nothing about a text
_RATIO_MIN, _RATIO_MAX = 0.2, 5.0  # a reply that reports less or more of what was sent is mistaken
_LEARNING = 0.2  # share of the newest reply, once some were seen


@dataclass(frozen=True, slots=True)
class Estimator:
    """What is known about the tokens of one model."""

    factor: float = 1.0  #: tokens of the model to those of `estimate`
    error: float = _ERROR_AT_FIRST  #: how far estimates were off of late, as a share of the truth
    replies: int = 0  #: from which it has learned

    def tokens(self, estimated: int) -> int:
        """The model's own tokens for what `estimate` or `estimate_request` said; as likely too many as too few."""
        return math.ceil(estimated * self.factor)

    def at_most(self, estimated: int) -> int:
        """So many tokens it will hardly be more than: the estimate and its usual error. For budgets and windows."""
        return math.ceil(estimated * self.factor * (1 + self.error))

    def after(self, estimated: int, reported: int) -> "Estimator":
        """What is known after a reply to `estimated` tokens that counted `reported`, cached ones included."""
        ratio = reported / estimated if estimated >= _TELLING_TOKENS else 0.0
        if not _RATIO_MIN <= ratio <= _RATIO_MAX:
            return self
        off = abs(self.factor - ratio) / ratio
        share = max(_LEARNING, 1 / (self.replies + 1))
        return replace(
            self,
            factor=self.factor + share * (ratio - self.factor),
            error=self.error + max(_LEARNING, 1 / (self.replies + 2)) * (off - self.error),
            replies=self.replies + 1,
        )


def estimator(model_name: str) -> Estimator:
    """What is known of a model before it was asked, by its name (`provider:model`, or its provider's own name)."""
    return Estimator(next((factor for pattern, factor in _FACTORS if re.search(pattern, model_name.lower())), 1.0))


def estimate(text: str) -> int:
    """Tokens of `text`, rounded up; 0 only for the empty text. Linear, at memory speed."""
    if text.isascii():
        return math.ceil(len(text) / _ASCII_CHARS_PER_TOKEN)
    ascii_chars = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode("utf-8", "surrogatepass")) - ascii_chars
    return math.ceil(ascii_chars / _ASCII_CHARS_PER_TOKEN + other_bytes / _OTHER_BYTES_PER_TOKEN)


def estimate_message(message: Message) -> int:
    """Tokens of one message with its calls and pictures. Thoughts are not counted: they go back within one turn only."""
    calls = sum(estimate(f"{call.tool}{dict(call.args)}") + _FRAME_TOKENS for call in message.calls)
    return estimate(message.text) + _FRAME_TOKENS + calls + _IMAGE_TOKENS * len(message.images)


def estimate_request(request: Request) -> int:
    """Tokens of everything the model is given: system prompt, tools, messages with their calls."""
    total = estimate(request.system) + estimate(request.reminder)
    for tool in request.tools:
        total += estimate(f"{tool.name}{tool.summary}{dict(tool.schema)}") + _FRAME_TOKENS
    return total + sum(map(estimate_message, request.messages))
