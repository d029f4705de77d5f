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
_NAMED = ("quoted", "marked", "bare")
_TO = ("to_quoted", "to_marked", "to_bare")
_LINE_FOUND = re.compile(r"^\s*\d+:", re.MULTILINE)  # as grep shows one

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
    return _call(asked, "read_file", {"path": asked.group(*_NAMED)})


def write(asked: Asked) -> Answer | None:
    """Write `TEXT` to FILE: calls `write_file`."""
    text = asked.group("what", "that", "mark")
    return _call(asked, "write_file", {"path": asked.group(*_TO), "content": f"{text}\n"})


def list_directory(asked: Asked) -> Answer | None:
    """List the directory DIR: calls `list_directory`."""
    return _call(asked, "list_directory", {"path": asked.group(*_NAMED, "dir_quoted", "dir_marked", "dir_bare")})


def find(asked: Asked) -> Answer | None:
    """Find every `TEXT` below DIR: calls `grep`."""
    args = {"pattern": asked.group("what", "that", "mark"), "path": asked.group(*_NAMED), "options": ["fixed"]}
    if asked.group(*_TO) and "write_file" not in _names(asked):
        return _call(asked, "write_file", {})  # says that it is not there, before anything is begun
    return _call(asked, "grep", args)


def found(asked: Asked) -> Answer | None:
    """What was found is written to the file that was named, once; then what came of it is told."""
    target, results = asked.group(*_TO), asked.conversation.results
    first, last = results[0], results[-1]
    if not target or not first.ok:
        return None
    lines = _LINE_FOUND.findall(first.text)
    if not lines:
        return asked.say(
            f"Nothing of that was found, so nothing was written to `{target}`: {first.text}",
            f"Davon wurde nichts gefunden, also wurde nichts nach `{target}` geschrieben: {first.text}",
        )
    if len(results) == 1:
        return _call(asked, "write_file", {"path": target, "content": f"{first.text.rstrip()}\n"})
    if not last.ok:
        return None
    return asked.say(
        f"{len(lines)} {'line' if len(lines) == 1 else 'lines'} found, written to `{target}`.",
        f"{len(lines)} {'Zeile' if len(lines) == 1 else 'Zeilen'} gefunden und nach `{target}` geschrieben.",
    )


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
    request, names = asked.conversation.request, _names(asked)
    if tool not in names:
        en = f"I have {_listed(names)}." if names else "I have no tools in this conversation."
        de = f"Ich habe {_listed(names)}." if names else "Ich habe in diesem Gespräch keine Werkzeuge."
        return asked.say(
            f"I cannot do that: there is no tool `{tool}` here. {en}",
            f"Das kann ich nicht: Hier gibt es kein Werkzeug `{tool}`. {de}",
        )
    number = sum(len(each.calls) for each in request.messages)  # the same for whoever resumes this turn
    return Answer("", Call(f"reflex-{number}", tool, args))


def _names(asked: Asked) -> list[str]:
    return [each.name for each in asked.conversation.request.tools]


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
