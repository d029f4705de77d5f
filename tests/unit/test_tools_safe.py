"""safe_shell: a line is let through only if every shell, and no shell at all, would only look with it."""

import shlex
import shutil
import string
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.tools.run import run
from anima.tools.shell.safe import COMMANDS, PATH, Unsafe, parse, safe


@pytest.mark.parametrize(
    "line",
    [
        "ls", "ls -la /tmp", "cat 'a b.txt'", "grep -rn 'foo|bar$' src", 'grep "two words" f', "find . -name '*.py' -size +1k",
        "wc -l a b", "head -n 5 f", "tail -5 f", "sort -rn f", "sort -t, -k2 f", "uniq -c f", "uniq -f1 f", "diff -u a b",
        "date",
        "date +%F", "date -u", "date -d 'next monday' +%A", "date --date=yesterday", "env", "printenv PATH", "hostname",
        "hostname -f",
        "du -sh .", "stat f", "file f", "tree -L 2", "echo hello 'world > x'", "sha256sum f", "cut -d: -f1 f",
        "which python3", "rg -n foo",
    ],
)  # fmt: skip
def test_looking_is_safe(line):
    assert safe(line) is None
    assert safe(parse(line)) is None


@pytest.mark.parametrize(
    "line",
    [
        "", "   ", "''", "ls; rm x", "ls && rm x", "ls || rm x", "ls | sh", "ls & rm x", "ls > x", "ls >> x", "cat < x",
        "ls 2>x",
        "ls $(rm x)", "ls `rm x`", "echo $HOME", "echo ${HOME}", 'echo "$(rm x)"', 'echo "`rm x`"', 'echo "$HOME"',
        "ls\nrm x", "ls\rrm x",
        "ls\0rm", "ls \x1b[A", "(ls)", "{ ls; }", "ls {a,b}", "ls *", "ls ?", "ls [a]", "ls ~root", "ls !x", "! ls",
        "ls # x", "ls \\; rm",
        'echo "a\\"b"', "echo 'a", 'echo "a', "A=b ls", "PATH=. ls", "./ls", "/bin/ls", "../ls", "bin/ls",
        "rm x", "sh -c ls", "bash", "python3 -c 1", "perl", "awk 1", "sed -n 1p f", "sed -i s/a/b/ f", "xargs ls", "tee x",
        "cp a b",
        "mv a b", "dd if=a", "less f", "more f", "vi f", "git log", "man ls", "nohup ls", "nice ls", "time ls",
        "timeout 1 ls", "exec ls",
        "eval ls", "command ls", "builtin ls", "source f", ". f", "sudo ls", "su", "watch ls", "strace ls", "ssh h",
        "curl u", "wget u",
        "env ls", "env -i ls", "env A=b", "env -", "env --",
        "find . -exec rm {} +", "find . -exec rm x", "find . -execdir rm x", "find . -ok rm x", "find . -okdir rm x",
        "find . -delete",
        "find . -fprint x", "find . -fprintf x y", "find . -fls x", "find . -fprint0 x",
        "sort -o x f", "sort -ox f", "sort -ro x f", "sort --output x f", "sort --output=x f", "sort --outp=x f",
        "sort --o x f", "sort -T. f",
        "sort --compress-program=sh f", "sort --comp=sh f", "sort -S1 f", "sort f -o x", "sort -- -o",
        "uniq a b", "uniq -- -f b", "uniq -c a b", "uniq - b",
        "tail -f x", "tail -F x", "tail -nf x", "tail --follow x", "tail --fol x", "tail --retry x",
        "date -s now", "date --set=now", "date -us now", "date 01010101", "date --s now", "date -d", "date -- 01010101",
        "hostname x", "hostname -F x", "hostname -b x", "hostname -- x",
        "file -C -m x", "file -z x", "file --compile", "file --comp", "file -f x", "tree -o x", "tree -R", "diff -l a b",
        "diff --pag a b",
        "rg --pre sh x", "rg --pre=sh x", "rg -z x", "rg --hostname-bin=x y", "rg --search-zip x", "rg --pr=sh x",
    ],
)  # fmt: skip
def test_anything_that_may_do_more_is_refused_with_a_reason(line):
    reason = safe(line)
    assert reason
    assert len(reason) > 10


