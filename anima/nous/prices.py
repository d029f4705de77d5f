"""What models cost and how much they take at once, as far as it is known; a definition in models/ knows better.

US dollars for a million tokens, as the vendors' price pages had it on the day below. A price here is for budgets and
lists, not for bills. Where two sources differ the higher one stands, for a budget errs to the safe side.
"""

from dataclasses import dataclass, replace

from anima.config.schema import PRICE_UNKNOWN, Definition
from anima.nous.model import Done

AS_OF = "2026-11-24"  #: when this table was last held against the vendors' pages

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    read: float
    written: float
    cache_read: float
    cache_written: float
    long_from: int = 0  #: a request of more tokens than this costs `long_times` as much; 0: none does
    long_times: float = 1.0

    def of(self, done: Done) -> float:
        """What one call cost, in US dollars."""
        fresh = max(0, done.tokens_in - done.cache_read - done.cache_written)
        total = (
            fresh * self.read
            + done.cache_read * self.cache_read
            + done.cache_written * self.cache_written
            + done.tokens_out * self.written
        )
        long = self.long_from and done.tokens_in > self.long_from
        return total / _MILLION * (self.long_times if long else 1.0)


FREE = Price(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one model; 0 and None for what is not."""

    window_tokens: int = 0
    price: Price | None = None


def _claude(read: float, cache_read: float, window_tokens: int = 1_000_000, long_from: int = 0) -> Known:
    """Anthropic's rule: writing costs five times reading, writing to the five-minute cache 1.25 times."""
    return Known(window_tokens, Price(read, 5 * read, cache_read, 1.25 * read, long_from, 5.0))


def _gpt(read: float, written: float, cache_read: float, cache_written: float, window_tokens: int = 1_050_000) -> Known:
    """OpenAI's long requests have a tariff of their own, twice the usual one at the time of GPT-5.6."""
    return Known(window_tokens, Price(read, written, cache_read, cache_written, 272_000, 2.0))


def _gemini(read: float, written: float, long_from: int = 0) -> Known:
    """Google's cache costs a tenth to read from, and nothing to write to by itself."""
    return Known(1_048_576, Price(read, written, read / 10, read, long_from, 2.0))


#: By provider and beginning of the model's name; the longest beginning that fits is meant.
_TABLE: dict[tuple[str, str], Known] = {
    ("anthropic", "claude-fable-5-1"): _claude(10.0, 0.25),
    ("anthropic", "claude-fable-5"): _claude(10.0, 1.0),
    ("anthropic", "claude-opus-5-5"): _claude(4.0, 0.20),
    ("anthropic", "claude-opus-5"): _claude(5.0, 0.50),
    ("anthropic", "claude-opus-4"): _claude(5.0, 0.50, 200_000),
    ("anthropic", "claude-sonnet-5"): _claude(2.0, 0.20),
    ("anthropic", "claude-sonnet-4"): _claude(3.0, 0.30, 200_000),
    ("anthropic", "claude-haiku-5-5"): _claude(0.10, 0.01, long_from=100_000),
    ("anthropic", "claude-haiku-4-5"): _claude(1.0, 0.10, 200_000),
    ("openai", "gpt-6-astra"): _gpt(10.0, 50.0, 1.0, 12.5),
    ("openai", "gpt-6.1-sol"): _gpt(2.0, 10.0, 0.10, 2.5),
    ("openai", "gpt-6-sol"): _gpt(2.0, 10.0, 0.20, 2.5),
    ("openai", "gpt-6-luna"): _gpt(0.10, 0.50, 0.01, 0.125),
    ("openai", "gpt-5.6-terra"): _gpt(2.0, 12.0, 0.20, 2.0),
    ("openai", "gpt-5.6-luna"): _gpt(0.20, 1.20, 0.02, 0.20),
    ("gemini", "gemini-3.8-flash"): _gemini(1.50, 7.50),  # half of it until the end of 2026
    ("gemini", "gemini-3.5-flash"): _gemini(1.50, 9.0),
    ("gemini", "gemini-3.5-flash-lite"): _gemini(0.30, 2.50),
    ("gemini", "gemini-3.1-pro"): _gemini(2.0, 12.0, 200_000),
    ("gemini", "gemini-2.5-pro"): _gemini(1.25, 10.0, 200_000),
    ("gemini", "gemini-2.5-flash"): _gemini(0.30, 2.50),
}
_FREE_PROVIDERS = ("reflex", "scripted", "ollama", "vllm", "llamacpp", "lmstudio")  # run on machines of one's own


def known(provider: str, model: str, definition: Definition | None = None) -> Known:
    """What is known of a model; what the definition says comes first."""
    fitting = [name for maker, name in _TABLE if maker == provider and model.startswith(name)]
    found = _TABLE[provider, max(fitting, key=len)] if fitting else Known(price=FREE if provider in _FREE_PROVIDERS else None)
    if definition is None:
        return found
    return Known(definition.window_tokens or found.window_tokens, _priced(found.price, definition))


def _priced(price: Price | None, definition: Definition) -> Price | None:
    """The price with what the definition says put over it; prices of the cache follow from that of reading if nobody knows."""
    said = (definition.price_in, definition.price_out, definition.price_cache_read, definition.price_cache_written)
    if all(each == PRICE_UNKNOWN for each in said):
        return price
    if price is None:
        if PRICE_UNKNOWN in (definition.price_in, definition.price_out):
            return None
        price = Price(definition.price_in, definition.price_out, definition.price_in, definition.price_in)
    values = zip(said, (price.read, price.written, price.cache_read, price.cache_written), strict=True)
    read, written, cache_read, cache_written = (old if new == PRICE_UNKNOWN else new for new, old in values)
    return replace(price, read=read, written=written, cache_read=cache_read, cache_written=cache_written)
