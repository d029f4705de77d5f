"""The store: pragmas, migrations, one owner per file, and one clear sentence for everything that can be wrong with it."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from anima.errors import AnimaError, ConfigError, Exit, Unavailable
from anima.store.database import DiskBroken, checkpoint, judge, open_database
from anima.store.migrate import rehearse


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


# -- moving forward ----------------------------------------------------------------------------------------------------


def filled(path, schema):
    connection = open_database(path, schema)
    connection.execute("INSERT INTO things VALUES ('chair')")
    connection.close()
    return sorted(path.parent.iterdir())


def copies(path):
    return sorted(path.parent.glob("x.before-*.db"))


def test_a_copy_of_the_whole_is_on_the_disk_before_a_database_moves_forward(tmp_path, schema):
    path = tmp_path / "x.db"
    filled(path, schema)
    assert copies(path) == [], "there is nothing to keep of one that is new"
    (schema / "0002_less.sql").write_text("DELETE FROM things;")
    open_database(path, schema).close()
    (copy,) = copies(path)
    assert "0001_things" in copy.name
    assert copy.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(copy) as old:
        assert old.execute("SELECT name FROM things").fetchall() == [("chair",)]
    old.close()
    (schema / "0002_less.sql").unlink()
    copy.replace(path)
    open_database(path, schema).close()  # it is what the older program goes on with


def test_whoever_waits_for_a_long_migration_hears_that_it_goes_on(tmp_path, schema, monkeypatch):
    path = tmp_path / "x.db"
    filled(path, schema)
    monkeypatch.setattr("anima.store.migrate._STEPS_AT_ONCE", 1_000)
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT i FROM n"
    (schema / "0002_long.sql").write_text(f"INSERT INTO things {count};")
    heard = []
    connection = open_database(path, schema, alive=lambda: heard.append(1))
    assert len(heard) > 10
    heard.clear()
    connection.execute(count).fetchall()
    assert heard == []
    connection.close()


def test_only_the_two_newest_copies_are_kept(tmp_path, schema):
    path = tmp_path / "x.db"
    filled(path, schema)
    for day in (1, 2, 3):
        (tmp_path / f"x.before-2020010{day}T000000.0001_things.db").touch()
    (tmp_path / "y.before-20200101T000000.0001_things.db").touch()
    (schema / "0002_more.sql").write_text("CREATE TABLE more (x);")
    open_database(path, schema).close()
    assert [copy.name[:23] for copy in copies(path)][:1] == ["x.before-20200103T00000"]
    assert len(copies(path)) == 2
    assert (tmp_path / "y.before-20200101T000000.0001_things.db").exists()


def test_a_migration_that_fails_leaves_the_database_as_it_was_and_says_where_the_copy_lies(tmp_path, schema):
    path = tmp_path / "x.db"
    filled(path, schema)
    (schema / "0002_good.sql").write_text("CREATE TABLE good (x);")
    (schema / "0003_wrong.sql").write_text("CREATE TABLE half (x); INSERT INTO good SELECT 1 FROM nowhere;")
    with pytest.raises(
        ConfigError, match=r"0003_wrong\.sql fails \(no such table: nowhere\); it was left as it was; a copy .* at"
    ) as told:
        open_database(path, schema)
    (copy,) = copies(path)
    assert str(copy) in str(told.value)
    for script in ("0002_good.sql", "0003_wrong.sql"):
        (schema / script).unlink()
    connection = open_database(path, schema)  # the older program
    assert connection.execute("SELECT name FROM things").fetchall() == [("chair",)]
    assert connection.execute("SELECT name FROM sqlite_schema WHERE name IN ('half', 'good')").fetchall() == []
    connection.close()


def test_a_full_disk_while_the_copy_is_made_changes_nothing_and_leaves_no_half_of_it(tmp_path, schema, monkeypatch):
    path = tmp_path / "x.db"
    before = filled(path, schema)

    def full(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    (schema / "0002_more.sql").write_text("CREATE TABLE more (x);")
    monkeypatch.setattr("anima.store.becoming._sync", full)
    with pytest.raises(Unavailable, match="the disk is full"):
        open_database(path, schema)
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.undo()
    open_database(path, schema).close()


def test_a_copy_that_fails_and_cannot_be_removed_says_why_it_failed(tmp_path, schema, monkeypatch):
    path = tmp_path / "x.db"
    filled(path, schema)

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def kept(part: Path, *, missing_ok: bool = False) -> None:
        if part.name.endswith(".part") and (part.exists() or not missing_ok):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    (schema / "0002_more.sql").write_text("CREATE TABLE more (x);")
    monkeypatch.setattr("anima.store.becoming._sync", broken)
    monkeypatch.setattr(Path, "unlink", kept)
    with pytest.raises(Unavailable, match="must be copied before it moves forward, and that fails: Input/output error"):
        open_database(path, schema)


def test_a_rehearsal_says_what_would_be_done_while_the_owner_is_at_work_and_does_nothing(tmp_path, schema):
    path = tmp_path / "x.db"
    assert rehearse(path, schema) == ()
    owner = open_database(path, schema)
    owner.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    owner.execute("CREATE TRIGGER heard AFTER INSERT ON things BEGIN INSERT INTO words VALUES (new.name); END")
    owner.execute("INSERT INTO things VALUES ('chair')")
    checkpoint(owner)
    assert rehearse(path, schema) == ()
    (schema / "0002_more.sql").write_text("ALTER TABLE things ADD COLUMN colour; CREATE INDEX by_colour ON things (colour);")
    (schema / "0003_more.sql").write_text("DROP TABLE words; CREATE VIRTUAL TABLE words USING fts5(text, colour);")
    assert rehearse(path, schema) == ("0002_more.sql", "0003_more.sql")
    assert owner.execute("SELECT * FROM things").fetchall() == [("chair",)]
    owner.close()
    assert copies(path) == []


@pytest.mark.parametrize(
    ("script", "why"), [("CREATE TABEL x (y);", "syntax error"), ("ALTER TABLE chairs ADD COLUMN x;", "no such table: chairs")]
)
def test_a_rehearsal_finds_a_migration_that_cannot_apply(tmp_path, schema, script, why):
    path = tmp_path / "x.db"
    filled(path, schema)
    (schema / "0002_wrong.sql").write_text(script)
    with pytest.raises(ConfigError, match=f"0002_wrong.sql fails .*{why}"):
        rehearse(path, schema)


def test_a_rehearsal_refuses_a_database_of_a_newer_version_also_when_that_was_applied_a_moment_ago(tmp_path, schema):
    path = tmp_path / "x.db"
    filled(path, schema)
    (schema / "0002_later.sql").write_text("CREATE TABLE later (x);")
    owner = open_database(path, schema, checkpoint_pages=0)
    (schema / "0002_later.sql").unlink()
    with pytest.raises(ConfigError, match=r"newer version .*0002_later\.sql"):
        rehearse(path, schema)
    owner.close()


def test_a_rehearsal_wants_room_for_the_copy(tmp_path, schema, monkeypatch):
    path = tmp_path / "x.db"
    filled(path, schema)
    (schema / "0002_more.sql").write_text("CREATE TABLE more (x);")
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(Unavailable, match="no room"):
        rehearse(path, schema)


def test_a_rehearsal_leaves_what_it_cannot_read_to_the_owner(tmp_path, schema):
    (tmp_path / "x.db").write_bytes(b"this is no database, it is a letter to you" * 50)
    assert rehearse(tmp_path / "x.db", schema) == ()
    (tmp_path / "x.db").write_bytes(b"")
    assert rehearse(tmp_path / "x.db", schema) == ()
