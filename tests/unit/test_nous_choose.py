"""Which model answers, what its name may look like, and what a text weighs."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import ConfigError
from anima.nous.anthropic import DEFAULT_MODEL
from anima.nous.choose import Access, choose, modules_needed, open_model, parse_model
from anima.nous.model import Call, Message, Request, ToolSpec
from anima.nous.tokens import estimate, estimate_request
from anima.nous.words import words

ROOT = Path(__file__).parents[2]


def test_a_name_is_provider_and_model():
    assert parse_model("anthropic:claude-x") == ("anthropic", "claude-x")
    assert parse_model(" scripted:/a/b:c.jsonl ") == ("scripted", "/a/b:c.jsonl")
    assert parse_model("reflex") == ("reflex", "")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("antropic:x", "did you mean 'anthropic'.*anthropic:.*scripted:FILE, reflex"),
        ("", "no model provider ''"),
        ("claude-sonnet-5-5", "no model provider"),
        ("reflex:big", "write just 'reflex'"),
    ],
)
def test_a_name_that_is_none_says_what_names_look_like(name, complaint):
    with pytest.raises(ConfigError, match=complaint):
        parse_model(name)
    with pytest.raises(ConfigError, match=complaint):
        open_model(name, Access())


def test_what_is_configured_is_taken_without_comment():
    assert choose("reflex", {"ANTHROPIC_API_KEY": "k"}).model_name == "reflex"
    assert choose("reflex", {}).why == ""


def test_a_wrong_configuration_is_an_error_and_not_a_fallback():
    with pytest.raises(ConfigError):
        choose("gpt:5", {})


def test_a_key_decides_when_nothing_is_configured():
    by_environment = choose("", {"ANTHROPIC_API_KEY": "k"})
    assert by_environment.model_name == f"anthropic:{DEFAULT_MODEL}"
    assert "ANTHROPIC_API_KEY" in by_environment.why
    assert choose("", {}, "k").model_name == f"anthropic:{DEFAULT_MODEL}"


def test_without_a_key_the_reflex_answers_and_says_how_to_change_it():
    for environ in ({}, {"ANTHROPIC_API_KEY": " "}):
        choice = choose("", environ)
        assert choice.model_name == "reflex"
        assert "ANTHROPIC_API_KEY is not set" in choice.why
        assert "agent.toml" in choice.why
        assert "\n" not in choice.why


def test_a_missing_key_names_the_variable_and_the_file():
    with pytest.raises(ConfigError, match=r"ANTHROPIC_API_KEY.*models.anthropic_api_key in anima.toml.*reflex"):
        open_model("anthropic:claude-x", Access())


def test_settings_win_over_the_environment_and_no_secret_shows():
    access = Access(
        {"ANTHROPIC_API_KEY": "from-env", "ANTHROPIC_BASE_URL": "http://env"},
        anthropic_api_key="from-file",
        anthropic_base_url="http://file",
    )
    assert "from-" not in repr(access)
    model = open_model("anthropic", access)
    assert model.name == f"anthropic:{DEFAULT_MODEL}"
    assert "http://file" in repr(model)
    assert "from-" not in repr(model)


def test_the_root_learns_what_to_import_without_importing_it():
    assert "anthropic" in modules_needed("anthropic:x")
    assert modules_needed("reflex") == modules_needed("scripted:x") == ()
    heavy = ("anthropic", "httpx", "pydantic", "sqlite_utils")
    program = f"import sys, anima.nous.choose; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@given(st.text())
def test_any_name_is_parsed_or_a_configuration_error(name):
    try:
        provider, _ = parse_model(name)
    except ConfigError:
        return
    assert provider in ("anthropic", "scripted", "reflex")


@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text_and_is_zero_only_for_nothing(one, other):
    assert (estimate(one) == 0) == (one == "")
    assert estimate(one + other) >= max(estimate(one), estimate(other))
    assert estimate(one + other) <= estimate(one) + estimate(other)


def test_a_chinese_text_weighs_more_per_character_than_an_english_one():
    assert estimate("a" * 270) == 100
    assert 100 <= estimate("日" * 100) <= 200
    assert estimate("\ud800") > 0


def test_a_request_weighs_all_that_is_sent():
    tool = ToolSpec("exec", "runs a command", {"type": "object"})
    message = Message("assistant", "hello", (Call("1", "exec", {"command": "ls"}),))
    bare = estimate_request(Request("", ()))
    assert estimate_request(Request("", (), reminder="Be kind.")) == estimate("Be kind.")
    assert bare == 0
    assert estimate_request(Request("sys", (message,), (tool,))) > estimate("sys") + estimate("hello") + estimate("exec")


@given(st.text())
def test_words_joined_are_the_text(text):
    assert "".join(words(text)) == text
    assert all(words(text))
