"""Unified diffs: made, parsed and applied. Pure functions on text; nothing here touches a file.

A patch is applied where it says, or, if its lines stand exactly once elsewhere, there. Its context must match to the letter
(line ends apart, which stay those of the file): a patch that almost fits is refused with what was expected and what is there.
"""

import difflib
import re
from dataclasses import dataclass

from anima.tools.files.content import bare, split_lines
from anima.tools.tool import ToolError

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*")
_NO_END = "\\ No newline at end of file"
NOWHERE = "/dev/null"


@dataclass(frozen=True, slots=True)
class Hunk:
    r"""One place of change. `old` and `new` are lines with their ends (\n, or none for a last line without)."""

    at: int  #: number of the first old line, from 1; 0 for an insertion at the very start
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What happens to one file. `old` or `new` is /dev/null for a file that comes to be or goes."""

    old: str
    new: str
    hunks: tuple[Hunk, ...]


def unified(before: str, after: str, name: str, context: int = 3) -> str:
    """The diff from one text to another; "" if they are the same."""
    old, new = split_lines(before), split_lines(after)
    pieces = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
        first, last = group[0], group[-1]
        pieces.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n")
        for sort, i1, i2, j1, j2 in group:
            if sort == "equal":
                pieces += [_marked(" ", line) for line in old[i1:i2]]
            else:
                pieces += [_marked("-", line) for line in old[i1:i2]]
                pieces += [_marked("+", line) for line in new[j1:j2]]
    return f"--- a/{name}\n+++ b/{name}\n" + "".join(pieces) if pieces else ""


def _range(start: int, stop: int) -> str:
    count = stop - start
    return f"{start + 1 if count else start},{count}"


def _marked(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{_NO_END}\n"


# -- parsing -------------------------------------------------------------------------------------------------------------


def parse_patch(text: str) -> list[FilePatch]:
    """The files of a patch. Raises ToolError with the line that makes no sense."""
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    found: list[FilePatch] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ "):
            old, new = _name(line), _name(lines[index + 1])
            hunks, index = _parse_hunks(lines, index + 2)
            if not hunks:
                raise ToolError(f"line {index + 1} of the patch: the change of {new} has no hunk (@@ -a,b +c,d @@)")
            found.append(FilePatch(old, new, tuple(hunks)))
            continue
        if line.startswith(("@@", "+", "-", "GIT binary", "rename ", "copy ")):
            raise ToolError(
                f"line {index + 1} of the patch is '{line[:60]}', where '--- a/FILE' and '+++ b/FILE' should come first "
                "(moves and binary files are not for patches: use move_file, write_file)"
            )
        index += 1  # what stands between files is for people: commit messages, `diff --git`, `index`
    if not found:
        raise ToolError(
            "there is no change in the patch; it is a unified diff: '--- a/FILE', '+++ b/FILE', '@@ -1,3 +1,4 @@', lines"
        )
    return found


def _name(line: str) -> str:
    name = line[4:].rstrip("\r").partition("\t")[0].strip()
    if name != NOWHERE and name[:2] in ("a/", "b/"):
        return name[2:]
    return name


def _parse_hunks(lines: list[str], index: int) -> tuple[list[Hunk], int]:
    hunks: list[Hunk] = []
    while index < len(lines) and lines[index].startswith("@@"):
        head = _HUNK.fullmatch(lines[index])
        if head is None:
            raise ToolError(f"line {index + 1} of the patch is '{lines[index][:60]}', not '@@ -a,b +c,d @@'")
        wanted = (int(head[2] or 1), int(head[4] or 1))
        old, new, index = _parse_body(lines, index + 1, wanted, len(hunks) + 1)
        hunks.append(Hunk(int(head[1]), tuple(old), tuple(new)))
    return hunks, index


def _parse_body(lines: list[str], index: int, wanted: tuple[int, int], number: int) -> tuple[list[str], list[str], int]:
    old: list[str] = []
    new: list[str] = []
    touched: list[list[str]] = []
    while (index < len(lines) and (len(old), len(new)) != wanted) or (index < len(lines) and lines[index].startswith("\\")):
        sign, rest = (lines[index][:1] or " "), lines[index][1:]  # an empty line stands for an empty context line
        if sign == "\\":
            for side in touched:
                side[-1] = side[-1].removesuffix("\n")
            touched = []
        elif sign in " -+":
            touched = [side for side, signs in ((old, " -"), (new, " +")) if sign in signs]
            for side in touched:
                side.append(rest + "\n")
        else:
            break
        if len(old) > wanted[0] or len(new) > wanted[1]:
            break
        index += 1
    if (len(old), len(new)) != wanted:
        raise ToolError(
            f"hunk {number} ends at line {index + 1} of the patch: its head promises {wanted[0]} old and "
            f"{wanted[1]} new lines, found were {len(old)} and {len(new)}; each line of a hunk begins with ' ', '-' or '+'"
        )
    return old, new, index


# -- applying ------------------------------------------------------------------------------------------------------------


def apply_hunks(text: str, hunks: tuple[Hunk, ...], newline: str, name: str) -> tuple[str, list[str]]:
    """The text after all hunks, and a remark for each that stood elsewhere than it said. Raises ToolError for a misfit."""
    lines = split_lines(text)
    remarks: list[str] = []
    shift = 0
    floor = 0  # hunks come in order; none may touch what an earlier one made
    for number, hunk in enumerate(hunks, 1):
        stated = max(0, hunk.at - 1 if hunk.old else hunk.at) + shift
        at = _find(lines, hunk.old, stated, floor)
        if at is None:
            raise ToolError(f"hunk {number} of {name} does not fit: {_misfit(lines, hunk, stated)}")
        if at != stated:
            remarks.append(f"hunk {number} was found at line {at + 1} instead of {stated + 1}")
        kept = lines[at : at + len(hunk.old)]
        lines[at : at + len(hunk.old)] = _with_ends(hunk, kept, newline)
        floor = at + len(hunk.new)
        shift += len(hunk.new) - len(hunk.old) + (at - stated)
    middle = next((index for index, line in enumerate(lines[:-1]) if not line.endswith("\n")), None)
    if middle is not None:
        raise ToolError(f"the patch of {name} leaves line {middle + 1} without an end in the middle of the file")
    return "".join(lines), remarks


def _with_ends(hunk: Hunk, kept: list[str], newline: str) -> list[str]:
    """The new lines of a hunk, unchanged ones as the file has them, added ones with the file's own line end."""
    made: list[str] = []
    for sort, i1, i2, j1, j2 in difflib.SequenceMatcher(None, hunk.old, hunk.new, autojunk=False).get_opcodes():
        if sort == "equal":
            made += kept[i1:i2]
        else:
            made += [bare(line) + newline if line.endswith("\n") else line for line in hunk.new[j1:j2]]
    return made


