"""Settings: read whole or refused with file, line, key and a way out."""

import os
import re
import string
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.config.create import create_agent
from anima.config.document import markdown
from anima.config.lines import key_lines
from anima.config.load import agent_digest, agent_names, load_agent, load_house
from anima.config.option import options
from anima.config.policy import workspace
from anima.config.schema import LAYERS, SECTIONS, Agent, Definition, House, Policy
from anima.errors import ConfigError, Refused, Unavailable
from anima.paths import Home
from anima.sandbox.jail import spec

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, tmp_path / "run")


def refused(home: Home, text: str, **environ: str) -> str:
    home.config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_house(home, environ)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{home.config}:")


def test_a_house_without_a_file_has_all_defaults(home: Home):
    assert load_house(home, {}) == House()


def test_what_the_file_says_replaces_the_default_and_only_that(home: Home):
    home.config.write_text("[supervisor]\nbeat_s = 2\n")
    house = load_house(home, {})
    assert house.supervisor.beat_s == 2.0
    assert type(house.supervisor.beat_s) is float
    assert house.supervisor.restart_burst == House().supervisor.restart_burst


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("x = = 1", "1:", "not valid TOML"),
        ('[models]\ndefault = "reflex', "2:", "not valid TOML"),
        ("\n\n[superviser]\n", "3: superviser", "did you mean 'supervisor'"),
        ("stray = 1\n", "1: stray", "unknown section"),
        ("log = 3\n", "1: log", "write [log]"),
        ("[supervisor]\n\n# beat\nbeat = 3\n", "4: supervisor.beat", "did you mean 'beat_s'"),
        ("[supervisor]\nbeat_s = '5'\n", "2: supervisor.beat_s", "a number from 0.05 to 3600 s"),
        ("[supervisor]\nbeat_s = nan\n", "2: supervisor.beat_s", "out of range"),
        ("[supervisor]\nbeat_s = true\n", "2: supervisor.beat_s", "is true"),
        ("[supervisor]\nrestart_burst = 2.5\n", "2: supervisor.restart_burst", "a whole number"),
        ("supervisor.restart_burst = 0\n", "1: supervisor.restart_burst", "from 1 to 1000"),
        ("[supervisor]\nrestart_delay_s = 90\n", "2: supervisor.restart_delay_s", "restart_delay_max_s"),
        ("[log]\nlevel = 'loud'\n", "2: log.level", "debug or info or warning or error"),
        ("[models]\ndefault = '${NOWHERE}'\n", "2: models.default", "NOWHERE is not set"),
        ("[models]\ndefault = '${credential:key}'\n", "2: models.default", "no credential 'key'"),
    ],
)
def test_a_wrong_setting_is_refused_with_line_key_and_what_is_allowed(home: Home, text: str, place: str, words: str):
    sentence = refused(home, text)
    assert sentence.startswith(place)
    assert words in sentence


def test_a_secret_of_the_wrong_type_is_not_shown_in_the_complaint(home: Home):
    assert "4711" not in refused(home, "[models]\nanthropic_api_key = 4711\n")


@pytest.mark.parametrize("text", [f"[log]\nbytes_max = {'9' * 5000}\n", f"x = {'[' * 5000}{']' * 5000}\n"])
def test_monstrous_values_are_refused_like_any_other(home: Home, text: str):
    refused(home, text)


def test_a_file_that_is_not_utf8_is_refused_with_its_line(home: Home):
    home.config.write_bytes(b"# fine\n# \xff\n")
    with pytest.raises(ConfigError, match=r"anima.toml:2: byte 0xff is not UTF-8"):
        load_house(home, {})


def test_references_are_replaced_and_take_the_type_of_the_option(home: Home):
    home.config.write_text("[models]\ndefault = 'anthropic:${MODEL}'\n[supervisor]\nrestart_burst = '${BURST}'\n")
    house = load_house(home, {"MODEL": "claude", "BURST": "7"})
    assert house.models.default == "anthropic:claude"
    assert house.supervisor.restart_burst == 7
    with pytest.raises(ConfigError, match=r"anima.toml:4: supervisor.restart_burst: is 'many'"):
        load_house(home, {"MODEL": "claude", "BURST": "many"})


