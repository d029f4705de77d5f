"""glob and grep: what is found, what is left out, and that ripgrep and our own search say the same."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.tools.run import run
from anima.tools.search.lines import Search, own_search
from anima.tools.search.patterns import ignored, matcher, parse_ignore, translate
from anima.tools.search.ripgrep import command, parse_line, ripgrep_search
from anima.tools.tool import ToolError

TREE = {
    "a.py": "import os\n# TODO one\nprint('x')\n",
    "src/b.py": "def f():\n    return 1  # todo two\n",
    "src/c.ts": "// TODO three\n",
    "src/deep/d.md": "# head\n\nTODO four\r\nlast",
    "build/out.py": "TODO ignored\n",
    "note.log": "TODO ignored too\n",
    "keep.log": "TODO kept\n",
    ".hidden.py": "TODO hidden\n",
    ".git/config": "TODO git\n",
    "bin.dat": "TODO\0binary",
    ".gitignore": "build/\n*.log\n!keep.log\n",
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return tmp_path


def do(name: str, folder: Path, **args) -> dict:
    return run(name, args, {"workdir": str(folder)})


# -- glob ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "options", "found"),
    [
        ("*.py", [], ["a.py", "src/b.py"]),
        ("*.py", ["ignored"], ["a.py", "build/out.py", "src/b.py"]),
        ("*.py", ["hidden"], [".hidden.py", "a.py", "src/b.py"]),
        ("src/*.py", [], ["src/b.py"]),
        ("src/**", [], ["src/b.py", "src/c.ts", "src/deep/d.md"]),
        ("**/d.*", [], ["src/deep/d.md"]),
        ("*.{ts,md}", [], ["src/c.ts", "src/deep/d.md"]),
        ("*.log", [], ["keep.log"]),
        ("[ab].py", [], ["a.py", "src/b.py"]),
        ("[!a].py", [], ["src/b.py"]),
        ("de*", ["directories"], ["src/deep/"]),
        ("nothing", [], []),
    ],
)
def test_files_are_found_by_pattern(work, pattern, options, found):
    told = do("glob", work, pattern=pattern, options=options)
    assert told["ok"]
    assert told["text"].splitlines() == (found or [f"[no file matches {pattern}]"])


@pytest.mark.parametrize("pattern", ["[", "a{b", "[!"])
def test_a_pattern_left_open_is_told(work, pattern):
    assert not do("glob", work, pattern=pattern)["ok"]


def test_the_place_to_look_below_must_be_a_directory(work):
    assert "is a file" in do("glob", work, pattern="*", path="a.py")["text"]
    assert "does not exist" in do("glob", work, pattern="*", path="zzz")["text"]


@given(st.text("ab*?[]!{},/.\\-^", max_size=10), st.text("ab/.", max_size=8))
def test_no_pattern_breaks_the_matcher(pattern, path):
    with contextlib.suppress(ToolError):
        matcher(pattern)(path)
        assert re.compile(translate(pattern))


def test_links_in_a_circle_end(work):
    (work / "src" / "loop").symlink_to(work)
    assert do("glob", work, pattern="a.py")["text"] == "a.py"


@given(
    st.lists(
        st.sampled_from(["a", "*.o", "/a", "a/", "!a", "b/a", "**/a", "a/**", "!*.o", "#x", " ", "\\!a", "[a]"]), max_size=4
    )
)
def test_ignore_files_mean_what_git_says_they_mean(lines):
    """Beside `git check-ignore`, which is the authority."""
    import tempfile

    paths = ["a", "x.o", "b/a", "b/x.o", "c/b/a", "!a", "a2"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "-q", folder], check=True)
        (Path(folder) / ".gitignore").write_text("\n".join(lines) + "\n")
        for path in paths:
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).touch()
        asked = subprocess.run(
            ["git", "-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--stdin", "-z"],
            cwd=folder, input="\0".join(paths), capture_output=True, text=True, check=False,
        )  # fmt: skip
    theirs = {path for path in asked.stdout.split("\0") if path}
    rules = parse_ignore("\n".join(lines) + "\n", "")

    def ours(path: str) -> bool:
        pieces = path.split("/")
        above = ("/".join(pieces[: n + 1]) for n in range(len(pieces) - 1))
        return any(ignored(rules, each, is_folder=True) for each in above) or ignored(rules, path, is_folder=False)

    assert {path for path in paths if ours(path)} == theirs


# -- grep ----------------------------------------------------------------------------------------------------------------


def searching(folder: Path, pattern: str, *, files: str = "", context: int = 0, options: tuple = ()) -> Search:
    flags = re.MULTILINE | (re.IGNORECASE if "ignore_case" in options else 0) | (re.DOTALL if "multiline" in options else 0)
    source = re.escape(pattern) if "fixed" in options else pattern
    source = rf"\b(?:{source})\b" if "word" in options else source
    return Search(re.compile(source.encode(), flags), pattern, folder, files, context, frozenset(options))


def test_lines_are_found_below_a_directory_under_the_name_of_their_file(work):
    found = do("grep", work, pattern="TODO")
    assert found["text"] == (
        "a.py\n2: # TODO one\n\nkeep.log\n1: TODO kept\n\nsrc/c.ts\n1: // TODO three\n\nsrc/deep/d.md\n3: TODO four"
    )
    assert found["data"] == {"files": 4, "matches": 4, "more": False}


def test_neighbours_are_shown_with_a_dash_and_gaps_with_two(tmp_path):
    (tmp_path / "f").write_text("".join(f"{n}\n" for n in range(1, 13)))
    found = do("grep", tmp_path, pattern="^(3|4|9)$", context=1)
    assert found["text"] == "f\n2- 2\n3: 3\n4: 4\n5- 5\n--\n8- 8\n9: 9\n10- 10"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"pattern": "todo", "options": ["ignore_case", "files_only"], "files": "py"}, "a.py\nsrc/b.py"),
        ({"pattern": "TODO", "options": ["count"], "files": "*.{ts,md}"}, "src/c.ts: 1\nsrc/deep/d.md: 1"),
        ({"pattern": "return 1", "options": ["fixed"]}, "src/b.py\n2:     return 1  # todo two"),
        ({"pattern": "f()", "options": ["fixed"]}, "src/b.py\n1: def f():"),
        ({"pattern": "tw", "options": ["word"]}, "[no line matches tw]"),
        ({"pattern": "TODO", "files": "src/**/*.md"}, "src/deep/d.md\n3: TODO four"),
        ({"pattern": "TODO", "path": "a.py"}, "a.py\n2: # TODO one"),
        ({"pattern": r"head.*four", "options": ["multiline"]}, "src/deep/d.md\n1: # head\n2: \n3: TODO four"),
    ],
)
def test_options_narrow_what_is_found(work, args, text):
    assert do("grep", work, **args)["text"] == text


def test_what_is_hidden_or_ignored_is_found_only_on_request(work):
    assert "hidden" not in do("grep", work, pattern="TODO")["text"]
    assert "TODO hidden" in do("grep", work, pattern="TODO", options=["hidden"])["text"]
    assert "TODO ignored" in do("grep", work, pattern="TODO", options=["ignored"])["text"]
    assert "git" not in do("grep", work, pattern="TODO git", options=["hidden", "ignored"])["data"]


def test_a_wrong_expression_is_told(work):
    found = do("grep", work, pattern="(")
    assert not found["ok"]
    assert "is no regular expression" in found["text"]
    assert do("grep", work, pattern="(", options=["fixed"])["ok"]


def test_too_many_lines_are_cut_and_long_ones_shortened(tmp_path):
    (tmp_path / "f").write_text("match\n" * 2_000)
    (tmp_path / "g").write_text("match" + "x" * 10_000)
    found = do("grep", tmp_path, pattern="match")
    assert found["data"]["more"]
    assert found["data"]["matches"] == 500
    assert "more follows than the 500 shown" in found["text"]
    assert "(10005 characters)" in do("grep", tmp_path, pattern="match", path="g")["text"]


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "f").write_text("x")
    assert do("grep", tmp_path, pattern="x")["text"] == "f\n1: x"
    assert "not a file" in do("grep", tmp_path, pattern="x", path="pipe")["text"]


RG = shutil.which("rg")


@pytest.mark.skipif(RG is None, reason="ripgrep is not installed; our own search is tried above, ripgrep's answers below")
@pytest.mark.parametrize(
    "args",
    [
        {"pattern": "TODO"},
        {"pattern": "todo", "options": ("ignore_case",), "context": 1},
        {"pattern": "TODO", "files": "py"},
        {"pattern": "TODO", "files": "src/**/*.md,*.ts"},
        {"pattern": "f()", "options": ("fixed",)},
        {"pattern": "one", "options": ("word",)},
        {"pattern": "TODO", "options": ("hidden",)},
        {"pattern": "TODO", "options": ("ignored",)},
        {"pattern": "head.*four", "options": ("multiline",)},
        {"pattern": "nothing there"},
    ],
)
def test_ripgrep_and_our_own_search_find_the_same_lines(work, args):
    ours, theirs = searching(work, **args), searching(work, **args)
    assert list(ripgrep_search(RG, theirs)) == list(own_search(ours))
    assert theirs.unread == ours.unread == []


@pytest.mark.skipif(RG is None, reason="ripgrep is not installed")
def test_ripgrep_refuses_an_expression_in_words(work):
    with pytest.raises(ToolError, match="no regular expression"):
        list(
            ripgrep_search(RG, searching(work, "a", options=()))
            and ripgrep_search(RG, Search(re.compile(b""), "(", work, "", 0, frozenset()))
        )


def test_the_answer_of_ripgrep_is_understood():
    message = {
        "type": "match",
        "data": {"path": {"bytes": "L3cvYmFk/w=="}, "lines": {"text": "one\r\ntwo\n"}, "line_number": 4, "submatches": []},
    }
    lines = list(parse_line(message, "/w"))
    assert [(os.fsencode(line.path), line.number, line.text, line.matches) for line in lines] == [
        (b"bad\xff", 4, "one", True),
        (b"bad\xff", 5, "two", True),
    ]
    assert list(parse_line({"type": "summary", "data": {}}, "/w")) == []


def test_nothing_a_model_writes_becomes_an_option_of_ripgrep(tmp_path):
    argv = command("rg", searching(tmp_path, "--pre=sh", files="--pre=sh,-x"))
    assert "--no-config" in argv
    assert "--regexp=--pre=sh" in argv
    assert not any("-x" in each for each in argv)
    assert argv[-2:] == ["--", str(tmp_path)]
