"""The body of a request to the Messages API, rendered from ours: messages, thinking, pictures, tools, cache breakpoints.

https://docs.claude.com/en/api/messages and .../build-with-claude/prompt-caching, .../extended-thinking
"""

import re
from collections.abc import Iterable
from typing import Any

from anima.nous.model import Image, Message, Request, Thinking

Block = dict[str, Any]

_BLANK = "(an empty message)"  # the API refuses a message without visible characters
_CACHED = {"type": "ephemeral"}  # five minutes, refreshed by every use
_BUDGET_MIN = 1024  # the API's own lower bound for a budget of thinking
_ADAPTIVE_SINCE = (4, 6)  # from here on a model decides itself how much it thinks; budgets are deprecated, then refused
_THINKING_SINCE = (5, 0)  # from here on a model thinks unless told otherwise
_EFFORTS = ((4096, "low"), (16_384, "medium"))  # budgets below; larger ones are `high`, which is what a model does anyway


def render(request: Request, model: str, *, thoughts: bool = True) -> dict[str, Any]:
    """The body of POST /v1/messages, without `stream`; with `thoughts` false, no earlier thinking is sent back.

    The API wants a person to begin, answers of tools inside a user message directly after the calls, and no empty
    blocks. So what precedes the first user message in view is left out, neighbours of one role are joined, and a
    blank message of a person says that it is blank.

    Signed thoughts go back within the turn at hand only, where the API needs them: newer models hold a thought against
    everything that stood before it, and between turns the window moves. For the same reason the reminder, which is
    last otherwise, stays behind the person's message while thoughts follow it.
    """
    name = f"anthropic:{model}" if thoughts else ""
    turn = max((at for at, each in enumerate(request.messages) if each.role == "user"), default=len(request.messages))
    since = request.messages[turn + 1 :]
    bound = any(_sendable(each, name) for message in since for each in message.thoughts)
    reminder = _reminder(request.reminder)
    body: dict[str, Any] = {"model": model, "max_tokens": request.tokens_max}
    body["messages"] = messages = _joined(request.messages, turn, name, reminder if bound else [])
    if request.system.strip():
        body["system"] = [{"type": "text", "text": request.system}]
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.summary, "input_schema": dict(tool.schema)} for tool in request.tools
        ]
    _mark(body)
    if not bound and messages and messages[-1]["role"] == "user":
        messages[-1]["content"].extend(reminder)
    thinking = _thinking(model, request.thinking_tokens_max, request.tokens_max)
    budgeted = "budget_tokens" in thinking.get("thinking", {})
    return body if budgeted and _thoughtless(since, name) else body | thinking


def _joined(messages: tuple[Message, ...], turn: int, name: str, reminder: list[Block]) -> list[dict[str, Any]]:
    """The messages in the API's form; behind the one at `turn` the reminder, and from there on thoughts of the model `name`."""
    start = next((at for at, each in enumerate(messages) if each.role == "user"), len(messages))
    rendered: list[dict[str, Any]] = []
    for at, message in enumerate(messages[start:], start):
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, name if at > turn else "") + (reminder if at == turn else [])
        if rendered and rendered[-1]["role"] == role:
            rendered[-1]["content"].extend(blocks)
        elif blocks:
            rendered.append({"role": role, "content": blocks})
    return rendered


def _reminder(text: str) -> list[Block]:
    """In tags: it comes from the agent's folder, and the person must not seem to have said it."""
    return [{"type": "text", "text": f"<reminder>\n{text.strip()}\n</reminder>"}] if text.strip() else []


def _blocks(message: Message, name: str) -> list[Block]:
    pictures = [_picture(image) for image in message.images]
    if message.role == "tool":
        said = [{"type": "text", "text": message.text}] if message.text.strip() else []
        content = [*said, *pictures] if pictures else message.text
        return [{"type": "tool_result", "tool_use_id": message.call_id, "content": content, "is_error": not message.ok}]
    if message.role == "user":
        if pictures and not message.text.strip():
            return pictures
        return [{"type": "text", "text": message.text if message.text.strip() else _BLANK}, *pictures]
    thoughts = [_thought(each) for each in message.thoughts if _sendable(each, name)]
    texts = [{"type": "text", "text": message.text}] if message.text.strip() else []
    calls = [{"type": "tool_use", "id": call.id, "name": call.tool, "input": dict(call.args)} for call in message.calls]
    return [*thoughts, *texts, *calls] if texts or calls else []  # a thought alone is no message


def _picture(image: Image) -> Block:
    return {"type": "image", "source": {"type": "base64", "media_type": image.mime, "data": image.base64()}}


def _sendable(thought: Thinking, name: str) -> bool:
    """Whether a thought may go back: signed, and by the very model that is asked."""
    return bool(thought.signature) and thought.by == name


def _thought(thought: Thinking) -> Block:
    if thought.redacted:
        return {"type": "redacted_thinking", "data": thought.signature}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _mark(body: dict[str, Any]) -> None:
    """Set the cache breakpoints: behind tools and system, where the request before this one ended, and where this one does.

    The API looks 20 blocks back from a breakpoint for something cached; a turn with many calls is longer, so the end of
    the previous request is marked too: it is what stood before the newest message of the assistant. The reminder comes
    after the last mark, because it moves.
    """
    if prefix := body.get("system") or body.get("tools"):
        prefix[-1]["cache_control"] = _CACHED
    messages = body["messages"]
    newest = max((at for at, each in enumerate(messages) if each["role"] == "assistant"), default=0)
    for at in {newest - 1, len(messages) - 1}:
        if at >= 0 and messages[at]["role"] == "user":
            messages[at]["content"][-1]["cache_control"] = _CACHED


def _thoughtless(messages: Iterable[Message], name: str) -> bool:
    """Whether calls stand in the turn at hand without a signed thought before them, which the API refuses with a budget.

    So it is when another model made them, or when they come from before the agent was restarted.
    """
    return any(message.calls and not any(_sendable(each, name) for each in message.thoughts) for message in messages)


def _thinking(model: str, budget: int, tokens_max: int) -> dict[str, Any]:
    """The fields that say how much to think. Summaries are asked for: newer models send empty thoughts otherwise."""
    version = _version(model)
    if version >= _ADAPTIVE_SINCE:
        if not budget and version < _THINKING_SINCE:
            return {}
        fields: dict[str, Any] = {"thinking": {"type": "adaptive", "display": "summarized"}}
        if effort := next((effort for below, effort in _EFFORTS if 0 < budget < below), ""):
            fields["output_config"] = {"effort": effort}
        return fields
    budget = max(budget, _BUDGET_MIN) if budget else 0
    return {"thinking": {"type": "enabled", "budget_tokens": budget}} if 0 < budget < tokens_max else {}


def _version(model: str) -> tuple[int, int]:
    """(5, 5) of claude-sonnet-5-5, (3, 7) of claude-3-7-sonnet-20250219; (0, 0) of a name that tells none."""
    numbers = [int(each) for each in re.findall(r"(?<!\d)\d{1,2}(?!\d)", model)] if "claude" in model else []
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0) if numbers else (0, 0)
