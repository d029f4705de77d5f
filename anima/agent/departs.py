"""Where a request of today departs from the one that was recorded: in a few sentences, and as a diff. Pure."""

import difflib
import json
from collections.abc import Iterator, Mapping

from anima.agent.spelling import VOLATILE
from anima.nous.model import Message, Request, ToolSpec

_SETTINGS = ("tokens_max", "thinking_tokens_max", "reminder", "streamed", "session", "agent")


def departures(then: Request, now: Request) -> list[str]:
    """Sentences about what differs, [] if nothing does."""
    found = []
    if then.system != now.system:
        found.append("the system prompt differs (persona, host, model or what is said of the tools)")
    found += _tools(then.tools, now.tools)
    for name in _SETTINGS:
        if (was := getattr(then, name)) != (is_now := getattr(now, name)):
            found.append(f"{name} was {_short(was)}, is {_short(is_now)}")
    found += _facts(then.facts, now.facts)
    found += _messages(then.messages, now.messages)
    return found


def _tools(then: tuple[ToolSpec, ...], now: tuple[ToolSpec, ...]) -> Iterator[str]:
    was, is_now = {tool.name: tool for tool in then}, {tool.name: tool for tool in now}
    if gone := [name for name in was if name not in is_now]:
        yield f"tools that are gone: {', '.join(gone)}"
    if new := [name for name in is_now if name not in was]:
        yield f"tools that are new: {', '.join(new)}"
    if changed := [name for name, tool in was.items() if name in is_now and is_now[name] != tool]:
        yield f"tools that changed: {', '.join(changed)}"
    if not gone and not new and list(was) != list(is_now):
        yield "the tools stand in another order"


def _facts(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*then, *now} - set(VOLATILE)):
        if (was := then.get(name, "")) != (is_now := now.get(name, "")):
            yield f"{name} was {_short(was)}, is {_short(is_now)}"


def _messages(then: tuple[Message, ...], now: tuple[Message, ...]) -> Iterator[str]:
    if len(then) != len(now):
        yield f"there were {len(then)} messages, there are {len(now)}"
    for place, (was, is_now) in enumerate(zip(then, now, strict=False), 1):
        if was != is_now:
            yield f"message {place} differs ({was.role})"
            return


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - a sentence stays a sentence


def difference(then: Request, now: Request) -> str:
    """The unified diff of both, as text for a person; "" if they are the same."""
    return "\n".join(difflib.unified_diff(told(then), told(now), "recorded", "today", n=3, lineterm=""))


def told(request: Request) -> list[str]:
    """A request as lines of text: everything a model is shown, in the order it is shown."""
    lines = ["# system", *request.system.split("\n"), "# tools"]
    for tool in request.tools:
        lines += [f"{tool.name}: {tool.summary}", json.dumps(tool.schema, ensure_ascii=False, sort_keys=True)]
    lines.append("# settings")
    lines += [f"{name} = {getattr(request, name)!r}" for name in _SETTINGS if name != "reminder"]
    lines += [f"{name} = {value}" for name, value in sorted(request.facts.items())]
    lines.append("# messages")
    for message in request.messages:
        lines += _message(message)
    if request.reminder:
        lines += ["# reminder", *request.reminder.split("\n")]
    return lines


def _message(message: Message) -> Iterator[str]:
    about = f" {message.call_id}{'' if message.ok else ' (failed)'}" if message.role == "tool" else ""
    first, *rest = message.text.split("\n")
    for thought in message.thoughts:
        yield f"[{message.role} thinks] {thought.text}"
    yield f"[{message.role}{about}] {first}"
    yield from rest
    for call in message.calls:
        yield f"[{message.role} calls {call.tool} as {call.id}] {json.dumps(dict(call.args), ensure_ascii=False)}"
    for image in message.images:
        yield f"[{message.role} shows] {image.mime} {image.path or f'{len(image.data)} bytes'}"
