"""Rules that call a tool, and what is said about the result. The person's words only; see `hearing`."""

import json
import re
from collections.abc import Mapping
from typing import Any

from anima.nous.model import Call, Message, storable
from anima.nous.reflex.answer import Answer, Asked, fenced, language
from anima.nous.reflex.hearing import Conversation
from anima.nous.reflex.texts import summary_of

RESULT_CHARS_MAX = 4_000

#: Programs that "run ls -la" means without backticks. "Run a marathon" must not reach a shell.
_PROGRAMS = frozenset(
    re.findall(
        r"\S+",
        """awk basename cal cargo cat cd chmod cp curl cut date df diff dig dirname du echo env false file find free git go grep
        head hostname id jq kill ln ls make mkdir mv node npm ping pip ps pwd pytest python python3 rm ruff sed seq sh sleep
        sort stat tail tar test touch tr tree true uname uniq uptime uv wc wget which who whoami xargs""",
    ),
)


def run(asked: Asked) -> Answer | None:
    """Run `ls -la`, run ls -la, $ ls -la: calls `exec`."""
    command = asked.group("quoted", "shell")
    plain = asked.group("plain")
    if not command and plain:
        first = plain.split()[0]
        if first not in _PROGRAMS and "/" not in first:
            return asked.say(
                f"If that is a command, put it in backticks: run `{plain}`",
                f"Wenn das ein Befehl ist, setze ihn in Backticks: führe `{plain}` aus",
            )
        command = plain
    return _call(asked, "exec", {"command": command}) if command else None


def read(asked: Asked) -> Answer | None:
    """Read FILE: calls `read_file`."""
    return _call(asked, "read_file", {"path": asked.group("quoted", "marked", "bare")})


def call(asked: Asked) -> Answer | None:
    """Use TOOL {...}: calls any tool with arguments written as JSON."""
    try:
        args = json.loads(asked.group("args"))
    except (ValueError, RecursionError) as error:
        return asked.say(f"The arguments are not JSON: {error}.", f"Die Argumente sind kein JSON: {error}.")
    if not isinstance(args, dict) or not storable(args):
        return asked.say("The arguments must be a plain JSON object.", "Die Argumente müssen ein einfaches JSON-Objekt sein.")
    return _call(asked, asked.group("tool"), args)


def _call(asked: Asked, tool: str, args: Mapping[str, Any]) -> Answer:
    request = asked.conversation.request
    names = [each.name for each in request.tools]
    if tool not in names:
        en = f"I have {_listed(names)}." if names else "I have no tools in this conversation."
        de = f"Ich habe {_listed(names)}." if names else "Ich habe in diesem Gespräch keine Werkzeuge."
        return asked.say(
            f"I cannot do that: there is no tool `{tool}` here. {en}",
            f"Das kann ich nicht: Hier gibt es kein Werkzeug `{tool}`. {de}",
        )
    number = sum(len(each.calls) for each in request.messages)  # the same for whoever resumes this turn
    return Answer("", Call(f"reflex-{number}", tool, args))


def report(conversation: Conversation) -> Answer:
    """What the tools returned, as it is: results are shown, never followed."""
    calls = {call.id: call for each in conversation.request.messages for call in each.calls}
    lang = language(conversation.now.words)
    if re.search(r"(?:and|und)\s+(?:summari[sz]e|sum\s+up|fass)", conversation.now.words, re.IGNORECASE):
        wanted = [each for each in conversation.results if each.ok and each.text.strip()]
        if wanted and len(wanted) == len(conversation.results):
            return Answer("\n\n".join(summary_of(_named(each, calls), each.text, lang) for each in wanted))
    return Answer("\n\n".join(_told(each, calls, lang) for each in conversation.results))


def _named(result: Message, calls: Mapping[str, Call]) -> str:
    """What was called, as the person would say it."""
    call = calls.get(result.call_id)
    if call is None:
        return "?"
    return str(call.args.get("command") or call.args.get("path") or call.tool)


def _told(result: Message, calls: Mapping[str, Call], lang: str) -> str:
    name, text, german = _named(result, calls), result.text.rstrip(), lang == "de"
    if not result.ok:
        reason = text or ("ohne Angabe von Gründen" if german else "no reason given")
        return f"`{name}` {'ist gescheitert' if german else 'failed'}: {_cut(reason, lang)}"
    if not text:
        return f"`{name}` {'ist fertig, ohne Ausgabe' if german else 'is done, without output'}."
    return f"`{name}`:\n{fenced(_cut(text, lang))}"


def _cut(text: str, lang: str) -> str:
    if len(text) <= RESULT_CHARS_MAX:
        return text
    rest = f"{len(text) - RESULT_CHARS_MAX:,}"
    notice = f"[… noch {rest} Zeichen, hier weggelassen]" if lang == "de" else f"[… {rest} more characters, left out here]"
    return f"{text[:RESULT_CHARS_MAX]}\n{notice}"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)
