"""Glob patterns as regular expressions, and .gitignore files as rules. Pure functions on text.

*  anything but /      **/  any number of directories, none too      ?  one character      [a-z] [!a-z]  one of
{a,b}  one of the alternatives (not in ignore files, where git has none)
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from anima.tools.tool import ToolError

#: Names of file types, as ripgrep has them, for `files` of grep.
TYPES: dict[str, str] = {
    "c": "*.{c,h}",
    "cpp": "*.{cpp,cc,cxx,hpp,hh,hxx,h}",
    "css": "*.{css,scss,sass,less}",
    "go": "*.go",
    "html": "*.{html,htm}",
    "java": "*.java",
    "js": "*.{js,jsx,mjs,cjs}",
    "json": "*.json",
    "md": "*.{md,markdown}",
    "py": "*.{py,pyi}",
    "ruby": "*.rb",
    "rust": "*.rs",
    "sh": "*.{sh,bash,zsh}",
    "sql": "*.sql",
    "toml": "*.toml",
    "ts": "*.{ts,tsx,mts,cts}",
    "txt": "*.txt",
    "yaml": "*.{yaml,yml}",
}


def translate(pattern: str, *, braces: bool = True) -> str:
    """The regular expression, for `fullmatch`, of a glob pattern. Raises ToolError if a [ or { is left open."""
    out: list[str] = []
    depth = index = 0
    while index < len(pattern):
        at = index
        char = pattern[index]
        index += 1
        if char == "*":
            piece, index = _stars(pattern, at)
            out.append(piece)
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            piece, index = _one_of(pattern, at)
            out.append(piece)
        elif char == "\\" and index < len(pattern):
            out.append(re.escape(pattern[index]))
            index += 1
        elif braces and char == "{":
            depth += 1
            out.append("(?:")
        elif braces and depth and char in ",}":
            depth -= char == "}"
            out.append("|" if char == "," else ")")
        else:
            out.append(re.escape(char))
    if depth:
        raise ToolError(f"the pattern '{pattern}' has a {{ without its }}")
    return "".join(out)


def _stars(pattern: str, at: int) -> tuple[str, int]:
    end = at
    while end < len(pattern) and pattern[end] == "*":
        end += 1
    alone = end - at >= 2 and (at == 0 or pattern[at - 1] == "/")  # noqa: PLR2004
    if alone and pattern[end : end + 1] == "/":
        return "(?:[^/]+/)*", end + 1
    return (".*" if alone and end == len(pattern) else "[^/]*"), end


def _one_of(pattern: str, at: int) -> tuple[str, int]:
    end = pattern.find("]", at + 2 + (pattern[at + 1 : at + 2] in ("!", "^")))
    if end < 0:
        raise ToolError(f"the pattern '{pattern}' has a [ without its ]")
    inner = pattern[at + 1 : end]
    sign, inner = ("^/", inner[1:]) if inner[0] in "!^" else ("", inner)
    safe = re.sub(r"([\\\[\]&~|^])", r"\\\1", inner)
    return f"[{sign}{safe}]", end + 1


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a path, relative and with /, is meant: by its name if the pattern has no /, else as a whole.

    Several patterns may stand beside each other, with commas outside of braces; one match is enough.
    """
    tests = [_one_matcher(each) for each in split_patterns(pattern)]
    return lambda path: any(test(path) for test in tests)


def split_patterns(pattern: str) -> list[str]:
    """The patterns that stand beside each other, types written out."""
    return [TYPES.get(each.strip(), each.strip()) for each in re.split(r",(?![^{]*\})", pattern) if each.strip()]


def _one_matcher(meant: str) -> Callable[[str], bool]:
    try:
        compiled = re.compile(translate(meant.removeprefix("./")), re.DOTALL)
    except re.error as error:
        raise ToolError(f"'{meant}' is no pattern for names: {error}") from error
    if "/" in meant:
        return lambda path: compiled.fullmatch(path) is not None
    return lambda path: compiled.fullmatch(path.rpartition("/")[2]) is not None


# -- ignore files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a .gitignore. `folder` is where that file stands, "" or ending with /."""

    folder: str
    pattern: re.Pattern[str]
    keeps: bool  #: a line with !
    folders_only: bool
    whole: bool  #: matches the path from `folder` on, not just the name


def parse_ignore(text: str, folder: str) -> list[Rule]:
    """The rules of one ignore file; lines that make no sense are left out, as git does."""
    rules: list[Rule] = []
    for raw in text.splitlines():
        line = re.sub(r"(?<!\\)\s+$", "", raw)
        if not line or line.startswith("#"):
            continue
        keeps = line.startswith("!")
        line = line[keeps:]
        folders_only = line.endswith("/")
        line = line.rstrip("/")
        whole = "/" in line
        try:
            pattern = re.compile(translate(line.lstrip("/"), braces=False), re.DOTALL)
        except (ToolError, re.error):
            continue
        rules.append(Rule(folder, pattern, keeps, folders_only, whole))
    return rules


def ignored(rules: list[Rule], path: str, *, is_folder: bool) -> bool:
    """Whether the rules leave this path out; the last rule that speaks of it decides."""
    for rule in reversed(rules):
        if (rule.folders_only and not is_folder) or not path.startswith(rule.folder):
            continue
        inside = path[len(rule.folder) :]
        if rule.pattern.fullmatch(inside if rule.whole else inside.rpartition("/")[2]):
            return not rule.keeps
    return False
