"""Secrets: where each is looked for, who may read the file, what a writer may not break, and that no complaint shows one."""

import json
import os
import pty
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.config import keyring, secrets
from anima.config.lines import quoted
from anima.config.load import load_agent, load_house
from anima.config.secrets import find_secrets, places, remove_secret, set_secret
from anima.errors import ConfigError, Refused, Unavailable
from anima.limits import secret_bytes_max
from anima.paths import Home
from anima.sandbox.work import Ending, redacted
from tests.a_keyring import a_keyring

REPO = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    root = tmp_path / "house"
    root.mkdir()
    return Home(root, root / "run")


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Path]:
    """A folder to put on the path, with a keyring in it."""
    folder = tmp_path / "ring"
    folder.mkdir()
    a_keyring(folder)
    keyring.ask_again()
    yield folder
    keyring.ask_again()


def at(ring: Path) -> dict[str, str]:
    return {"PATH": f"{ring}:/usr/bin:/bin"}


def write(home: Home, text: str, mode: int = 0o600) -> None:
    home.secrets.write_text(text)
    home.secrets.chmod(mode)


def ctl(home: Home, *arguments: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from anima.cli.main import main; main()", *arguments]
    environ = {**os.environ, "ANIMA_HOME": str(home.root), "PYTHONPATH": str(REPO), "NO_COLOR": "1", **environ}
    done = subprocess.run(program, env=environ, input=stdin, capture_output=True, check=False, timeout=60)
    return subprocess.CompletedProcess(program, done.returncode, done.stdout.decode(), done.stderr.decode())


# -- where each is looked for ------------------------------------------------------------------------------------------


def test_systemd_comes_first_and_the_keyring_and_the_file_never_have_the_same_one(home: Home, ring: Path, tmp_path):
    given_by_systemd = tmp_path / "credentials"
    given_by_systemd.mkdir()
    (given_by_systemd / "three").write_text("from-systemd\n")
    (given_by_systemd / "four").write_text("only-systemd\n")
    for name in ("two", "three"):
        set_secret(home, name, "from-keyring", at(ring), in_keyring=True)
    set_secret(home, "one", "from-file", at(ring))
    environ = {**at(ring), "CREDENTIALS_DIRECTORY": str(given_by_systemd)}
    found = {name: (each.place, each.value) for name, each in find_secrets(home, environ).items()}
    assert found == {
        "one": ("secrets.toml", "from-file"),
        "two": ("keyring", "from-keyring"),
        "three": ("systemd", "from-systemd"),
        "four": ("systemd", "only-systemd"),
    }
    assert places(home, environ) == {name: place for name, (place, _) in sorted(found.items())}
    assert "from-keyring" not in home.secrets.read_text()
    set_secret(home, "two", "moved-to-the-file", at(ring))
    assert tomllib.loads(home.secrets.read_text())["two"] == "moved-to-the-file"
    assert "two" not in (ring / "values.json").read_text()


def test_the_keyring_is_asked_once_for_all_that_a_process_reads_and_again_at_a_reload(home: Home, ring: Path):
    set_secret(home, "brave", "in-the-ring", at(ring), in_keyring=True)
    (ring / "asked").unlink()
    for _ in range(3):
        assert find_secrets(home, at(ring))["brave"].value == "in-the-ring"
    set_secret(home, "late", "in-the-ring-too", at(ring), in_keyring=True)
    home.config.write_text("[models]\nopenai_api_key = '${credential:late}'\n")
    with pytest.raises(ConfigError, match="'late' is in the keyring since after this process began; run `animactl reload`"):
        load_house(home, at(ring))
    assert (ring / "asked").read_text().count("get brave") == 1
    keyring.ask_again()
    assert load_house(home, at(ring)).models.openai_api_key == "in-the-ring-too"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "no command `keyring` here; install the package"),
        ("broken", "the keyring refused: No recommended backend was available; see that it is there"),
        ("locked", "did not answer within 0.5 s; unlock it"),
        ("emptied", "it holds no 'brave'"),
    ],
)
def test_a_keyring_that_fails_fails_only_those_who_need_it(home: Home, ring: Path, monkeypatch, what: str, words: str):
    for name in ("brave", "other"):
        set_secret(home, name, "in-the-ring", at(ring), in_keyring=True)
    if what == "missing":
        (ring / "keyring").unlink()
        monkeypatch.setattr(keyring.sys, "executable", "/nowhere/python")
    elif what == "emptied":
        (ring / "values.json").unlink()
    else:
        (ring / what).touch()
    monkeypatch.setattr(keyring, "keyring_s", 0.5)
    assert load_house(home, at(ring)).secrets == frozenset()
    home.config.write_text("\n[models]\nopenai_api_key = '${credential:brave}'\n")
    with pytest.raises(ConfigError) as caught:
        load_house(home, at(ring))
    sentence = str(caught.value)
    assert sentence.startswith(f"{home.config}:3: models.openai_api_key: the credential 'brave' is in the keyring, but")
    assert words in sentence
    assert "\n" not in sentence
    if what != "emptied":
        with pytest.raises(Unavailable):
            set_secret(home, "new", "value", at(ring), in_keyring=True)
        assert "new" not in places(home, at(ring))


