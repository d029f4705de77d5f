"""Where each key stands in a TOML text: the standard parser gives values without lines, and a complaint needs one.

Works on text that `tomllib` has accepted, so it only has to tell keys from strings, comments, brackets and newlines.
"""

import json
import re
from collections.abc import Iterator

Path = tuple[str, ...]

_STRING = r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_KEY_PART = r'[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_KEY = rf"(?:{_KEY_PART})(?:[ \t]*\.[ \t]*(?:{_KEY_PART}))*"

_header = re.compile(rf"\[\[?[ \t]*(?P<key>{_KEY})[ \t]*\]\]?")
_assignment = re.compile(rf"(?P<key>{_KEY})[ \t]*=")
_token = re.compile(
    rf"(?P<string>{_STRING})|(?P<comment>#[^\n]*)|(?P<open>[\[{{])|(?P<close>[\]}}])|(?P<newline>\n)|.", re.DOTALL
)
_part = re.compile(_KEY_PART)


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every table and key in a valid TOML text, by full path; the first one where a path repeats."""
    found: dict[Path, int] = {}
    for table, key, place, _ in statements(text):
        line = text.count("\n", 0, place) + 1
        path = table + key
        for length in range(1 if key else len(path), len(path) + 1):
            found.setdefault(path[:length], line)
    return found


def statements(text: str) -> Iterator[tuple[Path, Path, int, int]]:
    """Every head of a table and every assignment of a valid TOML text.

    As the table, the key in it (() for a head), and where the statement begins and, with its newline, ends.
    """
    table: Path = ()
    place = 0
    while place < len(text):
        if text[place] in " \t\r\n":
            place += 1
            continue
        begin = place
        key: Path = ()
        if match := _header.match(text, place):
            table = _parts(match["key"])
        elif match := _assignment.match(text, place):
            key = _parts(match["key"])
        place = _statement_end(text, match.end() if match else place)
        if match:
            yield table, key, begin, place


def quoted(text: str) -> str:
    """`text` as a TOML string on one line. Its escapes are those of JSON and one more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _parts(key: str) -> Path:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _part.findall(key))


def _statement_end(text: str, place: int) -> int:
    """Just behind the newline that ends the statement; newlines inside strings, arrays and inline tables do not."""
    depth = 0
    while match := _token.match(text, place):
        place = match.end()
        if match["open"]:
            depth += 1
        elif match["close"]:
            depth -= 1
        elif match["newline"] and depth <= 0:
            break
    return place
