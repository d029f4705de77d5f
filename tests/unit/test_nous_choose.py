"""Which model answers, what its name may look like, and what a text weighs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nous_chat_server import answers
from nous_messages_server import Server

from anima.config.schema import Definition, Models
from anima.errors import ConfigError
from anima.nous.anthropic import DEFAULT_MODEL
from anima.nous.choose import Access, choose, modules_needed, open_model, parse_model
from anima.nous.model import Call, Message, Request, ToolSpec
from anima.nous.ollama import probe
from anima.nous.presets import DECIDING, PRESETS, ollama_url
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
        ("antropic:x", "did you mean 'anthropic'.*anthropic:.*openai:.*ollama:MODEL.*scripted:FILE, reflex, or as the NAME"),
        ("compatible:x", "no model provider 'compatible'"),
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


def keyed(**environ: str) -> Access:
    return Access(environ)


def test_what_is_configured_is_taken_without_comment():
    assert choose("reflex", keyed(ANTHROPIC_API_KEY="k")).model_name == "reflex"
    assert choose("reflex", Access()).why == ""
    assert choose("mine", Access(definitions={"mine": Definition()})).model_name == "mine"


def test_a_wrong_configuration_is_an_error_and_not_a_fallback():
    with pytest.raises(ConfigError):
        choose("gpt:5", Access())


def test_a_key_decides_when_nothing_is_configured():
    by_environment = choose("", keyed(ANTHROPIC_API_KEY="k"))
    assert by_environment.model_name == f"anthropic:{DEFAULT_MODEL}"
    assert "ANTHROPIC_API_KEY" in by_environment.why
    by_settings = choose("", Access(models=Models(anthropic_api_key="k")))
    assert by_settings.model_name == f"anthropic:{DEFAULT_MODEL}"
    assert "models.anthropic_api_key" in by_settings.why
    assert "ANTHROPIC_AUTH_TOKEN" in choose("", keyed(ANTHROPIC_AUTH_TOKEN="sk-ant-oat-1")).why


@pytest.mark.parametrize("provider", DECIDING)
def test_the_key_of_another_provider_decides_where_there_is_none_of_anthropic(provider):
    variable = PRESETS[provider].key_variable
    choice = choose("", keyed(**{variable: "k"}), probe=lambda _: pytest.fail("a key decides before an Ollama"))
    assert choice.model_name == f"{provider}:{PRESETS[provider].model}"
    assert variable in choice.why
    assert choose("", keyed(**{variable: "k", "ANTHROPIC_API_KEY": "k"})).model_name.startswith("anthropic:")


def test_an_ollama_on_this_machine_decides_where_there_is_no_key():
    asked = []
    choice = choose("", Access(), probe=lambda url: asked.append(url) or "llama9:8b")
    assert asked == ["http://127.0.0.1:11434"]
    assert choice.model_name == "ollama:llama9:8b"
    assert "Ollama answers at http://127.0.0.1:11434" in choice.why
    assert parse_model(choice.model_name) == ("ollama", "llama9:8b")


def test_without_a_key_the_reflex_answers_and_says_how_to_change_it():
    for environ in ({}, {"ANTHROPIC_API_KEY": " "}):
        choice = choose("", Access(environ), probe=lambda _: "")
        assert choice.model_name == "reflex"
        assert "ANTHROPIC_API_KEY is not set" in choice.why
        assert "agent.toml" in choice.why
        assert "\n" not in choice.why


@pytest.mark.parametrize(
    ("setting", "variable", "url"),
    [
        ("", "", "http://127.0.0.1:11434"),
        ("", "0.0.0.0", "http://127.0.0.1:11434"),
        ("", "box", "http://box:11434"),
        ("", "box:9", "http://box:9"),
        ("", "https://box/ollama/", "https://box/ollama"),
        ("http://box:9/v1", "other", "http://box:9"),
    ],
)
def test_where_ollama_is_follows_its_own_variable(setting, variable, url):
    assert ollama_url(setting, {"OLLAMA_HOST": variable}) == url


def test_the_probe_takes_the_newest_model_and_no_for_an_answer():
    async def go() -> list[str]:
        tags = {"models": [{"name": "nomic-embed-text"}, {"name": "llama9:8b"}, {"name": "old:1b"}]}
        found = []
        for play in (answers(200, tags), answers(200, "<html>", "text/html"), answers(404, ""), answers(200, {"models": []})):
            async with Server(play) as server:
                found.append(await asyncio.to_thread(probe, server.url))
        found.append(await asyncio.to_thread(probe, "http://127.0.0.1:1"))
        return found

    assert asyncio.run(go()) == ["llama9:8b", "", "", "", ""]


def test_a_missing_key_names_the_variable_and_the_file():
    with pytest.raises(ConfigError, match=r"ANTHROPIC_API_KEY.*models.anthropic_api_key in anima.toml.*reflex"):
        open_model("anthropic:claude-x", Access())


def test_settings_win_over_the_environment_and_no_secret_shows():
    access = Access(
        {"ANTHROPIC_API_KEY": "from-env", "ANTHROPIC_BASE_URL": "http://env"},
        models=Models(anthropic_api_key="from-file", anthropic_base_url="http://file"),
    )
    assert "from-" not in repr(access)
    model = open_model("anthropic", access)
    assert model.name == "anthropic"
    assert f"anthropic:{DEFAULT_MODEL} at http://file" in repr(model)
    assert "from-" not in repr(model)


def test_the_root_learns_what_to_import_without_importing_it():
    assert "anthropic" in modules_needed("anthropic:x", Access())
    assert modules_needed("openai:x", Access()) == modules_needed("ollama:x", Access()) == ("httpx",)
    assert modules_needed("reflex", Access()) == modules_needed("scripted:x", Access()) == ()
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
    assert provider in ("anthropic", "scripted", "reflex", *PRESETS)


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