def test_no_argument_of_a_command_holds_the_value(home: Home, ring: Path):
    set_secret(home, "brave", "in-the-ring", at(ring), in_keyring=True)
    assert set((ring / "asked").read_text().split()) == {"set", "get", "brave"}


def test_two_houses_share_a_keyring_and_no_secret(home: Home, ring: Path, tmp_path: Path):
    other = Home(tmp_path / "other", tmp_path / "run")
    set_secret(home, "key", "of-the-first", at(ring), in_keyring=True)
    set_secret(other, "key", "of-the-second", at(ring), in_keyring=True)
    assert find_secrets(home, at(ring))["key"].value == "of-the-first"


def test_a_folder_of_credentials_that_cannot_be_read_is_said(home: Home):
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY"):
        find_secrets(home, {"CREDENTIALS_DIRECTORY": "/nowhere/at/all"})


# -- what a name that nobody has, or that holds nothing, leads to ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no credential 'key'; run `animactl secrets set key`"),
        ('key = ""\n', "the credential 'key' is empty (secrets.toml); run `animactl secrets set key`"),
        ("key = 4711\n", "a credential is text"),
        ('key = { from = "elsewhere" }\n', "a credential is text"),
    ],
)
def test_a_credential_that_nobody_has_is_one_sentence_with_what_to_run(home: Home, text: str, words: str):
    write(home, text)
    home.config.write_text("[models]\ndefault = '${credential:key}'\n")
    with pytest.raises(ConfigError) as caught:
        load_house(home, {})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "place", ["log.level", "supervisor.beat_s", "models.fast_model", "models.fallbacks", "sandbox.builder"]
)
def test_a_secret_in_the_wrong_place_is_not_shown_by_the_complaint_about_it(home: Home, place: str):
    value = "sk-recognisable-" + "0123456789" * 8
    write(home, f"key = '{value}'\n")
    section, _, name = place.partition(".")
    reference = "['${credential:key}']" if name == "fallbacks" else "'${credential:key}'"
    home.config.write_text(f"[{section}]\n{name} = {reference}\n")
    with pytest.raises(ConfigError) as caught:
        load_house(home, {})
    assert place in str(caught.value)
    assert "recognisable" not in str(caught.value)


def test_a_secret_in_the_wrong_place_of_an_agents_settings_is_not_shown_either(home: Home):
    write(home, "key = 'sk-recognisable'\n")
    home.agent("arya").mkdir(parents=True)
    (home.agent("arya") / "persona.md").write_text("You are arya.\n")
    for line in ("time_zone = '${credential:key}'", "[policy]\nworkspace = '/nowhere/${credential:key}'\nnetwork = 'x'"):
        (home.agent("arya") / "agent.toml").write_text(f"{line}\n")
        with pytest.raises(ConfigError) as caught:
            load_agent(home, "arya", {})
        assert "recognisable" not in str(caught.value)


# -- the file ----------------------------------------------------------------------------------------------------------