def test_credentials_keys_and_whatever_they_flow_into_are_known_as_secrets(home: Home):
    home.secrets.write_text('anthropic = "sk-file-1"\nunused = "sk-file-2"\n')
    home.secrets.chmod(0o600)
    home.config.write_text("[models]\nanthropic_api_key = '${credential:anthropic}'\nanthropic_base_url = 'http://${HOST}/'\n")
    house = load_house(home, {"HOST": "somewhere", "ANTHROPIC_API_KEY": "sk-env"})
    assert house.secrets == {"sk-file-1", "sk-file-2", "sk-env"}
    assert house.models.anthropic_api_key == "sk-file-1"
    assert "sk-" not in repr(house)


def test_credentials_handed_over_by_systemd_come_before_the_file(home: Home, tmp_path: Path):
    given_by_systemd = tmp_path / "credentials"
    given_by_systemd.mkdir()
    (given_by_systemd / "key").write_text("from-systemd\n")
    home.secrets.write_text('key = "from-file"\n')
    home.secrets.chmod(0o600)
    home.config.write_text("[models]\nanthropic_api_key = '${credential:key}'\n")
    assert load_house(home, {"CREDENTIALS_DIRECTORY": str(given_by_systemd)}).models.anthropic_api_key == "from-systemd"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_secrets_that_others_may_read_are_refused(home: Home, mode: int):
    home.secrets.write_text('key = "x"\n')
    home.secrets.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_house(home, {})


def test_a_created_agent_loads_and_has_the_model_it_was_given(home: Home):
    create_agent(home, "arya", 'scripted:/a "strange" \\ path')
    assert agent_names(home) == ["arya"]
    assert load_agent(home, "arya", {}).model == 'scripted:/a "strange" \\ path'
    create_agent(home, "bran")
    assert load_agent(home, "bran", {}) == Agent()
    assert agent_names(home) == ["arya", "bran"]


@pytest.mark.parametrize("name", ["all", "journal", "Ärger", "a/b", "../x", "", ".hidden", "a" * 64, "a b", "-x", "agent:x"])
def test_a_name_no_agent_may_bear_creates_nothing(home: Home, name: str):
    with pytest.raises(Refused):
        create_agent(home, name)
    assert not home.agents.exists()


def test_a_second_agent_of_the_same_name_is_refused_and_the_first_untouched(home: Home):
    folder = create_agent(home, "arya")
    (folder / "persona.md").write_text("mine")
    with pytest.raises(Refused, match="already an agent 'arya'"):
        create_agent(home, "arya")
    assert (folder / "persona.md").read_text() == "mine"
    assert [each.name for each in home.agents.iterdir()] == ["arya"]


def test_an_agent_that_cannot_be_written_leaves_nothing_behind(home: Home):
    home.agents.parent.mkdir(exist_ok=True)
    home.agents.write_text("a file stands where the folder belongs")
    with pytest.raises(Unavailable, match="nothing was created"):
        create_agent(home, "arya")


@pytest.mark.parametrize(("content", "words"), [(None, "is missing"), ("", "is empty"), (" \n\t\n", "is empty")])
def test_a_persona_that_says_nothing_is_refused(home: Home, content: str | None, words: str):
    persona = create_agent(home, "arya") / "persona.md"
    persona.unlink() if content is None else persona.write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_agent(home, "arya", {})


def test_a_wrong_agent_file_names_file_line_and_key(home: Home):
    (create_agent(home, "arya") / "agent.toml").write_text("model = 'reflex'\ntime_zone = 'Berlin'\n")
    with pytest.raises(ConfigError, match=r"agent.toml:2: time_zone: 'Berlin' is not a time zone"):
        load_agent(home, "arya", {})


def test_a_folder_whose_name_no_agent_may_bear_is_listed_and_refused_on_loading(home: Home):
    create_agent(home, "arya").rename(home.agents / "Arya Stark")
    assert agent_names(home) == ["Arya Stark"]
    with pytest.raises(ConfigError, match="cannot name an agent"):
        load_agent(home, "Arya Stark", {})


def test_an_unknown_agent_is_refused_with_the_command_that_makes_it(home: Home):
    with pytest.raises(ConfigError, match="animactl create arya"):
        load_agent(home, "arya", {})


