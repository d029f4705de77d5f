"""Stand-ins: made where nothing is, held while they are used, gone with the last who uses them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from anima.errors import Refused
from anima.sandbox.jail import standins


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    yield
    standins._let_go()


def test_a_stand_in_is_made_where_nothing_is_and_counts_as_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "secret")
    assert standins.make([path]) == [path]
    assert Path(path).is_dir()
    assert not standins.there(path)


def test_what_is_really_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("words")
    (tmp_path / "link").symlink_to("nowhere")
    paths = [str(tmp_path / name) for name in ("folder", "file", "link")]
    assert standins.make(paths) == []
    assert all(standins.there(path) for path in paths)
    standins.remove(paths)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_it_stays_while_somebody_holds_it_and_goes_with_the_last(tmp_path: Path) -> None:
    path = str(tmp_path / "secret")
    for _ in range(2):
        assert standins.make([path]) == [path]
    standins.remove([path])
    assert Path(path).is_dir()
    os.close(standins._held.pop())
    standins.remove([path])
    assert Path(path).is_dir()
    standins._let_go()
    standins.remove([path])
    assert not Path(path).exists()


def test_one_that_became_somebodys_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    standins.make([str(path)])
    standins._let_go()
    path.chmod(0o700)
    standins.remove([str(path)])
    assert path.is_dir()


def test_a_way_that_leads_through_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(Refused, match="protected"):
        standins.make([str(tmp_path / "link" / "secret")])
    assert list((tmp_path / "elsewhere").iterdir()) == []
