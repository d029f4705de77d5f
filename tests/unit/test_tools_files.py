"""Reading and changing files: pages of any file, nothing half written, a clear sentence for everything that is no file."""

import hashlib
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.limits import tool_entries_max
from anima.tools.context import Context
from anima.tools.files.places import place, quote, show, unquote
from anima.tools.run import run
from anima.tools.tool import ToolError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def do(tmp_path: Path):
    """Call a tool in a fresh workspace."""
    ctx = Context(tmp_path, call="call-1").fields()

    def call(name: str, **args):
        found = run(name, args, ctx)
        assert found["text"] or found["data"]
        assert "broke" not in found["text"], found["text"]
        return found

    return call


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".anima-*"))


# -- reading -------------------------------------------------------------------------------------------------------------


def test_a_page_has_2000_lines_and_says_where_to_go_on(do, tmp_path):
    (tmp_path / "long.txt").write_text("".join(f"{n}\n" for n in range(1, 5001)))
    found = do("read_file", path="long.txt")
    assert found["data"]["lines"] == 2000
    assert found["text"].endswith("go on with offset=2001]")
    found = do("read_file", path="long.txt", offset=2001, limit=2)
    assert found["text"].startswith("2001\n2002\n[lines 2001-2002 of a file of")
    assert "more" not in do("read_file", path="long.txt", offset=4999)["text"]
    assert do("read_file", path="long.txt", offset=4999)["text"] == "4999\n5000\n"


def test_numbers_are_put_before_lines_on_request(do, tmp_path):
    (tmp_path / "f").write_text("a\nb\n")
    assert do("read_file", path="f", offset=2, numbered=True)["text"] == "     2\tb\n"


def test_the_last_lines_are_read_from_the_end(do, tmp_path):
    (tmp_path / "f").write_text("a\nb\nc\n")
    assert do("read_file", path="f", offset=-2)["text"] == "b\nc\n"
    assert do("read_file", path="f", offset=-9)["text"] == "a\nb\nc\n"
    (tmp_path / "g").write_text("a\nb\nc")
    assert do("read_file", path="g", offset=-2)["text"] == "b\nc"


@given(st.lists(st.text("ab\u00e4\r", max_size=5), max_size=12), st.booleans(), st.integers(-14, 14))
def test_a_page_from_any_line_is_what_python_would_slice(lines, ended, offset):
    text = "\n".join(lines) + "\n" * ended
    want = text.split("\n")
    want = [line + "\n" for line in want[:-1]] + ([want[-1]] if want[-1] else [])
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "f").write_bytes(text.encode())
        found = run("read_file", {"path": "f", "offset": offset}, Context(Path(folder)).fields())
    if offset == 0 or offset > max(1, len(want)):
        assert not found["ok"]
        assert "offset 0" in found["text"] or f"has {len(want)} lines" in found["text"]
    elif want:
        assert found["text"] == "".join(want[offset - 1 :] if offset > 0 else want[offset:])
    else:
        assert found["text"] == "[f is empty]"


def test_a_line_longer_than_a_page_is_read_on_by_bytes_without_losing_one(do, tmp_path):
    text = "\u00e4\u20ac\U0001f600x" * 20_000 + "\nend\n"
    (tmp_path / "f").write_text(text)
    whole, at = "", 0
    for _ in range(20):
        found = do("read_file", path="f", at_byte=at)
        body, _, note = found["text"].rpartition("\n[") if found["text"].endswith("]") else (found["text"], "", "")
        whole += body
        if "at_byte=" not in note:
            break
        at = int(note.split("at_byte=")[1].split(" ")[0])
    assert whole == text