@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
    value=st.text(st.characters(exclude_categories=("Cs",)), min_size=4).filter(lambda text: len(text.strip()) >= 4),
    around=st.sampled_from(["", "# mine\n", "first = 'x'  # mine\n", "last = '''\n[a]\nb = 1\n'''", '"a.b" = "q"\n\n\n']),
)
def test_whatever_is_kept_comes_back_and_every_other_line_stays(tmp_path_factory, name: str, value: str, around: str):
    home = Home(tmp_path_factory.mktemp("house"), Path("/nowhere"))
    write(home, around)
    others = {key: each for key, each in tomllib.loads(around).items() if key != name}
    set_secret(home, name, "the value before", {})
    set_secret(home, name, value, {})
    assert find_secrets(home, {})[name].value == value
    assert {key: each.value for key, each in find_secrets(home, {}).items() if key != name} == others
    assert ("# mine" in around) == ("# mine" in home.secrets.read_text())
    remove_secret(home, name, {})
    assert tomllib.loads(home.secrets.read_text()) == others


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_quoted_text_is_one_line_of_toml_that_means_the_text(text: str):
    assert tomllib.loads(f"x = {quoted(text)}\n")["x"] == text
    assert "\n" not in quoted(text)


def test_a_line_is_replaced_where_it_stands_and_its_neighbours_are_not_touched(home: Home):
    write(home, "# of the office\nwork = 'old'  # until May\n\nhome = '''\nlong\n'''\n# the end\n")
    set_secret(home, "home", "short", {})
    set_secret(home, "work", "new-key", {})
    assert home.secrets.read_text() == '# of the office\nwork = "new-key"\n\nhome = "short"\n# the end\n'


def test_toml_that_is_not_written_here_is_left_to_its_writer(home: Home):
    write(home, "[work]\nfrom = 'keyring'\n")
    for name in ("work", "new"):
        with pytest.raises(Refused, match="change it there by hand"):
            set_secret(home, name, "a value", {})
    assert home.secrets.read_text() == "[work]\nfrom = 'keyring'\n"


def test_the_file_is_its_owners_alone_from_the_first_byte_and_a_link_stays_one(home: Home, tmp_path: Path):
    before = os.umask(0)
    try:
        set_secret(home, "key", "first-value", {})
    finally:
        os.umask(before)
    assert home.secrets.stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere.toml"
    home.secrets.rename(elsewhere)
    home.secrets.symlink_to(elsewhere)
    set_secret(home, "key", "second-value", {})
    assert home.secrets.is_symlink()
    assert tomllib.loads(elsewhere.read_text()) == {"key": "second-value"}
    assert [path.name for path in home.root.iterdir()] == ["secrets.toml"], "a draft was left behind"


def test_a_house_that_is_not_there_yet_is_made_for_its_owner_alone(tmp_path: Path):
    home = Home(tmp_path / "new", tmp_path / "run")
    set_secret(home, "key", "a value", {})
    assert home.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another user")
def test_what_root_sets_for_the_user_of_the_house_that_user_can_read(home: Home):
    os.chown(home.root, 4711, 4712)
    set_secret(home, "key", "first-value", {})
    set_secret(home, "key", "second-value", {})
    assert (home.secrets.stat().st_uid, home.secrets.stat().st_gid) == (4711, 4712)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_writer_that_dies_or_finds_no_room_leaves_the_old_file_whole(home: Home, monkeypatch, step: str):
    set_secret(home, "key", "first-value", {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(*((secrets.os, "fsync") if step == "fsync" else (secrets.Path, "replace")), full)
        with pytest.raises(Unavailable, match=r"secrets.toml cannot be written: No space left on device; nothing was changed"):
            set_secret(home, "key", "second-value", {})
    assert find_secrets(home, {})["key"].value == "first-value"
    assert [path.name for path in home.root.iterdir()] == ["secrets.toml"]


def test_writers_at_the_same_time_lose_nothing(home: Home):
    threads = [threading.Thread(target=set_secret, args=(home, f"key{n}", f"value-{n}", {})) for n in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {name: each.value for name, each in find_secrets(home, {}).items()} == {f"key{n}": f"value-{n}" for n in range(20)}


def test_a_file_that_others_may_read_is_refused_by_every_command_with_what_to_run(home: Home):
    write(home, "key = 'sk-very-secret'\n", 0o640)
    for arguments in (("list",), ("set", "x"), ("remove", "key")):
        told = ctl(home, "secrets", *arguments, stdin=b"value\n")
        assert (told.returncode, told.stderr.count("\n")) == (1, 1)
        assert f"run `chmod 600 {home.secrets}`" in told.stderr


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "../x", "ä", "x" * 65, "a}", "a\n"])
def test_a_name_that_no_secret_can_have_is_refused(home: Home, name: str):
    with pytest.raises(Refused, match="cannot name a secret"):
        set_secret(home, name, "a value", {})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "the value is empty; nothing was changed"),
        (b"\r\n\n", "the value is empty"),
        (b"abc\n", "fewer than 4 characters cannot be kept out of logs"),
        (b"   a   ", "fewer than 4 characters"),
        (b"\xff\xfe\xfd\xfc", "byte 0xff of the value is not UTF-8"),
        (b"x" * (secret_bytes_max + 1), "longer than 65,536 bytes"),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused_in_one_line_and_not_shown(home: Home, value: bytes, words: str):
    told = ctl(home, "secrets", "set", "key", stdin=value)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert words in told.stderr
    assert not home.secrets.exists()


