"""When a text to be replaced is not in the file: which lines come closest, and in what they differ."""

import difflib
from collections import Counter

from anima.tools.files.content import bare, split_lines

_CANDIDATES_MAX = 5_000  #: lines compared letter by letter when no line matches as a whole
_SHOWN_MAX = 12  #: differing lines told


def near_miss(text: str, wanted: str) -> str:
    """One sentence and a few lines about the place that comes closest to `wanted`; says so if nothing does."""
    lines = [bare(line) for line in split_lines(text)]
    want = [bare(line) for line in split_lines(wanted)]
    start = _closest(lines, want)
    if start is None:
        return "nothing in the file comes near to it"
    there = lines[start : start + len(want)]
    alike = difflib.SequenceMatcher(None, "\n".join(there)[:4_000], "\n".join(want)[:4_000]).ratio()
    where = f"lines {start + 1}-{start + len(there)}" if len(there) > 1 else f"line {start + 1}"
    if [line.strip() for line in there] == [line.strip() for line in want]:
        return f"{where} differ only in spaces or tabs at the ends of lines:\n{_differences(there, want)}"
    if ["".join(line.split()) for line in there] == ["".join(line.split()) for line in want]:
        return f"{where} differ only in spaces or tabs:\n{_differences(there, want)}"
    return f"the closest is {where} ({alike:.0%} alike):\n{_differences(there, want)}"


def _closest(lines: list[str], want: list[str]) -> int | None:
    """Where the most lines agree, spaces apart; else where the longest line has a similar one."""
    places: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        if line.strip():
            places.setdefault(line.strip(), []).append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(want):
        for index in places.get(line.strip(), ())[:1_000]:
            votes[max(0, index - offset)] += 1
    if votes:
        most = max(votes.values())
        return min(start for start, count in votes.items() if count == most)
    offset, longest = max(enumerate(want), key=lambda pair: len(pair[1].strip()), default=(0, ""))
    if not longest.strip():
        return None
    stripped = [line.strip()[:400] for line in lines[:_CANDIDATES_MAX]]
    found = difflib.get_close_matches(longest.strip()[:400], stripped, n=1, cutoff=0.6)
    return max(0, stripped.index(found[0]) - offset) if found else None


def _differences(there: list[str], want: list[str]) -> str:
    told = [line for line in difflib.ndiff(want[:200], there[:200]) if line[:2] in ("- ", "+ ")]
    signs = {"- ": "you gave: ", "+ ": "there is: "}
    shown = [f"  {signs[line[:2]]}{line[2:][:300]!r}" for line in told[:_SHOWN_MAX]]
    if len(told) > _SHOWN_MAX:
        shown.append(f"  ... and {len(told) - _SHOWN_MAX} more lines")
    return "\n".join(shown)