def test_ten_gigabytes_are_read_in_pages_and_never_whole(do, tmp_path):
    """A sparse file of 10 GB, looked at from a process that may not have 300 MB."""
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(b"first\nsecond\n" + b"x" * 10_000)
        file.truncate(10 * 1024**3)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "from anima.tools.run import run\n"
        "ctx = {'workdir': sys.argv[1]}\n"
        "def do(name, **args): print(run(name, args, ctx)['text'][:300])\n"
        "do('read_file', path='huge.log', limit=2); do('read_file', path='huge.log', offset=-1)\n"
        "do('edit_file', path='huge.log', old_text='first', new_text='1'); do('file_info', path='huge.log')\n"
        "do('copy_lines', source='huge.log', lines='1', destination='x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == ["first", "second"]
    assert "last" in lines
    assert sum("at most 16,777,216 can be changed in memory. Use exec" in line for line in lines) == 2


def test_binary_files_are_told_by_their_kind_and_not_shown(do, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "b.bin").write_bytes(b"abc\0def")
    (tmp_path / "c.txt").write_bytes("text".encode("utf-16"))
    assert "a.png is a PNG image of 108 bytes, not text" in do("read_file", path="a.png")["text"]
    assert "binary data" in do("read_file", path="b.bin")["text"]
    assert "UTF-16 text" in do("read_file", path="c.txt")["text"]
    assert "not UTF-8 text" in do("edit_file", path="b.bin", old_text="a", new_text="b")["text"]


def test_invalid_utf8_is_shown_with_a_notice(do, tmp_path):
    (tmp_path / "latin").write_bytes("Gr\u00fc\u00dfe\n".encode("latin-1"))
    found = do("read_file", path="latin")
    assert found["ok"]
    assert "no UTF-8" in found["text"]


# -- what is no file -----------------------------------------------------------------------------------------------------

READERS = ("read_file", "edit_file", "copy_file", "copy_lines")


def arguments(name: str, path: str) -> dict:
    return {
        "read_file": {"path": path},
        "edit_file": {"path": path, "old_text": "a", "new_text": "b"},
        "copy_file": {"source": path, "destination": "copy"},
        "copy_lines": {"source": path, "lines": "1", "destination": "copy"},
        "write_file": {"path": path, "content": "x"},
    }[name]


@pytest.mark.parametrize("name", [*READERS, "write_file"])
def test_a_directory_where_a_file_is_meant_is_told(do, tmp_path, name):
    (tmp_path / "folder").mkdir()
    found = do(name, **arguments(name, "folder"))
    assert not found["ok"]
    assert "is a directory, not a file" in found["text"]


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_there_is_told_with_what_is(do, tmp_path, name):
    (tmp_path / "Readme.MD").write_text("a")
    assert "does not exist; did you mean Readme.MD?" in do(name, **arguments(name, "readme.md"))["text"]
    assert "nor does its directory" in do(name, **arguments(name, "no/where/x"))["text"]


