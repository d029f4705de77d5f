"""Rules about what was said in this session. Nothing is kept anywhere: the conversation in view is the memory."""

import re

from anima.nous.reflex.answer import Answer, Asked, quoted
from anima.nous.reflex.hearing import Conversation

_NOTE = re.compile(
    r"(?:please\s+|bitte\s+)?(?:(?:remember|note|keep\s+in\s+mind|don't\s+forget)(?:\s+that|\s*:)?|"
    r"(?:merke?\s+dir|denk\s+daran|vergiss\s+nicht|notiere?)(?:\s+bitte)?(?:\s*[,:])?(?:\s+dass)?)\s+(?P<note>.+)",
    re.IGNORECASE | re.DOTALL,
)
_NAME = re.compile(
    r"(?:\b(?:my\s+name\s+is|my\s+name's|i\s+am\s+called|i'm\s+called|call\s+me|mein\s+name\s+ist|ich\s+hei(?:ß|ss)e|nenn\w*\s+mich)"
    r"|^\s*(?:i\s+am|i'm)(?=\s+(?-i:[A-Z][\w-]+\W*$)))\s+(?P<name>[^\W\d_][^\n,;.!?]{0,60}?)(?=\s+(?:and|und)\s|[\n,;.!?]|$)",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"\?\s*$|^(?:what|who|when|where|why|how|which|do|did|was|wer|wann|wo|warum|wie|welche\w*|wei(?:ß|ss)t)\b", re.IGNORECASE
)
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the my your our his her their this that these about of is are in on der die das den dem ein eine mein dein",
    ),
)
_PREAMBLE = re.compile(
    r"^(?:(?:what|was)\s+(?:i|ich)\s+(?:\w+\s+){1,2}(?:about|zu|von|über)|about|that|what|was|dass)\s+",
    re.IGNORECASE,
)
_ALL = frozenset(["", "me", "myself", "i", "mich", "mir", "everything", "alles", "it", "that", "this", "so far"])
_SHOWN_MAX = 8


def told_name(asked: Asked) -> Answer:
    """My name is Ada."""
    name = asked.group("name")
    return asked.say(f"Nice to meet you, {name}.", f"Freut mich, {name}.")


def asked_name(asked: Asked) -> Answer:
    """Answer to: what is my name?."""
    name = name_of(asked.conversation)
    if name:
        return asked.say(f"You said your name is {name}.", f"Du hast gesagt, du heißt {name}.")
    return asked.say(
        "You have not told me your name in this session.", "Deinen Namen hast du mir in dieser Sitzung nicht gesagt."
    )


def name_of(conversation: Conversation) -> str:
    """What the person last called themselves, in view of this session; else ""."""
    for words in reversed([*(each.words for each in conversation.said), conversation.now.words]):
        found = list(_NAME.finditer(words))
        if found:
            return found[-1]["name"].strip()
    return ""


def remember(asked: Asked) -> Answer:
    """Remember that the milk is empty."""
    note = quoted(asked.group("note").rstrip(" ."))
    return asked.say(f"Noted for this session: {note}.", f"Für diese Sitzung gemerkt: {note}.")


def recall(asked: Asked) -> Answer:
    """Answer to: what do you know about the milk?."""
    topic = _PREAMBLE.sub("", asked.group("topic").strip(" ?.!'\""))
    found = _noted(asked.conversation) if topic.casefold() in _ALL else _mentioning(topic, asked.conversation)
    name = name_of(asked.conversation)
    if topic.casefold() in _ALL and name:
        found = [f"{'Dein Name ist' if asked.lang == 'de' else 'your name is'} {name}", *found]
    if not found:
        return _nothing_told(asked, topic)
    shown = "\n".join(f"- {quoted(each)}" for each in found[-_SHOWN_MAX:])
    some = f", the last {_SHOWN_MAX} of {len(found)}" if len(found) > _SHOWN_MAX else ""
    einige = f", die letzten {_SHOWN_MAX} von {len(found)}" if len(found) > _SHOWN_MAX else ""
    return asked.say(f"From this session{some}:\n{shown}", f"Aus dieser Sitzung{einige}:\n{shown}")


def _nothing_told(asked: Asked, topic: str) -> Answer:
    if topic:
        return asked.say(
            f"You have told me nothing about {topic} in this session.",
            f"Über {topic} hast du mir in dieser Sitzung nichts gesagt.",
        )
    return asked.say(
        "You have not told me anything to remember in this session.",
        "Du hast mir in dieser Sitzung nichts zum Merken gesagt.",
    )


def _noted(conversation: Conversation) -> list[str]:
    """What the person asked to remember, oldest first, each once."""
    notes = [found["note"].strip(" .\n") for each in conversation.said if (found := _NOTE.fullmatch(each.words.strip()))]
    return list(dict.fromkeys(notes))


def _mentioning(topic: str, conversation: Conversation) -> list[str]:
    """Statements of the person that contain all words of the topic, notes without their "remember"."""
    wanted = {_stem(each) for each in re.findall(r"\w+", topic.casefold()) if each not in _EMPTY_WORDS}
    found = []
    for each in conversation.said:
        words = each.words.strip()
        if not wanted or _QUESTION.search(words):
            continue
        if wanted <= {_stem(word) for word in re.findall(r"\w+", words.casefold())}:
            note = _NOTE.fullmatch(words)
            found.append((note["note"] if note else words).strip(" .\n"))
    return list(dict.fromkeys(found))


def _stem(word: str) -> str:
    """The word without what most often ends a plural or a case in English and German."""
    return re.sub(r"(?:'s|es|en|er|e|s|n)$", "", word) if len(word) > 3 else word  # noqa: PLR2004 - "is" is no plural


def first(asked: Asked) -> Answer:
    """Answer to: what did I say first?."""
    if not (earlier := _words(asked)):
        return _nothing_before(asked)
    said = quoted(earlier[0])
    return asked.say(f"The earliest I can see from you here: {said}", f"Das Früheste, was ich hier von dir sehe: {said}")


def last(asked: Asked) -> Answer:
    """Answer to: what did I say last?."""
    if not (earlier := _words(asked)):
        return _nothing_before(asked)
    return asked.say(f"Before this: {quoted(earlier[-1])}", f"Davor: {quoted(earlier[-1])}")


def _words(asked: Asked) -> list[str]:
    said = asked.conversation.said
    return [each.words or each.attached[0].text for each in said if each.words or each.attached]


def _nothing_before(asked: Asked) -> Answer:
    return asked.say("This is the first message I can see here.", "Das ist die erste Nachricht, die ich hier sehe.")


def again(asked: Asked) -> Answer:
    """Repeat that."""
    answers = asked.conversation.answers
    return Answer(answers[-1]) if answers else asked.say("I have not said anything yet.", "Ich habe noch nichts gesagt.")


def echo(asked: Asked) -> Answer:
    """say: good morning."""
    words = asked.group("words")
    bare = words[1:-1] if len(words) > 1 and words[0] + words[-1] in ('""', "''", "“”", "„“", "``") else words
    return Answer(bare)


def forget(asked: Asked) -> Answer:
    """Forget that."""
    return asked.say(
        "I cannot: what was said stays in the journal. `animactl clear NAME` begins a new conversation.",
        "Das kann ich nicht: Gesagtes bleibt im Journal. `animactl clear NAME` beginnt ein neues Gespräch.",
    )
