"""The store: pragmas, migrations, one owner per file, and one clear sentence for everything that can be wrong with it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from anima.errors import AnimaError, ConfigError, Exit, Unavailable
from anima.store.database import DiskBroken, checkpoint, judge, open_database


@pytest.fixture
def schema(tmp_path):
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "0001_things.sql").write_text("CREATE TABLE things (name TEXT);\n-- the end")
    return folder


def test_a_new_database_is_in_wal_mode_with_every_commit_on_disk(tmp_path, schema):
    connection = open_database(tmp_path / "x.db", schema)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("SELECT name FROM migrations").fetchall() == [("0001_things.sql",)]
    connection.close()


def test_closing_folds_everything_into_the_one_file(tmp_path, schema):
    connection = open_database(tmp_path / "x.db", schema)
    connection.execute("INSERT INTO things VALUES ('chair')")
    connection.close()
    connection.close()
    assert not (tmp_path / "x.db-wal").exists()
    with sqlite3.connect(tmp_path / "x.db") as other:
        assert other.execute("SELECT name FROM things").fetchall() == [("chair",)]


def test_only_migrations_not_yet_applied_are_run(tmp_path, schema):
    open_database(tmp_path / "x.db", schema).close()
    (schema / "0002_colour.sql").write_text("ALTER TABLE things ADD COLUMN colour TEXT;")
    for _ in range(2):
        connection = open_database(tmp_path / "x.db", schema)
        assert [row[1] for row in connection.execute("PRAGMA table_info(things)")] == ["name", "colour"]
        connection.close()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path, schema):
    (schema / "0002_wrong.sql").write_text("CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(AnimaError, match="nowhere"):
        open_database(tmp_path / "x.db", schema)
    (schema / "0002_wrong.sql").unlink()
    connection = open_database(tmp_path / "x.db", schema)
    assert connection.execute("SELECT name FROM sqlite_schema WHERE name = 'half'").fetchall() == []
    connection.close()


def test_a_database_of_a_newer_version_is_refused_by_name(tmp_path, schema):
    (schema / "0002_later.sql").write_text("CREATE TABLE later (x);")
    open_database(tmp_path / "x.db", schema).close()
    (schema / "0002_later.sql").unlink()
    with pytest.raises(ConfigError, match=r"newer version .*0002_later\.sql"):
        open_database(tmp_path / "x.db", schema)


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path, schema):
    connection = open_database(tmp_path / "x.db", schema)
    code = (
        "import sys; from pathlib import Path; from anima.store.database import open_database\n"
        "from anima.errors import Unavailable\n"
        "try: open_database(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except Unavailable as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.db", schema], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    assert f"PID {os.getpid()}" in said
    connection.close()
    open_database(tmp_path / "x.db", schema).close()


def test_a_program_without_our_lock_finds_the_file_locked_by_sqlite(tmp_path, schema):
    connection = open_database(tmp_path / "x.db", schema)
    with sqlite3.connect(tmp_path / "x.db", timeout=0) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM things").fetchall()
    other.close()
    connection.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, it is a letter to you" * 50, b"SQLite format 3\0" + bytes(range(256)) * 40]
)
def test_a_file_that_is_no_database_gets_one_sentence_with_a_way_out(tmp_path, schema, content):
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(ConfigError, match="backup"):
        open_database(tmp_path / "x.db", schema)
    assert (tmp_path / "x.db").read_bytes() == content


@pytest.mark.parametrize("name", ["absent/x.db", "file/x.db"])
def test_a_directory_that_is_not_there_gets_one_sentence(tmp_path, schema, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="directory"):
        open_database(tmp_path / name, schema)


def test_a_refused_database_can_be_opened_once_the_cause_is_gone(tmp_path, schema):
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError):
        open_database(tmp_path / "x.db", schema)
    (tmp_path / "x.db").unlink()
    open_database(tmp_path / "x.db", schema).close()


def test_a_checkpoint_by_hand_empties_the_log_into_the_file(tmp_path, schema):
    connection = open_database(tmp_path / "x.db", schema, checkpoint_pages=0)
    for number in range(200):
        connection.execute("INSERT INTO things VALUES (?)", (f"{number}" * 500,))
    before = (tmp_path / "x.db").stat().st_size
    checkpoint(connection)
    assert (tmp_path / "x.db").stat().st_size > before
    connection.close()


@pytest.mark.parametrize(
    ("code", "sort", "exit_code"),
    [
        (sqlite3.SQLITE_FULL, Unavailable, Exit.TRY_LATER),
        (sqlite3.SQLITE_IOERR | 4 << 8, DiskBroken, Exit.TRY_LATER),
        (sqlite3.SQLITE_CORRUPT, ConfigError, Exit.CONFIG),
        (sqlite3.SQLITE_NOTADB, ConfigError, Exit.CONFIG),
        (sqlite3.SQLITE_READONLY, ConfigError, Exit.CONFIG),
        (sqlite3.SQLITE_BUSY, Unavailable, Exit.TRY_LATER),
        (sqlite3.SQLITE_ERROR, AnimaError, Exit.BUG),
    ],
)
def test_each_error_of_sqlite_says_what_its_catcher_should_do(code, sort, exit_code):
    error = sqlite3.OperationalError("words of sqlite")
    error.sqlite_errorcode = code
    found = judge(error, "/home/x.db")
    assert type(found) is sort
    assert found.exit == exit_code
    assert "/home/x.db" in str(found)


def test_schemas_are_read_from_a_package_as_well_as_from_a_folder(tmp_path):
    from importlib.resources import files

    open_database(tmp_path / "x.db", files("anima.journal") / "schema").close()
    assert (Path(str(files("anima.journal") / "schema")) / "0001_events.sql").is_file()
