"""The parts of `install` that need no service manager: steps and their way back, words of a unit, where homes are."""

from pathlib import Path

import pytest

from anima.cli.shipped import shipped
from anima.cli.steps import Steps, run
from anima.cli.systemd import Systemd, check_reach, here, quoted, system_home
from anima.errors import Refused
from anima.paths import Home, find_home


def test_steps_are_undone_newest_first_and_one_that_cannot_be_does_not_stop_the_others(capsys):
    did: list[str] = []

    def stubborn() -> None:
        raise OSError("the disk is gone")

    steps = Steps()
    steps.promise(lambda: did.append("read anew"), "")
    steps.do("first", lambda: did.append("first"), lambda: did.append("not first"), "first")
    steps.do("second", lambda: did.append("second"), stubborn, "second")
    with pytest.raises(ZeroDivisionError):
        steps.do("third", lambda: 1 / 0, lambda: did.append("not third"), "third")
    assert steps.undo() == ["the disk is gone"]
    assert did == ["first", "second", "not third", "not first", "read anew"]
    assert steps.undo() == []
    assert "undone: first" in capsys.readouterr().err


def test_a_written_file_comes_back_as_it_was_and_so_do_its_folders(tmp_path):
    old = tmp_path / "old"
    old.write_text("kept")
    steps = Steps()
    steps.write(old, "new")
    steps.write(tmp_path / "a/b/new", "new")
    steps.undo()
    assert old.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_nothing_is_done_in_a_dry_run(tmp_path, capsys):
    steps = Steps(dry=True)
    steps.write(tmp_path / "file", "text")
    steps.do("shut the door", lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == f"would write {tmp_path}/file\nwould shut the door\n"


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/opt/a", '"/opt/a"'),
        ("/opt/my house", '"/opt/my house"'),
        ('/a"b\\c', '"/a\\"b\\\\c"'),
        ("/100%/$HOME", '"/100%%/$$HOME"'),
    ],
)
def test_a_path_is_one_word_of_a_unit(word, written):
    assert quoted(word) == written


@pytest.mark.parametrize("home", ["/opt/a", '/a"b\\c d', "/100%/$HOME"])
def test_an_installed_service_says_whose_house_it_leads(home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    keeper = Systemd(Home(Path(home), Path("/run/x")), system=False)
    assert keeper.installed_home() == ""
    path = keeper.folder / "anima.service.d/here.conf"
    path.parent.mkdir(parents=True)
    path.write_text(here("/usr/bin/python3", keeper.home, named=True))
    assert keeper.installed_home() == home


def test_a_path_that_would_be_another_line_is_refused():
    with pytest.raises(Refused, match="control characters"):
        quoted("/a\nExecStart=/bin/sh")


def test_the_drop_in_names_the_runtime_folder_that_animactl_looks_in():
    home = find_home({"HOME": "/home/x", "XDG_RUNTIME_DIR": "/run/user/7"}, "/srv/other")
    assert f"RuntimeDirectory={home.run.name}\n" in here("/usr/bin/python3", home, named=True)
    assert "RuntimeDirectory" not in here("/usr/bin/python3", home, named=False)


@pytest.mark.parametrize("prefix", ["/home/x/venv", "/root/.venv", "/tmp/v"])
def test_a_program_that_the_hardened_service_would_not_see_is_refused_before_anything_is_done(prefix):
    with pytest.raises(Refused, match="does not see"):
        check_reach(Path("/usr"), Path(prefix))
    check_reach(Path("/usr"), Path("/opt/anima"))


def test_the_house_of_the_system_is_where_its_unit_says(monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    assert system_home(find_home({"HOME": "/nowhere"})) == Home(Path("/var/lib/anima"), Path("/run/anima"))
    assert find_home({"XDG_RUNTIME_DIR": "/run/user/7"}, "/var/lib/anima").run == Path("/run/anima")
    with pytest.raises(Refused, match="leave out --home"):
        system_home(find_home({}, "/srv/other"))


def test_what_is_not_shipped_is_said():
    assert "Type=notify" in shipped("systemd", "anima.service")
    with pytest.raises(Refused, match=r"lacks systemd/none\.service"):
        shipped("systemd", "none.service")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("false",), "`false` failed: exit code 1"),
        (("sh", "-c", "echo why >&2; exit 3"), "failed: why"),
        (("no-such-program",), "there is no no-such-program here"),
        (("/etc/passwd",), "cannot be run"),
        (("sleep", "5"), "did not end within"),
    ],
)
def test_a_command_that_fails_is_told_in_one_sentence(words, said):
    with pytest.raises(Refused, match=said):
        run(*words, timeout_s=0.3)
