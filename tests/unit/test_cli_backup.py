"""The file of a backup: what goes in comes out, and what is wrong with a file is said before it counts."""

import contextlib
import gzip
import io
import json
import os
import random
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.cli import backup, root
from anima.cli.archive import FORMAT, Unpacking, Writer, read_archive
from anima.cli.backup import Living, writing
from anima.cli.copies import _check_alive, copied
from anima.errors import ConfigError, Refused, Unavailable
from anima.paths import Home

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.binary(max_size=5_000), max_size=8)
TOPS = frozenset({"agents", "workspace", "state"})
PLACES = ("agents", "workspace")


def packed(path: Path, files: dict[str, bytes], sort: str = "house") -> Path:
    with path.open("wb") as file:
        writer = Writer(file, sort)
        for name, content in files.items():
            writer.file(name, io.BytesIO(content), len(content))
        writer.end(seq=7)
    return path


def tree(root: Path) -> dict[str, Any]:
    """Every file with its content and mode, every link with its target."""
    return {
        place.relative_to(root).as_posix(): place.readlink()
        if place.is_symlink()
        else (place.read_bytes(), place.stat().st_mode)
        for place in root.rglob("*")
        if place.is_symlink() or place.is_file()
    }


def forged(path: Path, *members: tuple[tarfile.TarInfo, bytes], comment: str = f"anima house {FORMAT}", **more: Any) -> Path:
    """An archive that no Writer would write."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": comment}) as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
        manifest = tarfile.TarInfo("manifest.json")
        body = json.dumps({"sort": "house", "ts": 1.0, "seq": 7, "members": []} | more).encode()
        manifest.size = len(body)
        tar.addfile(manifest, io.BytesIO(body))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@settings(max_examples=60, deadline=None)
@given(files=FILES)
def test_what_goes_into_an_archive_comes_out(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("archive")
    named = {f"agents/{number}/{path}": content for number, (path, content) in enumerate(files.items())}
    with contextlib.suppress(OSError):  # a name of twenty wide letters may be too long for a file system
        root = folder / "out"
        unpacking = Unpacking(root, TOPS)
        manifest = read_archive(packed(folder / "a.tar.gz", named), "house", unpacking.keep)
        unpacking.end(PLACES)
        assert manifest["seq"] == 7
        assert {path: content for path, (content, _) in tree(root).items()} == named


def test_an_archive_that_is_cut_anywhere_or_has_a_wrong_byte_is_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.tar.gz", {"agents/a": random.Random(1).randbytes(3_000), "state/b": b"x" * 9_000})
    content = whole.read_bytes()
    broken = tmp_path / "broken.tar.gz"
    chance = random.Random(2)
    for _ in range(120):
        broken.write_bytes(content[: chance.randrange(len(content) - 8)])
        with pytest.raises(Refused) as error:
            read_archive(broken, "house")
        assert str(broken) in str(error.value)
        at = chance.randrange(20, len(content))
        broken.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        with contextlib.suppress(Refused):  # a byte may stand where nothing depends on it
            assert read_archive(broken, "house") == read_archive(whole, "house")


def test_a_member_that_was_changed_added_or_taken_away_is_named(tmp_path: Path) -> None:
    def rewritten(change: Any) -> Path:
        with tarfile.open(packed(tmp_path / "a.tar.gz", {"agents/a": b"1", "agents/b": b"2"})) as tar:
            members = {info.name: (info, tar.extractfile(info).read()) for info in tar}  # type: ignore[union-attr]
            comment = tar.pax_headers
        change(members)
        other = tmp_path / "b.tar.gz"
        with tarfile.open(other, "w:gz", format=tarfile.PAX_FORMAT, pax_headers=comment) as tar:
            for info, content in members.values():
                tar.addfile(info, io.BytesIO(content))
        return other

    for change in (
        lambda members: members.update({"agents/a": (members["agents/a"][0], b"3")}),
        lambda members: members.pop("agents/b"),
        lambda members: members.update(
            {"agents/": (member("agents/c"), b"")} | {"manifest.json": members.pop("manifest.json")}
        ),
    ):
        with pytest.raises(Refused, match=r"agents/[abc]' is (not what|missing)"):
            read_archive(rewritten(change), "house")


@pytest.mark.parametrize(
    "info",
    [
        member("/etc/passwd"),
        member("agents/../../x"),
        member("../x"),
        member("elsewhere/x"),
        member("secrets.toml"),
        member("agents/pipe", tarfile.FIFOTYPE),
        member("agents/disk", tarfile.BLKTYPE),
        member("agents/twin", tarfile.LNKTYPE, "/etc/passwd"),
    ],
    ids=lambda info: info.name,
)
def test_nothing_is_written_outside_of_the_home(info: tarfile.TarInfo, tmp_path: Path) -> None:
    root = tmp_path / "home"
    with pytest.raises(Refused, match="in the archive"):
        read_archive(forged(tmp_path / "a.tar.gz", (info, b"evil")), "house", Unpacking(root, TOPS).keep)
    assert not [each for each in tmp_path.rglob("*") if not each.is_dir() and each.name != "a.tar.gz"]


@pytest.mark.parametrize(
    "links",
    [
        {"workspace/out": "/etc"},
        {"workspace/out": "../../outside"},
        {"workspace/here": ".", "workspace/out": "here/../../outside"},  # by its letters it stays inside
        {"workspace/one": "two", "workspace/two": "../../outside"},
        {"agents/arya/persona.md": "../../secrets.toml"},
        {"agents/arya/persona.md": "../../anima.toml"},
        {"agents/arya/persona.md": "notes", "agents/arya/notes": "../../workspace/../secrets.toml"},
        {"workspace": "agents"},
        {"state/journal.db": "journal.copy"},
    ],
)
def test_no_link_leads_out_and_nothing_is_written_through_one(links: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    made = [(member(name, tarfile.SYMTYPE, target), b"") for name, target in links.items()]
    unpacking = Unpacking(tmp_path / "home", TOPS)
    through = (member(f"{list(links)[-1]}/evil"), b"evil")
    with pytest.raises(Refused):
        read_archive(forged(tmp_path / "a.tar.gz", *made, through), "house", unpacking.keep)
    with pytest.raises(Refused, match=r"twice"):
        unpacking.end(PLACES)
    unpacking = Unpacking(tmp_path / "home2", TOPS)
    read_archive(forged(tmp_path / "b.tar.gz", *made), "house", unpacking.keep)
    with pytest.raises(Refused, match="leads out of its folder"):
        unpacking.end(PLACES)
    assert not list((tmp_path / "outside").iterdir())


def test_the_wrong_sort_a_newer_format_and_any_other_file_are_refused_each_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content, said in (
        (b"", "is no archive of anima"),
        (b"hello", "is no archive of anima"),
        (gzip.compress(b"hello" * 1_000), "is no archive of anima"),
    ):
        file.write_bytes(content)
        with pytest.raises(Refused, match=said):
            read_archive(file, "house")
    with tarfile.open(file, "w:gz") as tar:
        tar.addfile(member("agents/a"), io.BytesIO())
    with pytest.raises(Refused, match="is no archive of anima"):
        read_archive(file, "house")
    with pytest.raises(Refused, match=r"newer version of this program \(format 99"):
        read_archive(forged(file, comment="anima house 99"), "house")
    for more, said in (({"seq": None}, "'seq' is no int"), ({"members": 5}, "lacks"), ({"sort": "x"}, "lacks 'x'")):
        with pytest.raises(Refused, match=said):
            read_archive(forged(file, **more), "house")
    with pytest.raises(Refused, match="of an agent; `animactl import agent`"):
        read_archive(packed(file, {}, "agent"), "house")
    with pytest.raises(Refused, match="cannot be read: No such file"):
        read_archive(tmp_path / "away", "house")
    with pytest.raises(Refused, match="cannot be read: Is a directory"):
        read_archive(tmp_path, "house")


def test_an_archive_gets_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "house.tar.gz"
    file.write_bytes(b"the old one")
    with pytest.raises(Refused, match="--force"), writing(file, "house", force=False):
        pytest.fail("it is there already")
    with pytest.raises(RuntimeError), writing(file, "house", force=True):
        raise RuntimeError
    with pytest.raises(Refused, match="no archive of anima"), writing(file, "house", force=True) as part:
        part.write(b"not what should be read back")
    assert file.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [file]
    with writing(file, "house", force=True) as part:
        Writer(part, "house").end(seq=7)
    assert read_archive(file, "house")["members"] == []
    assert file.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    with writing(other, "house", force=False) as part:
        Writer(part, "house").end(seq=7)
        with pytest.raises(Refused, match="another command is writing"), writing(other, "house", force=True):
            pytest.fail("two write one file")
    (tmp_path / ".other.part").write_bytes(b"of one that was killed" * 1_000)
    with writing(other, "house", force=True) as part:
        Writer(part, "house").end(seq=7)
    assert {each.name for each in tmp_path.iterdir()} == {"house.tar.gz", "other"}
    for path, said in ((tmp_path / "away" / "x", "there is no directory"), (tmp_path, "is a directory")):
        with pytest.raises(Refused, match=said), writing(path, "house", force=True):
            pytest.fail("it cannot be written")


@pytest.mark.parametrize("planted", ["link", "hard link", "folder", "pipe"])
def test_what_somebody_planted_where_an_archive_is_begun_is_refused_and_left(planted: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    part = tmp_path / ".house.tar.gz.part"
    {
        "link": lambda: part.symlink_to(victim),
        "hard link": lambda: part.hardlink_to(victim),
        "folder": part.mkdir,
        "pipe": lambda: os.mkfifo(part),
    }[planted]()
    with (
        pytest.raises(Refused, match="part is there and was not left"),
        writing(tmp_path / "house.tar.gz", "house", force=True),
    ):
        pytest.fail("it was begun in what is not ours")
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
    assert not (tmp_path / "house.tar.gz").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_archive_is_not_begun_in_another_users_file(tmp_path: Path) -> None:
    part = tmp_path / ".house.tar.gz.part"
    part.touch()
    os.chown(part, 65534, 65534)
    with pytest.raises(Refused, match="not left by a backup"), writing(tmp_path / "house.tar.gz", "house", force=True):
        pytest.fail("who owns it would read what is written")
    assert part.stat().st_uid == 65534


def test_what_a_killed_backup_left_open_to_all_is_closed(tmp_path: Path) -> None:
    part = tmp_path / ".house.tar.gz.part"
    part.write_bytes(b"half")
    part.chmod(0o644)
    with writing(tmp_path / "house.tar.gz", "house", force=False) as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
        Writer(file, "house").end(seq=7)
    assert (tmp_path / "house.tar.gz").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(Unavailable, match="No space left on device; nothing was written"),
        writing(tmp_path / "a", "house", force=True),
    ):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_living_files_are_taken_as_they_are_links_out_and_sockets_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "home"
    work = root / "workspace" / "arya"
    work.mkdir(parents=True)
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "large").write_bytes(b"x" * (backup._MEMORY_BYTES + 1))
    (work / "empty").mkdir()
    (work / "in").symlink_to("run.sh")
    (work / "out").symlink_to("/usr/bin/python3")
    (work / "near").symlink_to("../../secrets.toml")
    os.mkfifo(work / "pipe")
    file = tmp_path / "a.tar.gz"
    with file.open("wb") as part:
        living, writer = Living(root), Writer(part, "house")
        living.add(writer, "workspace")
        living.add(writer, "models")
        writer.end(seq=7)
    unpacking = Unpacking(tmp_path / "again", TOPS)
    read_archive(file, "house", unpacking.keep)
    unpacking.end(PLACES)
    (work / "out").unlink()
    (work / "near").unlink()
    (work / "pipe").unlink()
    assert tree(tmp_path / "again") == tree(root)
    assert (tmp_path / "again" / "workspace" / "arya" / "empty").is_dir()
    assert living.left_out == {"links that lead out of their folder": 2, "neither files nor folders": 1}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A house that is down and has an empty journal and a thymos."""
    home = Home(tmp_path / "home", tmp_path / "home" / "run")
    home.state.mkdir(parents=True)
    for path, table in ((home.journal, "events (seq, ts, blob, chain)"), (home.thymos, "cursor (seq)")):
        with contextlib.closing(sqlite3.connect(path)) as made, made:
            made.execute(f"CREATE TABLE {table}")
    return home