def _find(lines: list[str], wanted: tuple[str, ...], stated: int, floor: int) -> int | None:
    if floor <= stated <= len(lines) and _matches(lines, wanted, stated):
        return stated
    if not wanted:
        return None  # an insertion without context has no other place than the one it states
    first = bare(wanted[0])
    found = [
        at for at in range(floor, len(lines) - len(wanted) + 1) if bare(lines[at]) == first and _matches(lines, wanted, at)
    ]
    return found[0] if len(found) == 1 else None


def _matches(lines: list[str], wanted: tuple[str, ...], at: int) -> bool:
    if at + len(wanted) > len(lines):
        return False
    for line, want in zip(lines[at : at + len(wanted)], wanted, strict=True):
        if bare(line) != bare(want) or line.endswith("\n") != want.endswith("\n"):
            return False
    return True


def _misfit(lines: list[str], hunk: Hunk, stated: int) -> str:
    if not hunk.old:
        return f"it inserts at line {stated}, but the file has {len(lines)} lines"
    places = [at for at in range(len(lines)) if _matches(lines, hunk.old, at)]
    if len(places) > 1:
        where = ", ".join(str(at + 1) for at in places[:5])
        return (
            f"its lines are not at line {stated + 1} but stand {len(places)} times elsewhere (lines {where}); give more context"
        )
    for offset, want in enumerate(hunk.old):
        there = lines[stated + offset] if stated + offset < len(lines) else None
        if there is None:
            return f"it expects {_quoted(want)} at line {stated + offset + 1}, but the file has {len(lines)} lines"
        if bare(there) != bare(want):
            return f"at line {stated + offset + 1} it expects {_quoted(want)}, but there stands {_quoted(there)}"
    return "it and the file disagree about a newline at the end of the file"


def _quoted(line: str) -> str:
    text = bare(line)
    return repr(text if len(text) <= 120 else text[:117] + "...")  # noqa: PLR2004
