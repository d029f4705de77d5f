"""ripgrep's answer as our lines: it is asked for JSON, and stopped as soon as nobody reads on."""

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from anima.tools.files.places import show
from anima.tools.search.lines import Line, Search
from anima.tools.search.patterns import matcher
from anima.tools.tool import ToolError

_SWITCHES = {
    "ignore_case": ["--ignore-case"],
    "fixed": ["--fixed-strings"],
    "word": ["--word-regexp"],
    "hidden": ["--hidden", "--glob=!.git"],
    "ignored": ["--no-ignore"],
    "multiline": ["--multiline", "--multiline-dotall"],
}


def command(rg: str, search: Search) -> list[str]:
    """The command line. --sort makes the order that of paths; --no-config keeps a file of the workspace from having a say.

    Which files are meant is sorted out from the answer: both --glob and --type bring hidden and ignored files back.
    """
    argv = [rg, "--no-config", "--json", "--sort=path", "--no-require-git", "--no-ignore-global", "--no-ignore-parent"]
    for option in sorted(search.options):
        argv += _SWITCHES.get(option, [])
    if search.context:
        argv.append(f"--context={search.context}")
    return [*argv, f"--regexp={search.pattern}", "--", str(search.where)]


def ripgrep_search(rg: str, search: Search) -> Iterator[Line]:
    """Every line of the answer. Raises ToolError if ripgrep refuses the expression."""
    inside = search.where.is_dir()
    folder = search.where if inside else search.where.parent
    meant = matcher(search.files) if search.files and inside else None
    asked = subprocess.Popen(
        command(rg, search), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert asked.stdout is not None
    assert asked.stderr is not None
    with asked:
        try:
            for raw in asked.stdout:
                for line in parse_line(json.loads(raw), str(folder)):
                    if meant is None or meant(line.path):
                        yield line
            complaint = asked.stderr.read().decode("utf-8", "replace").strip()
        finally:
            with contextlib.suppress(ProcessLookupError):
                asked.kill()
    if asked.returncode == 2 and complaint:  # noqa: PLR2004 - an error; 0 and 1 are found and not found
        if "regex" in complaint:
            raise ToolError(f"'{search.pattern}' is no regular expression: {complaint[:500]}")
        search.unread += [show(line[:200]) for line in complaint.splitlines()[:5]]


def parse_line(message: Mapping[str, Any], folder: str) -> Iterator[Line]:
    """The lines in one message of `rg --json`; a match over several lines is several."""
    if message["type"] not in ("match", "context"):
        return
    data = message["data"]
    path = os.path.relpath(os.fsdecode(_bytes(data["path"])), folder)
    body = _bytes(data["lines"]).decode("utf-8", "replace")
    for offset, line in enumerate(body.removesuffix("\n").split("\n")):
        yield Line(path, data["line_number"] + offset, line.removesuffix("\r"), matches=message["type"] == "match")


def _bytes(found: Mapping[str, str]) -> bytes:
    """Ripgrep gives text as it is and anything else in base64."""
    return found["text"].encode() if "text" in found else base64.b64decode(found["bytes"])