def test_copies_that_do_not_go_together_or_are_damaged_are_refused(home: Home) -> None:
    with contextlib.closing(sqlite3.connect(home.thymos)) as thymos, thymos:
        thymos.execute("INSERT INTO cursor VALUES (5)")
    with pytest.raises(Refused, match="thymos has read up to event 5, the journal ends at 0"), copied(home):
        pytest.fail("they do not go together")
    home.thymos.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1_000)
    with pytest.raises((Refused, ConfigError, Unavailable), match="thymos"), copied(home):
        pytest.fail("one is damaged")
    assert not list(home.state.glob("copy-*"))


@pytest.mark.parametrize("state", ["waiting", "starting", "restarting", "up"])
def test_an_owner_that_will_be_back_is_waited_for(state: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "processes", lambda _: [{"name": "mneme", "state": state, "reason": "ended with -9"}])
    _check_alive(home, "mneme")


@pytest.mark.parametrize("state", ["failed", "paused", "down"])
def test_an_owner_that_will_not_be_back_is_named(state: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "processes", lambda _: [{"name": "mneme", "state": state, "reason": "it fell ten times"}])
    with pytest.raises(Unavailable, match=rf"mneme is {state} \(it fell ten times\) and cannot copy"):
        _check_alive(home, "mneme")


def test_what_a_killed_backup_left_is_removed_by_the_next(home: Home) -> None:
    left = home.state / "copy-left"
    left.mkdir()
    (left / "mneme.db").write_bytes(b"half")
    with contextlib.closing(sqlite3.connect(home.thymos)) as thymos, thymos:
        thymos.execute("INSERT INTO cursor VALUES (0)")
    with copied(home) as copies:
        assert not left.exists()
        assert set(copies.files) == {"thymos", "journal"}
        assert (copies.seq, copies.chain) == (0, "")
    assert not list(home.state.glob("copy-*"))
