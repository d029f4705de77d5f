"""grep: lines by a regular expression. ripgrep does the work where it is installed, our own search elsewhere.

Both give the same stream of lines, and one place prints it. Regular expressions are Rust's or Python's accordingly; they agree
on what a model commonly writes.
"""

import os
import re
import shutil
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Literal

from anima.limits import tool_matches_max
from anima.tools.context import Context
from anima.tools.files.disk import open_regular
from anima.tools.files.places import place, show
from anima.tools.schema import Within
from anima.tools.search.lines import Line, Search, own_search
from anima.tools.search.ripgrep import ripgrep_search
from anima.tools.tool import Result, ToolError, tool

Option = Literal["ignore_case", "fixed", "word", "files_only", "count", "hidden", "ignored", "multiline"]
_LINE_CHARS_MAX = 400


@tool(risk="safe", effect="pure", wall_s=60, keywords=("grep", "search", "find", "text", "lines", "pattern", "where", "todo"))
def grep(
    ctx: Context,
    pattern: str,
    path: str = ".",
    files: str = "",
    context: Annotated[int, Within(min=0, max=20)] = 0,
    options: list[Option] = [],  # noqa: B006 - never changed
) -> Result:
    """Find lines that match a regular expression, in a file or in all text files below a directory.

    Args:
        pattern: a regular expression
        path: a file or directory; left out, the workspace
        files: only files with such names, as *.py or src/**/*.ts, or of a type, as py, js, ts, go, rust, md
        context: so many lines before and after each match are shown too
        options: ignore_case; fixed, the pattern is plain text; word, whole words only; files_only, names of files only;
            count, matching lines per file only; hidden, also names with a leading dot; ignored, also what .gitignore leaves
            out; multiline, the pattern may span lines
    """
    where = place(ctx, path)
    if not where.is_dir():
        os.close(open_regular(where))  # a pipe or device would be read for ever
    search = Search(_compiled(pattern, options), pattern, where, files, context, frozenset(options))
    rg = shutil.which("rg")
    lines = ripgrep_search(rg, search) if rg else own_search(search)
    text, data = _printed(lines, search)
    if data["files"] == 0:
        looked = f" in {files} files" if files else ""
        text = f"[no line matches {pattern}{looked}]" + (f"\n{text}" if text else "")
    if search.unread:
        text += f"\n[could not be read: {', '.join(search.unread[:5])}]"
    return Result(ok=True, text=text, data=data)


def _compiled(pattern: str, options: list[Option]) -> re.Pattern[bytes]:
    """The expression for our own search, which works on bytes so that no encoding can stop it."""
    source = re.escape(pattern) if "fixed" in options else pattern
    if "word" in options:
        source = rf"\b(?:{source})\b"
    flags = re.MULTILINE | (re.IGNORECASE if "ignore_case" in options else 0)
    if "multiline" in options:
        flags |= re.DOTALL
    try:
        re.compile(source)
        return re.compile(source.encode(), flags)
    except re.error as error:
        raise ToolError(f"'{pattern}' is no regular expression: {error}; the option 'fixed' takes it as plain text") from error


def _printed(lines: Iterator[Line], search: Search) -> tuple[str, dict[str, int | bool]]:
    """Lines under the name of their file, with what was left out."""
    brief = search.options & {"files_only", "count"}
    out: list[str] = []
    matches = files = 0
    more = False
    for path, of_file in groupby(lines, key=lambda line: line.path):
        count, body, last = 0, [], 0
        for line in of_file:
            count += line.matches
            if brief:
                continue
            if matches + count > tool_matches_max:
                more = True
                count -= line.matches
                break
            if search.context and last and line.number != last + 1:
                body.append("--")
            body.append(f"{line.number}{':' if line.matches else '-'} {_short(line.text)}")
            last = line.number
        if count == 0:
            break
        files, matches = files + 1, matches + count
        name = show(path)
        out += [f"{name}: {count}" if "count" in brief else name] if brief else [name, *body, ""]
        more = more or (bool(brief) and files >= tool_matches_max)
        if more:
            break
    if more:
        out.append(f"[more follows than the {tool_matches_max} shown; narrow the pattern, the path or the files]")
    return "\n".join(out).rstrip("\n"), {"files": files, "matches": matches, "more": more}


def _short(text: str) -> str:
    return text if len(text) <= _LINE_CHARS_MAX else f"{text[:_LINE_CHARS_MAX]}... ({len(text)} characters)"