def test_an_agents_digest_changes_with_what_it_depends_on_and_with_nothing_else(home: Home):
    folder = create_agent(home, "arya")

    def now(**environ: str) -> str:
        return agent_digest(home, "arya", load_house(home, environ), load_agent(home, "arya", environ))

    first = now()
    (folder / "goals.md").write_text("what the agent writes about itself must not restart it")
    assert now() == first
    seen = {first}
    texts = {"persona.md": "you are", "soul.md": "soul", "always.md": "always", "agent.toml": "turn_steps_max = 3"}
    for file, text in texts.items():
        (folder / file).write_text(text)
        seen.add(now())
    home.config.write_text("[models]\ndefault = 'reflex'\nanthropic_api_key = '${KEY}'")
    seen |= {now(KEY="one"), now(KEY="two")}
    assert len(seen) == 7


def test_every_option_has_a_sentence_and_a_default_within_its_own_bounds():
    for section in (*SECTIONS.values(), Agent, Policy):
        for name, (default, about) in options(section).items():
            assert about.doc, name
            assert not about.doc.endswith("."), name
            assert not about.choices or default in about.choices or default == ()
            assert about.min is None or about.max is None or about.min <= default <= about.max


def refused_policy(home: Home, lines: str) -> str:
    """The complaint about an agent.toml with this below [policy], less the file's name."""
    file = home.agent("arya") / "agent.toml"
    if not file.exists():
        create_agent(home, "arya")
    file.write_text(f"model = 'reflex'\n[policy]\n{lines}")
    with pytest.raises(ConfigError) as caught:
        load_agent(home, "arya", {})
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{file}:")


def test_what_a_policy_says_replaces_the_default_and_only_that(home: Home, tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside")
    file = create_agent(home, "arya") / "agent.toml"
    file.write_text(f"[policy]\ntools = ['read_*', '${{TOOL}}']\nread = ['{outside}']\nwall_s = 5\nhosts = []\n")
    policy = load_agent(home, "arya", {"TOOL": "exec"}).policy
    assert policy == Policy(tools=("read_*", "exec"), read=(str(outside),), wall_s=5.0)
    assert type(policy.wall_s) is float


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        ("tool = []\n", "3: policy.tool", "did you mean 'tools'"),
        ("tools = '*'\n", "3: policy.tools", "is '*', allowed is a list of texts"),
        ("\ntools = ['a', 3]\n", "4: policy.tools", "entry 2 is 3, allowed is a list of texts"),
        ("tools = ['']\n", "3: policy.tools", "entry 1 is ''"),
        ("tools = ['${NOWHERE}']\n", "3: policy.tools", "NOWHERE is not set"),
        ("approve = 'sometimes'\n", "3: policy.approve", "never or risky or always"),
        ("search_provider = 'altavista'\n", "3: policy.search_provider", "empty or searxng"),
        ("search_provider = 'searxng'\n", "3: policy.search_provider", "set search_url"),
        ("search_key = 4711\n", "3: policy.search_key", "of type int"),
        ("read = ['src']\n", "3: policy.read", "not absolute"),
        ("read = ['/nowhere/at/all']\n", "3: policy.read", "is missing"),
        ("write = ['/etc/passwd']\n", "3: policy.write", "is not a directory"),
        ("write = ['/']\n", "3: policy.write", "holds the house itself"),
        ("workspace = '/'\n", "3: policy.workspace", "holds the house itself"),
        ("workspace = 'agents/arya'\n", "3: policy.workspace", "belongs to the house itself"),
        ("workspace = 'workspace'\n", "3: policy.workspace", "one below"),
        ("workspace = 'workspace/../state'\n", "3: policy.workspace", "belongs to the house itself"),
        ("network = 'hosts'\nhosts = ['10.0.0.1']\n", "4: policy.hosts", "is not a name"),
        ("network = 'hosts'\nhosts = ['http://x.org']\n", "4: policy.hosts", "is not a name"),
        ("hosts = ['x.org']\n", "3: policy.hosts", 'no effect with network = "none"'),
        ("layers_off = ['seccomp', 'all']\n", "3: policy.layers_off", "entry 2, 'all', is not known; allowed is a list of"),
        ("issues = 'anima'\n", "3: policy.issues", "OWNER/NAME"),
        ("wall_s = 0\n", "3: policy.wall_s", "from 0.1 to 86400 s"),
    ],
)
def test_a_wrong_policy_is_refused_with_line_key_and_what_is_allowed(home: Home, lines: str, place: str, words: str):
    sentence = refused_policy(home, lines)
    assert sentence.startswith(place)
    assert words in sentence


