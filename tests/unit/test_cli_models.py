"""`animactl models`: the list, whether keys work, and how it looks on a narrow terminal."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nous_chat_server import answers, fails
from nous_messages_server import Server, says

from anima.cli.models import lines, price, window
from anima.cli.terminal import columns_of
from anima.config.schema import Definition, Models
from anima.nous.catalog import check, entry
from anima.nous.choose import Access
from anima.nous.retry import Policy

ROOT = Path(__file__).parents[2]
LISTED = {"object": "list", "data": [{"id": "m"}, {"id": "models/n"}, "odd"]}


def animactl(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from anima.cli.main import main; main()", "--home", str(home), *words],
        check=False, cwd=ROOT, env={**os.environ, **environ},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.toml").write_text(
        'model = "qwen"\nbase_url = "http://127.0.0.1:1/v1"\nprice_in = 0.5\nprice_out = 1.5\nwindow_tokens = 32000\n'
    )
    (tmp_path / "agents" / "arya").mkdir(parents=True)
    (tmp_path / "agents" / "arya" / "agent.toml").write_text('model = "mine"\nfallbacks = ["openai:gpt-6-luna"]\n')
    (tmp_path / "agents" / "arya" / "persona.md").write_text("You are Arya.\n")
    return tmp_path


def test_the_list_says_name_price_window_key_and_who_uses_it(home):
    told = {each["name"]: each for each in map(json.loads, animactl(home, "models", "--json").stdout.splitlines())}
    assert list(told) == ["reflex", "mine", "openai:gpt-6-luna"]
    assert told["mine"]["used_by"] == ["arya"]
    assert (told["mine"]["price_in"], told["mine"]["price_out"], told["mine"]["window_tokens"]) == (0.5, 1.5, 32_000)
    assert told["openai:gpt-6-luna"]["used_by"] == ["fallback of arya"]
    assert [told[name]["key"] for name in told] == ["none", "none", "missing"]


def test_a_key_in_the_environment_is_told_and_never_shown(home):
    done = animactl(home, "models", "--json", GEMINI_API_KEY="AIza-SECRET")
    told = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert told["gemini:gemini-3.8-flash"]["key"] == "set"
    assert told["gemini:gemini-3.8-flash"]["used_by"] == ["house"]
    assert "SECRET" not in done.stdout + done.stderr


def test_a_check_exits_1_if_a_model_in_use_does_not_work(home):
    done = animactl(home, "models", "--check")
    assert done.returncode == 1
    assert "unreachable" in done.stdout
    assert "2 models in use cannot answer: mine, openai:gpt-6-luna" in done.stderr


def test_wrong_settings_are_one_sentence(home):
    (home / "models" / "mine.toml").write_text("modle = 1")
    done = animactl(home, "models")
    assert (done.returncode, done.stdout) == (1, "")
    assert "mine.toml:1: modle: unknown key" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_the_table_fits_the_terminal(columns):
    rows = [
        {"name": "openrouter:" + "x" * 80, "key": "works", "price_in": 1.0, "price_out": 2.0, "window_tokens": 200_000},
        {"name": "reflex", "key": "none", "price_in": 0.0, "price_out": 0.0, "window_tokens": 0},
    ]
    table = lines([{**each, "used_by": ["arya", "b" * 40], "note": ""} for each in rows], columns)
    assert max(map(columns_of, table)) <= columns
    assert "MODEL" in table[0]
    assert "KEY" in table[0]
    assert "works" in table[1]


def test_prices_and_windows_are_short_words():
    assert (price(None, 1.0), price(0.0, 0.0), price(0.1, 0.5), price(2.0, 10.0)) == ("?", "free", "$0.1/$0.5", "$2/$10")
    assert (window(0), window(500), window(200_000), window(1_050_000)) == ("?", "500", "200k", "1.05M")


def access_to(url: str, model: str = "m", provider: str = "compatible") -> Access:
    definition = Definition(provider=provider, base_url=url, model=model, api_key="k")
    return Access(definitions={"mine": definition}, policy=Policy(total_s=0))


@pytest.mark.parametrize(
    ("play", "model", "key", "note"),
    [
        (answers(200, LISTED), "m", "works", ""),
        (answers(200, LISTED), "n", "works", ""),
        (answers(200, LISTED), "other", "refused", "has no model 'other'"),
        (answers(200, {"data": []}), "m", "works", ""),
        (fails(401, "bad key"), "m", "refused", "refused the key"),
        (fails(500), "m", "unreachable", "failed with status 500"),
        (answers(200, "<html>", "text/html"), "m", "refused", "answered with text/html"),
    ],
)
def test_a_check_asks_for_the_list_of_models(play, model, key, note):
    async def go():
        async with Server(play) as server:
            return await check("mine", access_to(server.url, model)), server

    (told, sentence), server = asyncio.run(go())
    assert told == key
    assert note in sentence
    assert server.headers[0]["line"].startswith("GET /models ")


def test_a_check_of_claude_asks_for_one_word():
    async def go():
        async with Server(says("ok")) as server:
            models = Models(anthropic_api_key="k", anthropic_base_url=server.url)
            return await check("anthropic:m", Access(models=models, policy=Policy(total_s=0))), server

    told, server = asyncio.run(go())
    assert told == ("works", "")
    assert server.requests[0]["max_tokens"] <= 16


def test_a_name_that_is_none_is_listed_with_its_complaint():
    told = entry("gtp:x", ("arya",), Access())
    assert told.key == "missing"
    assert "no model provider 'gtp'" in told.note
