"""Frustration with commands that end well and still say that nothing works: an example of a feeling from a package."""

import re
from collections.abc import Iterator

from anima.wire.events import Event, ToolResponse

_TROUBLE = re.compile(
    r"\b(traceback|permission denied|no such file|command not found|timed out|segmentation fault)\b", re.IGNORECASE
)
_STRENGTH = 0.6  # milder than a call that fails outright
_TEXT_CHARS = 20_000


def feelings(event: Event) -> Iterator[tuple[str, float, str]]:
    """A call that succeeded, and whose output speaks of trouble, feels a little like one that failed."""
    body = event.body
    if isinstance(body, ToolResponse) and body.ok and (found := _TROUBLE.search(body.text[:_TEXT_CHARS])):
        yield "tool_failed", _STRENGTH, f"{body.tool} ended well and said '{found[0].lower()}'"
