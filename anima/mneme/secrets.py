"""Secrets in what was said: recognised by their form, and not remembered. Pure.

The form is what decides, as in the push protection of code hosts: prefixes that issuers gave their keys so that they can be
found, key blocks, tokens of three parts, card numbers whose check digit is right (Luhn, ISO/IEC 7812-1), and whatever stands
behind "password:" and its like. A password in the middle of a sentence has no form; it is not recognised.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CARD_DIGITS = range(13, 20)

#: What a secret is called, and how it looks. Order matters: what was taken out is not looked at again.
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(form))
    for name, form in (
        ("private key", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{0,20000}?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"),
        ("token", r"\beyJ[\w-]{10,4000}\.[\w-]{4,8000}\.[\w-]{4,4000}"),
        ("API key", r"\b(?:sk|pk|rk)[-_](?:live|test|ant|or|proj)?[-_]?[A-Za-z0-9_-]{20,300}"),
        ("API key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        ("API key", r"\bAIza[\w-]{35}"),
        ("token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{30,255}|glpat-[\w-]{18,64}|hf_[A-Za-z0-9]{30,64})"),
        ("token", r"\bxox[abeoprs]-[\w-]{10,250}"),
        ("token", r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,400}|dop_v1_[a-f0-9]{64}|SG\.[\w-]{16,64}\.[\w-]{16,64})"),
        ("token", r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b"),
        ("token", r"(?i:\bbearer\s+)(?=[\w.~+/-]{0,400}\d)[\w.~+/-]{20,4000}=*"),
    )
)
_NAMED = re.compile(
    r"(?i)(?P<what>\b(?:pass(?:word|wort|phrase|code)|kennwort|api[ _-]?key|secret[ _-]?key|access[ _-]?token|auth[ _-]?token|"
    r"pin)\b(?:\s+(?:is|ist|lautet))?\s*[:=]?\s+|\b(?:password|passwort|secret|token|api_?key)\s*[:=]\s*)"
    r"(?P<value>[\"'`]?[^\s\"'`]{4,400}[\"'`]?)"
)
_NAMES = ("pass", "kennwort", "key", "token", "pin", "secret")  # without any of these, none of those
_LONG = re.compile(r"\S{15}")  # every form but the key block has so many characters in a row; most of what is said has not
_DIGITS = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")

#: Words that only name the secret.
_NAMING = frozenset(
    re.findall(
        r"\w+", "my the this that your is are an it key keys api token password passwort card number secret pin mein das ist"
    )
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text without its secrets."""

    text: str
    found: tuple[str, ...] = ()  #: what each secret was

    @property
    def bare(self) -> bool:
        """Whether hardly anything is left beside the secrets."""
        left = re.findall(r"[^\W\d_]{2,}", re.sub(r"\[[^\]]*\]", "", self.text.casefold()))
        return bool(self.found) and sum(word not in _NAMING for word in left) < 2  # noqa: PLR2004


def cleaned(text: str, known: Iterable[str] = ()) -> Cleaned:
    """The text with a note in the place of each secret; `known` are values that are secret whatever they look like. Linear."""
    found: list[str] = []

    def noted(name: str) -> str:
        found.append(name)
        return f"[{name} not kept]"

    for value in sorted((each for each in known if len(each) > 3), key=len, reverse=True):  # noqa: PLR2004 - "on" is no secret
        if value in text:
            text = text.replace(value, noted("secret of the house"))
    if _LONG.search(text) or "PRIVATE KEY" in text:
        for name, form in _FORMS:
            text = form.sub(lambda _, name=name: noted(name), text)  # type: ignore[misc]  # one name each
    text = _DIGITS.sub(lambda match: noted("card number") if is_card(match[0]) else match[0], text)
    folded = text.casefold()
    if any(word in folded for word in _NAMES):
        text = _NAMED.sub(lambda match: match["what"] + noted("password") if _telling(match) else match[0], text)
    return Cleaned(text, tuple(found))


def is_card(text: str) -> bool:
    """Whether the digits in `text` are a card number: of such a length, with a right check digit, not all the same."""
    digits = [int(each) for each in text if each.isdigit()]
    if len(digits) not in _CARD_DIGITS or len(set(digits)) == 1 or digits[0] == 0:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _telling(match: re.Match[str]) -> bool:
    """Whether what stands behind "password" is one: with a mark between, or not just a word ("the password is wrong")."""
    value = match["value"].strip("\"'`").rstrip(".,;!?")
    if value.startswith("["):
        return False  # it was taken out already
    return match["what"].rstrip().endswith((":", "=")) or bool(re.search(r"\d", value) and re.search(r"[^\W\d]|\d{4}", value))