@pytest.mark.parametrize("name", [*READERS, "write_file"])
@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_are_refused_without_waiting(do, tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock"))
        for what in ("pipe", "zero", "sock"):
            started = time.monotonic()
            found = do(name, **arguments(name, what))
            assert not found["ok"], what
            assert time.monotonic() - started < 5
            assert "not a file" in found["text"] or "without anyone behind" in found["text"], found["text"]


def test_a_file_in_the_middle_of_a_path_is_told(do, tmp_path):
    (tmp_path / "f").write_text("")
    for name in ("read_file", "write_file"):
        assert "a part of its path is a file" in do(name, **arguments(name, "f/x"))["text"]


@pytest.mark.skipif(os.getuid() != 0, reason="as root one becomes someone else; else permissions are tried as oneself")
def test_no_permission_is_told_as_such(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "f").write_text("a")
    (tmp_path / "locked").write_text("a")
    (tmp_path / "locked").chmod(0o600)
    for each in [tmp_path, *tmp_path.parents][:-1]:
        if each.stat().st_uid == 0 and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)
    script = (
        "import os, sys, anima.tools.registry as r; from anima.tools.run import run; r.built_in(); os.setuid(65534)\n"
        "ctx = {'workdir': sys.argv[1]}\n"
        "for name, args in (('read_file', {'path': 'locked'}), ('read_file', {'path': 'closed/f'}),\n"
        "  ('write_file', {'path': 'new', 'content': ''}), ('list_directory', {'path': 'closed'}),\n"
        "  ('delete_file', {'path': 'locked'})):\n"
        "  found = run(name, args, ctx); print(found['ok'], found['text'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("False") and "permission denied" in line for line in lines), lines


@pytest.mark.parametrize("path", ["", "a\0b", '"\\q"', '"a"b"'])
def test_what_is_no_path_is_told(do, path):
    assert not do("read_file", path=path)["ok"]


def test_a_name_too_long_is_told(do):
    assert "the name is too long" in do("write_file", path="n" * 300, content="x")["text"]
    assert "the name is too long" in do("read_file", path="n" * 300)["text"]
    assert do("write_file", path="n" * 255, content="x")["ok"], "the longest name there is has room for a temporary beside it"


# -- odd names -----------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: not {0, 47} & set(raw) and raw not in (b".", b"..")))
def test_any_name_is_shown_readably_and_understood_again(raw):
    text = show(raw)
    text.encode()
    assert text.isprintable()
    ctx = Context(Path("/w"))
    if text.startswith("~"):
        return  # a home directory in a shell, the workspace here
    assert os.fsencode(place(ctx, text)) == b"/w/" + raw
    assert os.fsencode(unquote(quote(raw))) == raw


def test_files_with_newlines_and_invalid_utf8_in_their_names_are_listed_read_and_deleted(do, tmp_path):
    (tmp_path / "new\nline").write_text("one")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")).write_text("two")
    (tmp_path / '"quoted"').write_text("three")
    listed = do("list_directory")["text"].splitlines()
    names = [line.rpartition(" ")[0] for line in listed]
    assert sorted(names) == sorted(['"new\\nline"', '"bad\\377"', '"\\"quoted\\""'])
    assert {do("read_file", path=name)["text"] for name in names} == {"one", "two", "three"}
    assert sorted(do("glob", pattern="*")["text"].splitlines()) == sorted(names)
    for name in names:
        assert do("delete_file", path=name)["ok"]
    assert list(tmp_path.iterdir()) == []


# -- writing -------------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_with_directories_above_it(do, tmp_path):
    found = do("write_file", path="a/b/c.txt", content="h\u00e9\n")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "h\u00e9\n".encode()
    assert found["data"]["sha256"] == hashlib.sha256("h\u00e9\n".encode()).hexdigest()
    assert found["data"]["created"]
    assert do("write_file", path="a/b/c.txt", content="")["data"]["created"] is False
    assert leftovers(tmp_path) == []


def test_line_ends_in_given_content_are_written_to_the_letter(do, tmp_path):
    do("write_file", path="f", content="a\r\nb\rc\n")
    assert (tmp_path / "f").read_bytes() == b"a\r\nb\rc\n"


def test_permissions_and_symbolic_links_stay_when_a_file_is_replaced(do, tmp_path):
    (tmp_path / "run.sh").write_text("old")
    (tmp_path / "run.sh").chmod(0o751)
    (tmp_path / "link").symlink_to("run.sh")
    do("write_file", path="link", content="new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "run.sh").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "run.sh").stat().st_mode) == 0o751


def test_a_full_disk_leaves_the_old_content_and_nothing_half_written(tmp_path):
    """On a disk of 256 kB of its own, in a mount namespace that ends with the script."""
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no user namespaces here: a small disk cannot be mounted")
    script = (
        "import os, sys; from pathlib import Path; from anima.tools.run import run\n"
        "w = Path(sys.argv[1]); ctx = {'workdir': str(w), 'call': 'c'}\n"
        "big = 'x' * 400_000\n"
        "(w / 'old').write_text('old\\n'); (w / 'b').write_text('y' * 150_000)\n"
        "for name, args in (('write_file', {'path': 'old', 'content': big}), ('write_file', {'path': 'new', 'content': big}),\n"
        "    ('edit_file', {'path': 'old', 'old_text': 'old', 'new_text': big}),\n"
        "    ('copy_file', {'source': 'b', 'destination': 'c'}),\n"
        "    ('apply_patch', {'patch': '--- a/old\\n+++ b/old\\n@@ -1 +1 @@\\n-old\\n+NEW\\n'\n"
        "      '--- /dev/null\\n+++ b/n\\n@@ -0,0 +1 @@\\n+' + big + '\\n'})):\n"
        "    found = run(name, args, ctx); print(found['ok'], found['text'])\n"
        "print(sorted(p.name for p in w.iterdir()), (w / 'old').read_text() == 'old\\n')\n"
    )
    mount = f"mount -t tmpfs -o size=256k tmpfs '{tmp_path}' && exec '{sys.executable}' -c \"$0\" '{tmp_path}'"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount, script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    *calls, state = done.stdout.splitlines()
    assert len(calls) == 5
    assert all(line.startswith("False") and "the disk is full; nothing was" in line for line in calls), calls
    assert state == "['b', 'old'] True"


def test_a_writer_killed_at_any_moment_leaves_the_old_content_or_the_new(tmp_path):
    """Replaces a file again and again with content of one letter each; killed at random moments, twenty times."""
    target = tmp_path / "f"
    target.write_text("a" * 300_000)
    script = (
        "import itertools, sys; from pathlib import Path; from anima.tools.files.disk import replace\n"
        "for n in itertools.count(): replace(Path(sys.argv[1]), (b'abc'[n % 3:n % 3 + 1]) * 300_000, 'call')\n"
    )
    for round_ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", script, str(target)], cwd=ROOT)
        time.sleep(0.12 + round_ * 0.007)
        writer.kill()
        writer.wait()
        content = target.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
    assert len(leftovers(tmp_path)) <= 1, "what a dead attempt left is overwritten by the next, not added to"
    assert run("write_file", {"path": "f", "content": "x"}, {"workdir": str(tmp_path), "call": "call"})["ok"]


# -- directories, moving, deleting ---------------------------------------------------------------------------------------


def test_a_listing_shows_kinds_and_sizes_down_to_the_wanted_depth(do, tmp_path):
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/f.txt").write_text("12345")
    (tmp_path / "link").symlink_to("nowhere")
    assert do("list_directory")["text"] == "d/\nlink -> nowhere"
    assert do("list_directory", depth=2)["text"] == "d/\n  e/\n  f.txt 5\nlink -> nowhere"
    assert do("list_directory", path="d/e")["text"] == "[d/e is empty]"
    assert "is a file, not a directory" in do("list_directory", path="d/f.txt")["text"]


def test_a_long_listing_is_cut_and_says_so(do, tmp_path):
    for number in range(tool_entries_max + 5):
        (tmp_path / f"{number:05}").touch()
    found = do("list_directory")
    assert found["data"] == {"entries": tool_entries_max, "more": True}
    assert "more than 1000 entries" in found["text"]


def test_a_directory_is_created_once_and_a_file_in_its_place_is_told(do, tmp_path):
    assert do("create_directory", path="a/b")["text"] == "created a/b"
    assert do("create_directory", path="a/b")["text"] == "a/b existed already"
    (tmp_path / "f").write_text("")
    assert "is a file, not a directory" in do("create_directory", path="f")["text"]


def test_deleting_takes_a_directory_only_if_that_is_said_and_never_the_workspace(do, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("")
    assert "not empty; recursive deletes it" in do("delete_file", path="d")["text"]
    assert do("delete_file", path="d", recursive=True)["ok"]
    for path in (".", "..", str(tmp_path), "/", "~", str(tmp_path / "x" / "..")):
        assert not do("delete_file", path=path, recursive=True)["ok"], path
    assert tmp_path.is_dir()


def test_deleting_a_link_spares_what_it_leads_to(do, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "link").symlink_to("d")
    assert do("delete_file", path="link", recursive=True)["ok"]
    assert (tmp_path / "d/f").read_text() == "x"


def test_moving_replaces_nothing_unless_told(do, tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    assert "overwrite replaces it" in do("move_file", source="a", destination="b")["text"]
    assert do("move_file", source="a", destination="b", overwrite=True)["ok"]
    assert (tmp_path / "b").read_text() == "a"
    (tmp_path / "d").mkdir()
    assert do("move_file", source="b", destination="d")["text"] == "moved b to d/b"
    assert "same file" in do("move_file", source="d/b", destination="d/b")["text"]
    assert not do("move_file", source="d", destination="d/e")["ok"]
    assert not do("move_file", source=".", destination="x")["ok"]


def test_moving_to_another_disk_copies_durably_and_then_deletes(do, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk here")
    target = other / f"anima-test-{os.getpid()}"
    (tmp_path / "a").write_text("a")
    try:
        assert "on another disk" in do("move_file", source="a", destination=str(target))["text"]
        assert target.read_text() == "a"
        assert not (tmp_path / "a").exists()
    finally:
        target.unlink(missing_ok=True)


def test_copying_keeps_permissions_and_bytes(do, tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(3_000_000))
    (tmp_path / "a").chmod(0o640)
    assert do("copy_file", source="a", destination="x/b")["data"]["bytes"] == 3_000_000
    assert (tmp_path / "x/b").read_bytes() == (tmp_path / "a").read_bytes()
    assert stat.S_IMODE((tmp_path / "x/b").stat().st_mode) == 0o640
    assert "exists already" in do("copy_file", source="a", destination="x/b")["text"]
    assert leftovers(tmp_path) == []


def test_lines_are_copied_after_a_line_to_the_end_or_in_place_of_others(do, tmp_path):
    (tmp_path / "a").write_bytes(b"1\r\n2\r\n3\r\n4")
    (tmp_path / "b").write_text("x\ny")
    assert do("copy_lines", source="a", lines="2-3", destination="b", after=0)["ok"]
    assert (tmp_path / "b").read_text() == "2\n3\nx\ny"
    do("copy_lines", source="a", lines="4", destination="b")
    assert (tmp_path / "b").read_text() == "2\n3\nx\ny\n4\n"
    do("copy_lines", source="a", lines="1-", destination="b", replace="1-5")
    assert (tmp_path / "b").read_text() == "1\n2\n3\n4\n"
    do("copy_lines", source="b", lines="1", destination="new/c")
    assert (tmp_path / "new/c").read_text() == "1\n"
    for wrong in ("0", "5", "3-2", "x", "1-9"):
        assert not do("copy_lines", source="a", lines=wrong, destination="b")["ok"]


def test_a_path_is_described(do, tmp_path):
    (tmp_path / "f.py").write_text("x")
    (tmp_path / "link").symlink_to("gone")
    assert do("file_info", path="f.py")["data"] | {"modified": 0, "owner": 0} == {
        "path": "f.py", "kind": "file", "bytes": 1, "modified": 0, "permissions": "-rw-r--r-- (0644)", "owner": 0, "links": 1,
        "content": "text (text/x-python)",
    }  # fmt: skip
    assert do("file_info", path="link")["data"]["leads_to_something"] == "false"
    with pytest.raises(ToolError):
        place(Context(tmp_path), "")


def test_a_file_too_large_to_be_copied_is_not_read_first(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10 << 30)
    asked = (
        "import resource, sys; from pathlib import Path; from anima.tools.context import Context\n"
        "from anima.tools.run import prepare\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); resource.setrlimit(resource.RLIMIT_CPU, (3, 3))\n"
        "print(prepare('copy_file', {'source': 'huge', 'destination': 'copy'}, Context(Path(sys.argv[1])).fields()))"
    )
    told = subprocess.run([sys.executable, "-c", asked, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "'ok': False" in told
    assert "nothing was copied" in told