@pytest.mark.parametrize("words", [[], [""], ["ls", "a\0b"], ["ls", "\n"], ["rm", "x"], ["/bin/ls"], ["ls", 5], ["ls"] * 300])
def test_words_are_judged_like_lines(words):
    assert safe(words)


def test_words_given_as_words_may_hold_anything_a_shell_would_act_on():
    assert safe(["grep", "-n", "$(rm x); a|b > c * ~", "f"]) is None


SOUP = st.text(string.printable + "\u00a0\u2028\x00\x1b\u00e4", max_size=30)
LISTED = st.sampled_from(sorted(COMMANDS))


@given(SOUP | st.builds(lambda name, rest: f"{name} {rest}", LISTED, SOUP))
def test_no_line_breaks_the_judgement_and_what_passes_has_plain_words(line):
    reason = safe(line)
    if reason is None:
        words = parse(line)
        assert words == shlex.split(line), "the standard library reads the same words"
        assert words[0] in COMMANDS
        assert safe(words) is None


@given(st.builds(lambda name, rest: f"{name} {rest}", LISTED, SOUP))
def test_every_forbidden_sign_outside_quotes_is_refused(line):
    bare = []
    quote = ""
    for char in line:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            bare.append(char)
    if set("|&;<>()$`\\*?[]{}!#~\n\r\0") & set(bare):
        assert safe(line)


@settings(max_examples=60, deadline=None)
@given(st.text(string.ascii_letters + " '\"|&;<>$`\\*?[]{}!#~=-./\t", max_size=25))
def test_a_shell_reads_the_words_of_a_safe_line_exactly_as_we_do(rest):
    """Echo stands for any command: bash and sh are given the line, and must print our words and touch nothing."""
    line = f"echo {rest}"
    if safe(line) is not None:
        return
    words = parse(line)[1:]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").touch()
        for shell in filter(shutil.which, ("bash", "sh")):
            script = f"echo() {{ for each; do printf '%s\\0' \"$each\"; done; }}\n{line}"
            done = subprocess.run([shell, "-c", script], cwd=folder, capture_output=True, check=False)
            assert done.returncode == 0
            assert done.stdout.decode().split("\0")[:-1] == words
            assert [path.name for path in Path(folder).iterdir()] == ["file"]


@given(
    st.sampled_from(["sort", "tail", "file", "tree", "diff", "rg", "find", "uniq", "date", "hostname", "env"]),
    st.lists(SOUP, max_size=4),
)
def test_quoting_hides_nothing_from_the_judgement(name, args):
    """However a word is quoted, it is judged as the word it is."""
    try:
        line = parse(" ".join([name, *(f"'{arg}'" for arg in args)]))
    except Unsafe:
        return
    assert safe(line) == safe([name, *line[1:]])


def test_the_tool_runs_without_a_shell_and_finds_only_system_programs(tmp_path):
    ctx = {"workdir": str(tmp_path)}
    (tmp_path / "ls").write_text("#!/bin/sh\necho fooled\n")
    (tmp_path / "ls").chmod(0o755)
    (tmp_path / "a b").write_text("x\ny\n")
    assert run("safe_shell", {"command": "ls"}, ctx)["data"]["stdout"].split("\n") == ["a b", "ls", ""]
    assert run("safe_shell", {"command": "wc -l 'a b'"}, ctx)["data"]["stdout"] == "2 a b\n"
    assert "fooled" not in run("safe_shell", {"command": "ls"}, ctx)["text"]
    assert run("safe_shell", {"command": "env"}, ctx)["data"]["stdout"].splitlines()[0] == f"PATH={PATH}"
    refused = run("safe_shell", {"command": "ls; rm -rf ."}, ctx)
    assert not refused["ok"]
    assert refused["text"].startswith("not run: ';' means several commands to a shell")
    assert "not run" in run("safe_shell", {"command": "find . -delete"}, ctx)["text"]
    assert len(list(tmp_path.iterdir())) == 2
