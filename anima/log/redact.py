"""Secrets out of lines.

Covered: every configured secret value, as it is and as it looks in a Python or JSON string, in a URL, base64 and, if
it has several lines, line by line. Not covered: secrets nobody configured, other encodings, and values of fewer than
`SECRET_CHARS_MIN` characters, whose removal would make every line unreadable.
"""

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable

SECRET_CHARS_MIN = 4
REDACTED = "***"


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces every one of `secrets` in a text, longest first."""
    forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SECRET_CHARS_MIN}
    if not forms:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(REDACTED, text)


def _forms(secret: str) -> set[str]:
    whole = secret.strip()
    if len(whole) < SECRET_CHARS_MIN:
        return set()
    return {
        secret,
        whole,
        *(line.strip() for line in whole.splitlines()),
        repr(whole)[1:-1],
        json.dumps(whole)[1:-1],
        urllib.parse.quote(whole, safe=""),
        base64.b64encode(whole.encode(errors="surrogateescape")).decode().rstrip("="),
    }
