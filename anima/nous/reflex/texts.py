"""Rules about text that was handed over: summarise it, count it. Its content is looked at, never obeyed."""

import re

from anima.nous.reflex.answer import Answer, Asked, Lang, language
from anima.nous.reflex.hearing import Attached
from anima.nous.reflex.summary import sentences, summarise

_COUNT = re.compile(r"\b([1-9])\s+(?:sentences?|s(?:ä|ae)tze?n?)\b", re.IGNORECASE)
_GERMAN_REQUEST = re.compile(r"\b(?:fass|zusammen|worum|k(?:ü|ue)rze)", re.IGNORECASE)
_SHORT_SENTENCES = 3  # a text of so few is its own summary
_LABELS_CHARS_MAX = 80


def summary(asked: Asked) -> Answer:
    """An extractive summary of what came with this message, else of what came last in this session."""
    attached = asked.conversation.now.attached or _earlier(asked)
    lang = "de" if _GERMAN_REQUEST.search(asked.found.group()) else "en"
    if not attached:
        en = 'Give me a text to summarise: `animactl ask NAME "summarise" -f FILE`, or pipe it in.'
        de = 'Gib mir einen Text dazu: `animactl ask NAME "fass zusammen" -f DATEI`, oder leite ihn herein.'
        return Answer(de if lang == "de" else en)
    wanted = _COUNT.search(asked.found.group())
    return Answer("\n\n".join(summary_of(each.label, each.text, lang, int(wanted[1]) if wanted else 0) for each in attached))


def count(asked: Asked) -> Answer:
    """Lines, words, characters of what came with this message, else of what came last."""
    attached = asked.conversation.now.attached or _earlier(asked)
    if not attached:
        return asked.say(
            "Hand me a text with the question and I count it.", "Gib mir einen Text mit der Frage, dann zähle ich."
        )
    return Answer("\n".join(_counted(each, asked.lang) for each in attached))


def handed(attached: tuple[Attached, ...], words: str) -> Answer:
    """What to say about text that came with no words, or with words that fit no rule."""
    lang = language(words or " ".join(each.text[:2_000] for each in attached))
    summaries = "\n\n".join(summary_of(each.label, each.text, lang) for each in attached)
    if not words:
        return Answer(summaries)
    no_rule = (
        "Damit kann ich als Reflex nichts anderes tun, als Texte zusammenzufassen und zu zählen:"
        if lang == "de"
        else "I am a rule-based reflex: with a text I can only summarise and count. So, a summary:"
    )
    return Answer(f"{no_rule}\n\n{summaries}")


def summary_of(label: str, text: str, lang: Lang, count: int = 0) -> str:
    """A summary of one text, which says how it was made. `count` sentences; 0 = three, or five of a long text."""
    found = summarise(text, count or (3 if len(text) < 10_000 else 5))  # noqa: PLR2004 - about four pages
    name = f"`{label[:_LABELS_CHARS_MAX]}`" if label else f"“{found.title}”" if found.title else ""
    german = lang == "de"
    if not found.picked:
        empty = "enthält keine Sätze" if german else "holds no sentences"
        return f"{name or ('Der Text' if german else 'The text')} {empty}."
    if found.sentences <= _SHORT_SENTENCES and not count:
        short = "ist schon kurz" if german else "is short already"
        return f"{name or ('Der Text' if german else 'The text')} {short}: {' '.join(found.picked)}"
    total = f"{'mehr als ' if german else 'more than '}{found.sentences:,}" if found.cut else f"{found.sentences:,}"
    if german:
        source = f" aus {name}" if name else ""
        head = f"Auszug{source}, {len(found.picked)} von {total} Sätzen (nach Worthäufigkeit gewählt, nicht verstanden):"
    else:
        source = f" of {name}" if name else ""
        head = f"Extract{source}, {len(found.picked)} of {total} sentences (chosen by word frequency, not understood):"
    return "\n".join([head, *(f"- {each}" for each in found.picked)])


def _earlier(asked: Asked) -> tuple[Attached, ...]:
    """The last text that was handed over in this session."""
    return next((each.attached for each in reversed(asked.conversation.said) if each.attached), ())


def _counted(attached: Attached, lang: Lang) -> str:
    text = attached.text
    lines, words = len(text.splitlines()), len(re.findall(r"\w+(?:['\u2019-]\w+)*", text))
    ends = sum(len(sentences(each)) for each in re.split(r"\n\s*\n", text))
    name = f"`{attached.label}`: " if attached.label else ""
    if lang == "de":
        counts = (_many(words, "Wort", "Wörter"), _many(ends, "Satz", "Sätze"), _many(lines, "Zeile", "Zeilen"))
        return f"{name}{', '.join(counts)}, {len(text):,} Zeichen."
    counts = (_many(words, "word", "words"), _many(ends, "sentence", "sentences"), _many(lines, "line", "lines"))
    return f"{name}{', '.join(counts)}, {_many(len(text), 'character', 'characters')}."


def _many(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
