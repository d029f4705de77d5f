"""What a call costs, and what a definition says over the built-in table."""

from datetime import date

import pytest

from anima.config.schema import Definition
from anima.nous.anthropic import DEFAULT_MODEL
from anima.nous.choose import Access, about
from anima.nous.model import Done
from anima.nous.presets import PRESETS
from anima.nous.prices import AS_OF, FREE, Price, known


def test_each_sort_of_token_has_its_price():
    price = Price(read=2.0, written=10.0, cache_read=0.2, cache_written=2.5)
    done = Done("end_turn", 1_000_000, 100_000, cache_read=500_000, cache_written=300_000)
    assert price.of(done) == pytest.approx(0.2 * 2 + 0.5 * 0.2 + 0.3 * 2.5 + 0.1 * 10)
    assert price.of(Done("end_turn", 10, 0, cache_read=20)) > 0, "counts that contradict each other cost no negative amount"


def test_a_long_request_costs_more():
    price = known("anthropic", "claude-haiku-5-5").price
    assert price.of(Done("end_turn", 100_000, 0)) == pytest.approx(0.01)
    assert price.of(Done("end_turn", 200_000, 0)) == pytest.approx(0.10)


def test_the_longest_beginning_of_a_name_is_meant():
    assert known("gemini", "gemini-3.5-flash-lite-002").price.read == 0.30
    assert known("gemini", "gemini-3.5-flash").price.read == 1.50
    assert known("anthropic", "claude-sonnet-5-5-20260928").window_tokens == 1_000_000


def test_the_models_that_are_taken_by_themselves_have_a_price():
    assert known("anthropic", DEFAULT_MODEL).price
    for provider in ("openai", "gemini"):
        assert known(provider, PRESETS[provider].model).price


def test_what_runs_on_ones_own_machine_is_free_and_what_nobody_knows_is_unknown():
    assert known("ollama", "llama9").price == FREE
    assert known("openrouter", "x/y").price is None
    assert known("compatible", "x").price is None


def test_a_definition_knows_better_price_by_price():
    over = known("openai", "gpt-6-sol", Definition(price_out=1.0, window_tokens=5))
    assert (over.price.read, over.price.written, over.window_tokens) == (2.0, 1.0, 5)
    own = known("compatible", "x", Definition(price_in=3.0, price_out=4.0)).price
    assert (own.read, own.written, own.cache_read, own.cache_written) == (3.0, 4.0, 3.0, 3.0)
    assert known("compatible", "x", Definition(price_in=3.0)).price is None
    assert known("anthropic", "claude-sonnet-5-5", Definition(price_in=0.0, price_out=0.0)).price.read == 0.0


def test_a_model_is_known_by_its_name_and_by_the_one_that_a_reply_bears():
    mine = Definition(base_url="http://x", model="qwen", price_in=1.0, price_out=2.0, window_tokens=7)
    cheap = Definition(provider="openai", model="gpt-6-luna")
    access = Access(definitions={"mine": mine, "cheap": cheap})
    assert about("mine", access) == about("mine:qwen", access)
    assert about("mine:qwen", access).window_tokens == 7
    assert about("cheap", access) == about("openai:gpt-6-luna", access)
    assert about("anthropic", access) == about(f"anthropic:{DEFAULT_MODEL}", access)
    assert about("reflex", access).price == about("scripted:f", access).price == FREE


def test_the_table_says_of_which_day_it_is():
    assert date.fromisoformat(AS_OF)