def test_a_secret_is_set_from_stdin_listed_without_its_value_and_removed(home: Home):
    value = "  sk-\u00fc\t'\"\\\x00 two\nlines  "
    told = ctl(home, "secrets", "set", "key.one", stdin=f"{value}\n".encode())
    assert (told.returncode, told.stderr) == (0, "")
    assert "${credential:key.one}" in told.stdout
    assert find_secrets(home, {})["key.one"].value == value
    listed = [ctl(home, "secrets", "list", *more).stdout for more in ((), ("--json",))]
    assert listed[0].split() == ["NAME", "FROM", "key.one", "secrets.toml"]
    assert json.loads(listed[1]) == {"name": "key.one", "from": "secrets.toml"}
    assert "sk-" not in told.stdout + "".join(listed)
    assert "did you mean 'key.one'?" in ctl(home, "secrets", "remove", "key.on").stderr
    assert ctl(home, "secrets", "remove", "key.one").returncode == 0
    assert "there are no secrets yet" in ctl(home, "secrets", "list").stderr


def test_a_value_as_an_argument_is_a_wrong_call_and_nothing_is_kept(home: Home):
    assert ctl(home, "secrets", "set", "key", "sk-on-the-command-line").returncode == 2
    assert not home.secrets.exists()


def test_what_systemd_gives_is_listed_and_taken_away_only_there(home: Home, tmp_path: Path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "key").write_text("of systemd\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "given")}
    assert ctl(home, "secrets", "list", **environ).stdout.split()[-2:] == ["key", "systemd"]
    assert "LoadCredential=" in ctl(home, "secrets", "remove", "key", **environ).stderr
    assert "which comes first" in ctl(home, "secrets", "set", "key", stdin=b"another\n", **environ).stderr


def test_a_person_is_asked_and_what_is_typed_is_not_shown(home: Home):
    mine, its = pty.openpty()
    program = [sys.executable, "-c", "from anima.cli.main import main; main()", "secrets", "set", "key"]
    environ = {**os.environ, "ANIMA_HOME": str(home.root), "PYTHONPATH": str(REPO)}
    child = subprocess.Popen(program, env=environ, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    seen = b""
    while b"key: " not in seen:
        seen += os.read(mine, 1024)
    os.write(mine, b"sk-typed-by-hand\n")
    while True:
        try:
            seen += os.read(mine, 1024)
        except OSError:  # the last one who had it open is gone
            break
    assert child.wait(30) == 0, seen
    os.close(mine)
    assert b"typed" not in seen
    assert find_secrets(home, {})["key"].value == "sk-typed-by-hand"


def test_each_command_has_a_help_with_an_example(home: Home):
    for command in ("set", "list", "remove"):
        assert f"Example: animactl secrets {command}" in ctl(home, "secrets", command, "--help").stdout


# -- what a tool says --------------------------------------------------------------------------------------------------


def test_a_secret_that_a_tool_met_is_left_out_of_its_whole_response():
    def redact(text: str) -> str:
        return text.replace("sk-1", "***")

    met = Ending("done", "the key is sk-1", {"lines": ["a", "sk-1"], "sk-1": {"deep": ("sk-1", 3, None, b"raw")}})
    told = redacted(met, redact)
    assert told.text == "the key is ***"
    assert told.data == {"lines": ["a", "***"], "***": {"deep": ["***", 3, None, b"raw"]}}
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"in": deep}
    assert redacted(Ending("done", "", deep), redact).data == {"left_out": "the tool's data is nested too deeply"}
