"""Estimates of tokens, and how the usage of replies corrects them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.nous.model import Call, Image, Message, Request
from anima.nous.tokens import Estimator, estimate, estimate_message, estimate_request, estimator


def test_a_model_that_counts_otherwise_is_learned_within_a_few_replies():
    chance, known = random.Random(7), estimator("somebody:unheard-of")
    for _ in range(12):
        known = known.after(10_000, int(6_000 * chance.uniform(0.95, 1.05)))
    assert known.tokens(10_000) == pytest.approx(6_000, rel=0.04)
    assert known.error < 0.1
    assert known.replies == 12


def test_an_estimate_that_turns_out_right_grows_trustworthy_and_one_that_does_not_grows_doubtful():
    right = wrong = Estimator()
    for number in range(10):
        right = right.after(1_000, 1_000)
        wrong = wrong.after(1_000, 500 if number % 2 else 2_000)
    assert right.error < 0.05
    assert wrong.error > 0.3


@given(st.lists(st.tuples(st.integers(-10, 10**7), st.integers(-10, 10**9))))
def test_no_reply_whatever_it_reports_makes_an_estimator_useless(replies):
    known = Estimator()
    for estimated, reported in replies:
        known = known.after(estimated, reported)
    assert 0.2 <= known.factor <= 5
    assert 0 <= known.error <= 25
    assert known.at_most(1_000) >= known.tokens(1_000) > 0


def test_a_reply_without_usage_and_a_tiny_one_teach_nothing():
    assert Estimator().after(10_000, 0) == Estimator().after(100, 90) == Estimator()


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("anthropic:claude-sonnet-5-5", 1.0),
        ("anthropic:claude-opus-4-7", 1.0),
        ("anthropic:claude-sonnet-4-5-20250929", 0.77),
        ("claude-opus-4-20250514", 0.77),
        ("anthropic:claude-3-7-sonnet-20250219", 0.77),
        ("openai:gpt-6.1", 0.72),
        ("gemini:gemini-3.8-flash", 0.75),
        ("ollama:llama4", 0.85),
        ("mine", 1.0),
    ],
)
def test_what_is_known_of_a_tokenizer_stands_at_the_beginning(name, factor):
    assert estimator(name).factor == factor


@given(st.text())
def test_a_text_weighs_something_and_no_more_than_its_bytes(text):
    assert (estimate(text) > 0) == bool(text)
    assert estimate(text) <= len(text.encode("utf-8", "surrogatepass"))


def test_a_request_weighs_what_its_parts_weigh_pictures_and_calls_included():
    messages = (
        Message("user", "look", images=(Image("image/png", b"x"),)),
        Message("assistant", "", (Call("1", "exec", {"command": "ls -l"}),)),
    )
    request = Request("system", messages, reminder="always")
    assert estimate_request(request) == estimate("system") + estimate("always") + sum(map(estimate_message, messages))
    assert estimate_message(messages[0]) > 1_000