def test_a_policy_that_is_no_table_is_refused(home: Home):
    (create_agent(home, "arya") / "agent.toml").write_text("policy = 3\n")
    with pytest.raises(ConfigError, match=r"agent.toml:1: policy: is 3, but this is a section; write \[policy\]"):
        load_agent(home, "arya", {})


@pytest.mark.parametrize("key", ["read", "write"])
def test_no_directory_of_the_house_is_given_to_tools_not_even_by_another_name(home: Home, key: str):
    create_agent(home, "arya")
    home.state.mkdir()
    link = home.root / "elsewhere"
    link.symlink_to(home.state)
    for path in (home.state, home.agents, home.root / "workspace" / ".." / "agents", link):
        home.workspaces.mkdir(exist_ok=True)
        assert "belongs to the house itself" in refused_policy(home, f"{key} = ['{path}']\n")


def test_an_agent_may_be_shown_another_ones_workspace(home: Home):
    home.workspace("bran").mkdir(parents=True)
    (create_agent(home, "arya") / "agent.toml").write_text(f"[policy]\nread = ['{home.workspace('bran')}']\n")
    assert load_agent(home, "arya", {}).policy.read == (str(home.workspace("bran")),)


def test_a_workspace_is_below_the_home_unless_it_is_absolute(home: Home):
    assert workspace(home, "arya", Policy()) == home.root / "workspace" / "arya"
    assert workspace(home, "arya", Policy(workspace="workspace/both")) == home.root / "workspace" / "both"
    assert workspace(home, "arya", Policy(workspace="/srv/arya")) == Path("/srv/arya")


def test_the_layers_a_policy_may_name_are_those_of_the_jail():
    assert set(LAYERS) == set(spec.LAYERS)


def test_the_key_of_a_search_engine_is_a_credential_so_that_no_log_ever_shows_it(home: Home):
    assert "${credential:NAME}" in refused_policy(home, "search_key = 'sk-4711'\n")
    seen = set()
    for key in ("sk-4711", "sk-4712"):
        home.secrets.write_text(f'search = "{key}"\n')
        home.secrets.chmod(0o600)
        (home.agent("arya") / "agent.toml").write_text("[policy]\nsearch_key = '${credential:search}'\n")
        agent, house = load_agent(home, "arya", {}), load_house(home, {})
        assert agent.policy.search_key in house.secrets
        assert key not in repr(agent)
        seen.add(agent_digest(home, "arya", house, agent))
    assert len(seen) == 2, "an agent starts anew when its key changes"


KEYS = st.text(string.ascii_lowercase, min_size=1, max_size=4)
VALUES = st.recursive(
    st.sampled_from(
        ["1", "true", '"a # [b] = c"', "'''\n[no]\nnot = 1\n'''", '"""\nkey = \\"1\\"\n"""', "'x\"'", '"\\""', "1.5"]
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: "[ # ]\n" + ",\n".join(each) + "\n]"),
    max_leaves=4,
)


@given(
    st.lists(st.tuples(KEYS, VALUES, st.sampled_from(["", "\n", "# [c]\n", "  "])), unique_by=lambda each: each[0], max_size=6),
    KEYS,
)
def test_the_line_of_every_key_is_found_whatever_stands_around_it(entries: list[tuple[str, str, str]], table: str):
    text, expected = "", {}
    for number, (key, value, gap) in enumerate(entries):
        if number == 3:
            text += f"[{table}_t]\n"
        text += gap
        path = (f"{table}_t", key) if number >= 3 else (key,)
        expected[path] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: found.get(path) for path in expected} == expected


def test_every_option_is_read_somewhere():
    sources = [*ROOT.glob("anima/**/*.py"), *ROOT.glob("daemons/*.py")]
    text = "\n".join(path.read_text() for path in sources if path.parent.name != "config")
    for section in (*SECTIONS.values(), Agent, Policy, Definition):
        for name in options(section):
            assert re.search(rf"\.{name}\b", text), f"nobody reads the option {name}: use it or remove it"


def test_an_unreadable_file_is_refused_in_one_sentence(home: Home):
    if os.geteuid() == 0:
        home.config.mkdir()  # root reads everything but a folder
    else:
        home.config.write_text("")
        home.config.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_house(home, {})


def test_the_page_about_settings_says_what_the_schema_says():
    written = (ROOT / "docs" / "configuration.md").read_text()
    assert written == markdown(), "run `python -m anima.config.document > docs/configuration.md`"
