"""edit_file and apply_patch: what is replaced is exactly what was meant, and everything else stays as it was, byte by byte."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anima.tools.context import Context
from anima.tools.files.content import bare, parse_content, split_lines
from anima.tools.files.diff import apply_hunks, parse_patch, unified
from anima.tools.files.editing import substitute
from anima.tools.run import run
from anima.tools.tool import ToolError

LINE = st.text("ab \t\u00e4", max_size=4)
ENDS = st.sampled_from(["\n", "\r\n"])
MIXED = st.lists(st.tuples(LINE, ENDS), max_size=10).map(lambda pairs: "".join(a + b for a, b in pairs))
PLAIN = st.lists(LINE, max_size=12).map("\n".join)


@pytest.fixture
def edit(tmp_path: Path):
    def call(before: bytes | str, old: str, new: str, **more):
        path = tmp_path / "f.txt"
        path.write_bytes(before if isinstance(before, bytes) else before.encode())
        found = run("edit_file", {"path": "f.txt", "old_text": old, "new_text": new, **more}, {"workdir": str(tmp_path)})
        return found, path.read_bytes()

    return call


def test_one_exact_piece_is_replaced_and_the_diff_comes_back(edit):
    found, after = edit("one\ntwo\nthree\n", "two", "2")
    assert after == b"one\n2\nthree\n"
    assert found["text"] == "changed f.txt\n--- a/f.txt\n+++ b/f.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"


def test_a_piece_that_stands_twice_is_refused_with_its_lines_and_taken_with_replace_all(edit):
    found, after = edit("x\ny\nx\n", "x", "z")
    assert "stands 2 times in f.txt (at lines 1, 3); give more of its surroundings, or replace_all" in found["text"]
    assert after == b"x\ny\nx\n"
    found, after = edit("x\ny\nx\n", "x", "z", replace_all=True)
    assert after == b"z\ny\nz\n"
    assert found["data"]["count"] == 2


@pytest.mark.parametrize(
    ("old", "complaint"),
    [
        ("    def f(self):\n        return 1", "lines 2-3 differ only in spaces or tabs"),
        ("\tdef f():\n\t\treturn 2\n", r"(\d+% alike)"),
        ("dof f(sclf):", "the closest is line 2"),
        ("nothing of that kind at all", "nothing in the file comes near"),
    ],
)
def test_a_piece_that_is_not_there_is_told_with_the_closest_lines(edit, old, complaint):
    text = "class A:\n\tdef f(self):\n\t\treturn 1\n"
    found, after = edit(text, old, "x")
    assert not found["ok"]
    assert "old_text is not in f.txt: " in found["text"]
    if complaint.startswith("("):
        assert "% alike):\n  you gave: " in found["text"]
    else:
        assert complaint in found["text"]
    assert after == text.encode()


def test_a_near_miss_in_a_large_file_is_told_at_once(edit):
    text = "".join(f"line number {n} of the file\n" for n in range(100_000))
    found, _ = edit(text, "line number 77777 of the fill\n", "x")
    assert "line 77778" in found["text"] or "alike" in found["text"] or "nothing" in found["text"]


@pytest.mark.parametrize(("old", "new"), [("", "x"), ("a", "a")])
def test_an_edit_that_says_nothing_is_refused(edit, old, new):
    found, after = edit("abc", old, new)
    assert not found["ok"]
    assert after == b"abc"


def test_carriage_returns_and_the_byte_order_mark_stay(edit):
    found, after = edit(b"\xef\xbb\xbfone\r\ntwo\r\nthree\r\n", "one\ntwo\n", "1\n2\n2b\n")
    assert found["ok"]
    assert after == b"\xef\xbb\xbf1\r\n2\r\n2b\r\nthree\r\n"
    assert edit(b"one\r\ntwo\r\n", "one\r\ntwo", "x\ny")[1] == b"x\r\ny\r\n"


def test_bytes_that_are_no_utf8_stay(edit):
    found, after = edit(b"caf\xe9 old \xff\n", "old", "new")
    assert found["ok"]
    assert after == b"caf\xe9 new \xff\n"


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_text_and_written_back_the_same(raw):
    assert parse_content(raw).encode() == raw


@given(PLAIN, LINE, PLAIN)
def test_without_carriage_returns_an_edit_is_a_plain_replacement(text, old, new):
    assume(old)
    assert substitute(text, old, new, "\n") == (text.replace(old, new), text.count(old))


@given(MIXED, PLAIN.filter(bool), PLAIN, st.booleans())
def test_with_mixed_line_ends_only_what_matched_changes(text, old, new, crlf):
    """Flattened, the result is the plain replacement; and every untouched stretch keeps its own line ends."""
    newline = "\r\n" if crlf else "\n"
    found, count = substitute(text, old, new, newline)
    flat = text.replace("\r\n", "\n")
    assert count == flat.count(old)
    assert found.replace("\r\n", "\n") == flat.replace(old, new).replace("\r\n", "\n")
    if count == 0:
        assert found == text
    elif "\r\n" in text:
        head, tail = flat.index(old), len(flat) - flat.rindex(old) - len(old)
        before = _unflatten(text, head)
        assert found.startswith(before)
        assert _flat_tail(text, tail) == _flat_tail(found, tail)


def _unflatten(text: str, count: int) -> str:
    """So much of the text that its flattened form has `count` characters."""
    out = ""
    for char in text:
        if len(out.replace("\r\n", "\n")) == count and not (out.endswith("\r") and char == "\n"):
            break
        out += char
    return out.removesuffix("\r") if len(out.replace("\r\n", "\n")) > count else out


def _flat_tail(text: str, count: int) -> str:
    """The line ends within the last `count` characters of the flattened text."""
    ends = [len(line) - len(bare(line)) for line in split_lines(text)]
    return (
        str(ends[len(ends) - text.replace("\r\n", "\n")[len(text.replace("\r\n", "\n")) - count :].count("\n") :])
        if count
        else ""
    )


# -- diffs and patches ---------------------------------------------------------------------------------------------------


@given(PLAIN, PLAIN, st.integers(0, 4))
def test_a_diff_applied_to_what_it_was_made_from_gives_what_it_was_made_to(before, after, context):
    patch = unified(before, after, "f", context)
    if before == after:
        assert patch == ""
        return
    (only,) = parse_patch(patch)
    assert apply_hunks(before, only.hunks, "\n", "f") == (after, [])


@given(MIXED, MIXED)
def test_a_patch_never_changes_the_line_ends_of_what_it_leaves(before, after):
    r"""A patch written with \n only, applied to a file with whatever ends, changes contents as meant."""
    flat_before, flat_after = before.replace("\r\n", "\n"), after.replace("\r\n", "\n")
    assume(flat_before != flat_after)
    (only,) = parse_patch(unified(flat_before, flat_after, "f"))
    found, _ = apply_hunks(before, only.hunks, "\r\n", "f")
    assert found.replace("\r\n", "\n") == flat_after


@given(st.text(max_size=200))
def test_no_text_whatsoever_breaks_the_parser_of_patches(text):
    with contextlib.suppress(ToolError):
        assert parse_patch(text)


@given(PLAIN, PLAIN, st.integers(0, 300), st.text("@-+ \n\\ab,1", max_size=8))
def test_a_damaged_patch_is_refused_or_still_makes_sense(before, after, at, noise):
    patch = unified(before, after, "f")
    damaged = patch[:at] + noise + patch[at:]
    with contextlib.suppress(ToolError):
        for each in parse_patch(damaged):
            apply_hunks(before, each.hunks, "\n", "f")


@pytest.fixture
def patch(tmp_path: Path):
    def call(text: str):
        return run("apply_patch", {"patch": text}, {"workdir": str(tmp_path), "call": "c"})

    return call


def test_a_patch_over_several_files_creates_changes_and_deletes(patch, tmp_path):
    (tmp_path / "a").write_text("1\n2\n3\n")
    (tmp_path / "gone").write_text("x\n")
    found = patch(
        "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"
        "--- /dev/null\n+++ b/new/file\n@@ -0,0 +1,2 @@\n+x\n+y\n\\ No newline at end of file\n"
        "--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert found["text"] == "changed a\ncreated new/file\ndeleted gone"
    assert (tmp_path / "a").read_text() == "1\ntwo\n3\n"
    assert (tmp_path / "new/file").read_text() == "x\ny"
    assert not (tmp_path / "gone").exists()


def test_a_hunk_that_moved_is_found_if_its_lines_stand_only_once(patch, tmp_path):
    (tmp_path / "a").write_text("0\n0\n0\n1\n2\n3\n")
    found = patch("--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n")
    assert found["text"] == "changed a (hunk 1 was found at line 4 instead of 1)"
    (tmp_path / "a").write_text("x\n1\n2\n1\n2\n")
    found = patch("--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n 1\n-2\n+two\n")
    assert "stand 2 times elsewhere (lines 2, 4); give more context" in found["text"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no change in the patch"),
        ("hello", "there is no change in the patch"),
        ("@@ -1 +1 @@\n-a\n+b\n", "should come first"),
        ("--- a/a\n+++ b/a\n", "has no hunk"),
        ("--- a/a\n+++ b/a\n@@ x @@\n", "not '@@ -a,b +c,d @@'"),
        ("--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n", "promises 3 old and 3 new lines, found were 2 and 2"),
        ("--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n 1\n-9\n+two\n 3\n", "at line 2 it expects '9', but there stands '2'"),
        ("--- a/a\n+++ b/a\n@@ -3,2 +3,1 @@\n 3\n-4\n", "expects '4' at line 4, but the file has 3 lines"),
        ("--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n", "none does not exist"),
        ("--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+b\n", "creates a, which exists already"),
        ("--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n", "2 lines of it would be left"),
        ("--- a/a\n+++ b/b\n@@ -1 +1 @@\n-1\n+b\n", "move_file first"),
        ("rename from a\nrename to b\n", "use move_file"),
        ("--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+x\n--- a/a\n+++ b/a\n@@ -2 +2 @@\n-2\n+x\n", "changes a twice"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing_and_says_where(patch, tmp_path, text, complaint):
    (tmp_path / "a").write_text("1\n2\n3\n")
    found = patch(text)
    assert not found["ok"]
    assert complaint in found["text"]
    assert (tmp_path / "a").read_text() == "1\n2\n3\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_if_the_second_file_does_not_fit_the_first_is_not_changed(patch, tmp_path):
    (tmp_path / "a").write_text("1\n")
    (tmp_path / "b").write_text("1\n")
    found = patch("--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n--- a/b\n+++ b/b\n@@ -1 +1 @@\n-9\n+2\n")
    assert not found["ok"]
    assert (tmp_path / "a").read_text() == "1\n"


def test_what_git_writes_is_understood_and_git_understands_ours():
    import shutil
    import subprocess

    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    before = "".join(f"line {n}\n" for n in range(40))
    after = before.replace("line 7\n", "line seven\n").replace("line 30\n", "") + "no end"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("a", before), ("b", after)):
            (Path(folder) / name).write_text(text)
        made = subprocess.run(
            ["git", "diff", "--no-index", "--no-color", "a", "b"], cwd=folder, capture_output=True, text=True, check=False
        ).stdout
        (only,) = parse_patch(made)
        assert apply_hunks(before, only.hunks, "\n", "a")[0] == after
        (Path(folder) / "p").write_text(unified(before, after, "a"))
        subprocess.run(["git", "apply", "p"], cwd=folder, check=True)
        assert (Path(folder) / "a").read_text() == after


def test_an_edit_and_its_patch_agree(tmp_path):
    ctx = Context(tmp_path).fields()
    text = "def f():\n    return 1\n"
    for name in ("x", "y"):
        (tmp_path / name).write_text(text)
    found = run("edit_file", {"path": "x", "old_text": "return 1", "new_text": "return 2"}, ctx)
    told = found["text"].partition("\n")[2].replace("a/x", "a/y").replace("b/x", "b/y")
    assert run("apply_patch", {"patch": told}, ctx)["ok"]
    assert (tmp_path / "x").read_text() == (tmp_path / "y").read_text()
