"""models/NAME.toml: definitions that agents share, checked like all settings."""

import pytest

from anima.config.load import agent_digest, load_agent, load_house
from anima.config.schema import MODEL_PROVIDERS
from anima.errors import ConfigError
from anima.nous.presets import PRESETS
from anima.paths import Home


@pytest.fixture
def home(tmp_path):
    (tmp_path / "models").mkdir()
    return Home(tmp_path, tmp_path / "run")


def define(home: Home, text: str, name: str = "mine") -> None:
    (home.models / f"{name}.toml").write_text(text)


def test_a_house_without_definitions_has_none(tmp_path):
    assert load_house(Home(tmp_path, tmp_path / "run"), {}).definitions == {}


def test_a_definition_is_read_with_its_headers_params_and_references(home):
    home.secrets.write_text('qwen = "sk-from-secrets"\n')
    home.secrets.chmod(0o600)
    define(
        home,
        """
        base_url = "https://${HOST}/v1"
        model = "qwen"
        api_key = "${credential:qwen}"
        price_in = 1
        window_tokens = 32_000
        fallbacks = ["anthropic:claude-x", "reflex"]
        [headers]
        X-Team = "${TEAM}"
        [params]
        temperature = 0.5
        nested = { a = [1, 2] }
        """,
    )
    house = load_house(home, {"HOST": "host", "TEAM": "team-secret"})
    mine = house.definitions["mine"]
    assert (mine.provider, mine.base_url, mine.model, mine.api_key) == (
        "compatible",
        "https://host/v1",
        "qwen",
        "sk-from-secrets",
    )
    assert (mine.price_in, mine.price_out, mine.window_tokens) == (1.0, -1.0, 32_000)
    assert mine.fallbacks == ("anthropic:claude-x", "reflex")
    assert mine.headers == {"X-Team": "team-secret"}
    assert mine.params == {"temperature": 0.5, "nested": {"a": [1, 2]}}
    assert {"sk-from-secrets", "team-secret"} <= house.secrets
    assert "secret" not in repr(house)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('modle = "x"', r"mine.toml:1: modle: unknown key; did you mean 'model'\?"),
        ('model = "x"', "mine.toml:1: base_url: is missing; say where the server is"),
        ('provider = "ollama"', "model: is missing; say what the server calls the model"),
        ('\nprovider = "opnai"', "mine.toml:2: provider: 'opnai' is not known; allowed is compatible or anthropic"),
        ('provider = "openai"\nfallbacks = "reflex"', "mine.toml:2: fallbacks: is 'reflex', allowed is a list of texts"),
        ('provider = "openai"\nfallbacks = [1]', "fallbacks: entry 1 is 1, allowed is a list of texts"),
        ('provider = "openai"\nfallbacks = ["gtp:x"]', "mine.toml:2: fallbacks: there is no model 'gtp:x'"),
        ('provider = "openai"\nprice_in = -2', "price_in: -2.0 is out of range"),
        ('provider = "openai"\n[headers]\nX = 1', "mine.toml:3: headers.X: is no header"),
        ('provider = "openai"\n[headers]\nX = "a\\nb"', "headers.X: is no header"),
        ('provider = "openai"\n[headers]\n"X Y" = "a"', "headers.X Y: is no header"),
        ('provider = "openai"\n[headers]\nX = ""', "headers.X: is no header"),
        ('provider = "openai"\nheaders = 1', r"headers: is a section; write \[headers\]"),
        ('provider = "openai"\n[params]\nmodel = "y"', "mine.toml:3: params.model: cannot be set here"),
        ('provider = "openai"\napi_key = "${NOPE}"', "mine.toml:2: api_key: the environment variable NOPE is not set"),
        ("[", "not valid TOML"),
    ],
)
def test_a_wrong_definition_is_told_with_file_line_and_way_out(home, text, complaint):
    define(home, text)
    with pytest.raises(ConfigError, match=complaint):
        load_house(home, {})


@pytest.mark.parametrize("name", [*MODEL_PROVIDERS, "reflex", "scripted"])
def test_a_definition_cannot_take_the_name_of_a_provider(home, name):
    define(home, 'provider = "openai"', name)
    with pytest.raises(ConfigError, match="means the provider of that name; give the file another one"):
        load_house(home, {})


def test_a_definition_needs_a_name_that_can_be_written(home):
    define(home, 'provider = "openai"', "Two Words")
    with pytest.raises(ConfigError, match="Two Words"):
        load_house(home, {})


def test_a_model_that_nobody_knows_is_told_where_it_stands(home):
    define(home, 'provider = "openai"')
    home.config.write_text('[models]\nfallbacks = ["mine", "openai:x", "scripted:f"]\nfast_model = "their"\n')
    with pytest.raises(ConfigError, match=r"anima.toml:3: models.fast_model: there is no model 'their'"):
        load_house(home, {})
    (home.agents / "arya").mkdir(parents=True)
    (home.agent("arya") / "persona.md").write_text("You are Arya.\n")
    (home.agent("arya") / "agent.toml").write_text('\nfallbacks = ["mine", "compatible:x"]\n')
    with pytest.raises(ConfigError, match=r"agent.toml:2: fallbacks: there is no model 'compatible:x'"):
        load_agent(home, "arya", {})
    (home.agent("arya") / "agent.toml").write_text('fallbacks = ["mine", "reflex"]\nfast_model = "mine"\n')
    assert load_agent(home, "arya", {}).fast_model == "mine"


def test_the_providers_of_definitions_are_those_that_exist():
    assert set(MODEL_PROVIDERS) == {"anthropic", *PRESETS}


def test_a_changed_definition_restarts_the_agents(home):
    (home.agents / "arya").mkdir(parents=True)
    (home.agent("arya") / "agent.toml").write_text('model = "mine"\nfallbacks = ["reflex"]\n')
    (home.agent("arya") / "persona.md").write_text("You are Arya.\n")
    define(home, 'provider = "openai"\nmodel = "a"')
    agent = load_agent(home, "arya", {})
    assert agent.fallbacks == ("reflex",)
    before = agent_digest(home, "arya", load_house(home, {}), agent)
    define(home, 'provider = "openai"\nmodel = "b"')
    assert agent_digest(home, "arya", load_house(home, {}), agent) != before
