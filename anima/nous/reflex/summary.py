"""An extractive summary: the sentences whose words are most frequent in the text, in the text's own order.

SumBasic (Nenkova & Vanderwende, 2005): a sentence weighs the mean probability of its words; after each pick the
probabilities of its words are squared, so that the next pick says something else. Nothing is rephrased, so nothing can
be made up.
"""

import re
from collections import Counter
from dataclasses import dataclass

SENTENCE_CHARS_MAX = 400
_MERGED_CHARS_MAX = 2_000  # no sentence is this long; without a bound, "e.g. e.g. e.g." would be copied over and over
_WORDS_MIN = 4  # shorter sentences are headings and leftovers
_SENTENCES_MAX = 20_000  # beyond that the beginning stands for the whole, and the answer says so

_STOP = frozenset(
    re.findall(
        r"\w+",
        """a about after all also an and any are as at be because been but by can could did do does for from had has have he
        her his how i if in into is it its just like may me more most my no not of on one only or other our out over own s
        same she should so some such t than that the their them then there these they this those to too up us very was we
        were what when where which while who will with would you your
        aber alle als also am an auch auf aus bei bin bis bist da damit dann das dass dem den der des die dies diese dieser
        doch du durch ein eine einem einen einer eines er es euch für hat hatte ich ihr im in ist ja kann mit nach nicht noch
        nur ob oder ohne sehr sein sich sie sind so über um und uns unter vom von vor war was weil wenn werden wie wir wird zu
        zum zur""",
    ),
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|[zdu]\. ?[Bahs]|e\.g|i\.e|etc|vs|cf|Dr|Mr|Mrs|Ms|Prof|St|bzw|ca|Nr|vgl|usw)\.$"
)
_END = re.compile(r"(?<=[.!?…])[\"'”\u2019)\]]*\s+|(?<=[。\uff01\uff1f])")
_LINE_MARKS = re.compile(r"^\s*(?:>+|[-*+•]\s|\d{1,3}[.)]\s)\s*")
_MARKUP = re.compile(r"!?\[([^\]\n]{0,200})\]\([^)\n]{0,200}\)|`+|\*\*|__|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)|<[^>\n]{1,200}>")


@dataclass(frozen=True, slots=True)
class Summary:
    """What was picked, and out of how much."""

    title: str  #: the first heading; "" if there is none
    picked: tuple[str, ...]
    sentences: int
    words: int
    cut: bool  #: only the beginning was looked at


def summarise(text: str, count: int = 3) -> Summary:
    """The `count` most telling sentences of `text`, which may be Markdown; code and tables are passed over. Linear."""
    title, paragraphs = _paragraphs(text)
    every = [sentence for paragraph in paragraphs for sentence in sentences(paragraph)]
    cut = len(every) > _SENTENCES_MAX
    every = every[:_SENTENCES_MAX]
    candidates = [each for each in every if len(re.findall(r"\w+", each)) >= _WORDS_MIN] or every
    picked = _pick(candidates, count)
    return Summary(title, tuple(_shortened(candidates[at]) for at in picked), len(every), len(re.findall(r"\w+", text)), cut)


def sentences(paragraph: str) -> list[str]:
    """The sentences of one paragraph; a full stop after an abbreviation or a single letter ends none."""
    found: list[str] = []
    for piece in _END.split(paragraph):
        if found and len(found[-1]) < _MERGED_CHARS_MAX and _ABBREVIATION.search(found[-1][-12:]):
            found[-1] += " " + piece
        elif piece.strip():
            found.append(piece.strip())
    return found


def _pick(candidates: list[str], count: int) -> list[int]:
    """Where the best sentences stand, in order."""
    tokens = [[word for word in re.findall(r"\w+", each.casefold()) if word not in _STOP] for each in candidates]
    frequency = Counter(word for each in tokens for word in each)
    total = sum(frequency.values()) or 1
    weight = {word: times / total for word, times in frequency.items()}
    left = set(range(len(candidates)))
    chosen: list[int] = []
    while left and len(chosen) < count:
        # the earlier sentence wins a tie, so that the same text has the same summary; the very first one has a head start
        best = max(left, key=lambda at: (_score(tokens[at], weight) * (2.0 if at == 0 else 1.0), -at))
        chosen.append(best)
        left.remove(best)
        for word in set(tokens[best]):
            weight[word] **= 2
    return sorted(chosen)


def _score(words: list[str], weight: dict[str, float]) -> float:
    # a floor under the length: otherwise three-word sentences of frequent words win everywhere
    return sum(weight[word] for word in words) / max(len(words), 6)


def _paragraphs(text: str) -> tuple[str, list[str]]:
    """The first heading, and the prose without code, tables, rules and markup; lines of one paragraph joined."""
    found: list[str] = []
    title, current, code = "", "", False
    for raw in text.split("\n"):
        line = raw.strip()
        if line.startswith(("```", "~~~")):
            code = not code
            continue
        heading = re.match(r"#{1,6}\s+(?=\S)", line)
        prose = not (code or heading or line.startswith("|") or not re.search(r"\w", line) or raw.startswith(("    ", "\t")))
        if heading and not (code or title or found or current):  # a title stands before the text
            title = _MARKUP.sub(_shown, line[heading.end() :].rstrip("# "))
        if current and (not prose or _LINE_MARKS.match(raw)):
            found.append(current)
            current = ""
        if prose:
            current = f"{current} {_MARKUP.sub(_shown, _LINE_MARKS.sub('', line))}".strip()
    return title, [*found, current] if current else found


def _shown(markup: re.Match[str]) -> str:
    """The text of a link; nothing of other markup."""
    return markup[1] or ""


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= SENTENCE_CHARS_MAX else sentence[: SENTENCE_CHARS_MAX - 1].rstrip() + "…"
