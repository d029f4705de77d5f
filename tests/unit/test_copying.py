"""A copy of a database made by its owner while it writes: whole, consistent, and nobody waits for long."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from anima.errors import BadMessage, Unavailable
from anima.process.copying import Copier, copy_database
from anima.store.database import Connection, open_database

pytestmark = pytest.mark.anyio


@pytest.fixture
def owned(tmp_path: Path) -> Any:
    """A database of some MiB in which every row of `a` has its twin in `b`."""
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "0001_twins.sql").write_text("CREATE TABLE a (n INTEGER, x BLOB); CREATE TABLE b (n INTEGER, x BLOB);")
    connection = open_database(tmp_path / "twins.db", folder)
    write(connection, range(3_000))
    yield connection
    connection.close()


def write(connection: Connection, numbers: range) -> None:
    connection.execute("BEGIN")
    for n in numbers:
        for table in ("a", "b"):
            connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (n, bytes([n % 251]) * 1_000))
    connection.execute("COMMIT")


def gone(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while list(folder.glob("copy.db*")):
        assert time.monotonic() < deadline, "a copy broken off is left behind"
        time.sleep(0.01)


def read(path: Path) -> tuple[int, int, str]:
    copy = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        twins = "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)"
        return *copy.execute(twins).fetchone(), copy.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        copy.close()


async def test_a_copy_made_while_its_owner_writes_is_one_moment_of_it(owned: Connection, tmp_path: Path) -> None:
    copying = asyncio.ensure_future(Copier(owned).copy({"to": str(tmp_path / "copy.db")}))
    written = 3_000
    while not copying.done():
        write(owned, range(written, written + 10))
        owned.execute("BEGIN")
        owned.execute("INSERT INTO a VALUES (-1, x'')")  # what is rolled back is in no copy
        owned.execute("ROLLBACK")
        written += 10
        await asyncio.sleep(0.001)
    told = copying.result()
    a, b, sound = read(tmp_path / "copy.db")
    assert sound == "ok"
    assert 3_000 < a == b <= written
    assert told["bytes"] == (tmp_path / "copy.db").stat().st_size
    assert not (tmp_path / "copy.db.part").exists()


async def test_an_owner_that_is_always_in_a_transaction_is_copied_all_the_same(owned: Connection, tmp_path: Path) -> None:
    def settle() -> None:
        if owned.in_transaction:
            owned.execute("COMMIT")

    copying = asyncio.ensure_future(Copier(owned, settle).copy({"to": str(tmp_path / "copy.db")}))
    while not copying.done():
        if not owned.in_transaction:
            owned.execute("BEGIN")
        for table in ("a", "b"):
            owned.execute(f"INSERT INTO {table} VALUES (0, x'00')")
        await asyncio.sleep(0.001)
    settle()
    a, b, sound = read(tmp_path / "copy.db")
    assert (a, sound) == (b, "ok")


async def test_a_question_that_is_asked_again_gets_the_same_copy(owned: Connection, tmp_path: Path) -> None:
    copier, to = Copier(owned), tmp_path / "copy.db"
    first, second = await asyncio.gather(copier.copy({"to": str(to)}), copier.copy({"to": str(to)}))
    inode = to.stat().st_ino
    assert first == second == await copier.copy({"to": str(to)})
    assert to.stat().st_ino == inode


async def test_a_copy_that_cannot_be_made_leaves_nothing_and_may_be_tried_again(owned: Connection, tmp_path: Path) -> None:
    copier, to = Copier(owned), tmp_path / "away" / "copy.db"
    with pytest.raises(Unavailable, match="must exist and have space"):
        await copier.copy({"to": str(to)})
    to.parent.mkdir()
    await copier.copy({"to": str(to)})
    assert read(to)[2] == "ok"
    with pytest.raises(BadMessage, match="absolute"):
        await copier.copy({"to": "copy.db"})


@pytest.mark.parametrize("wrong", ["a file", "a directory"])
async def test_a_copy_that_cannot_even_be_removed_is_still_one_sentence(wrong: str, owned: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    if wrong == "a file":
        folder.write_text("not a folder")
    else:
        (folder / "copy.db.part").mkdir(parents=True)
    with pytest.raises(Unavailable, match="could not be made"):
        await Copier(owned).copy({"to": str(folder / "copy.db")})


async def test_an_owner_that_ends_does_not_wait_for_its_copy(owned: Connection, tmp_path: Path) -> None:
    copying = asyncio.ensure_future(Copier(owned).copy({"to": str(tmp_path / "copy.db")}))
    await asyncio.sleep(0.01)
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    owned.close()
    await asyncio.to_thread(gone, tmp_path)


def test_a_copy_that_is_told_to_end_says_so(owned: Connection, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="broken off"):
        copy_database(owned, tmp_path / "copy.db", lambda: True)
