"""What a failure of the Messages API means: try again, or tell the person. https://docs.claude.com/en/api/errors."""

from collections.abc import Mapping
from dataclasses import dataclass

from anima.errors import Refused
from anima.nous.model import Overflow
from anima.nous.retry import Transient, passing


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error answer says. `kind` and `code` are the API's words; "" when it was not the API that answered."""

    status: int
    kind: str = ""
    code: str = ""
    message: str = ""
    after_s: float | None = None


_STATUS_OF_KIND = {  # an error inside a stream arrives with status 200; its kind says what it would have been
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def read_failure(status: int, body: object, after_s: float | None) -> Failure:
    """The failure in an error body, which may be the API's JSON or whatever a proxy wrote."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Failure(status, after_s=after_s)
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, Mapping) else None
    kind, message = error.get("type"), error.get("message")
    status = status if status >= 400 else _STATUS_OF_KIND.get(str(kind), 500)  # noqa: PLR2004 - where HTTP's errors begin
    return Failure(status, str(kind or ""), str(code or ""), str(message or ""), after_s)


_REFUSALS = {  # what a status means to the person, and the way out; {said} is the API's own sentence
    401: "Anthropic refused the key{said}; correct ANTHROPIC_API_KEY in the environment of `animactl up`, "
    "or models.anthropic_api_key in anima.toml",
    402: "the Anthropic account cannot pay for this{said}; see its billing in the Anthropic console",
    403: "the Anthropic key may not use {model}{said}; take another key or another model",
    404: "Anthropic has no model '{model}'{said}; correct `model` in the agent's agent.toml",
}
_REFUSED_OTHERWISE = "Anthropic did not accept the request{said}; change the message, or `model` in the agent's agent.toml"
_TOO_LONG = ("prompt is too long", "exceed context limit", "exceeds the maximum number of tokens")
_TOO_LARGE = 413
_THOUGHTS = ("signature", "thinking` block", "thinking block", "redacted_thinking")


def judge(failure: Failure, model: str, url: str) -> Transient | Refused:
    """What the caller should make of a failure: try again (Transient), send less (Overflow) or tell the person (Refused)."""
    status, said = failure.status, _sentence(failure.message)
    if failure.code.endswith("spend_limit_reached"):  # comes as a 429, but waiting does not help
        return Refused(f"the Anthropic account has reached its spend limit{said}; raise it in the Anthropic console")
    if clause := passing(status, "Anthropic" if failure.kind else url, said):
        return Transient(clause, failure.after_s)
    if not failure.kind:
        return Refused(f"{url} answered {status} and is not the Anthropic API; correct anthropic_base_url in anima.toml")
    if status == _TOO_LARGE or any(words in failure.message.lower() for words in _TOO_LONG):
        return Overflow(f"the conversation is too large for one request{said}; `animactl clear` begins a new one")
    return Refused(_REFUSALS.get(status, _REFUSED_OTHERWISE).format(said=said, model=model))


def doubts_thoughts(failure: Failure) -> bool:
    """Whether the API does not want the thinking that was sent back; without it the request may pass."""
    return failure.kind == "invalid_request_error" and any(words in failure.message for words in _THOUGHTS)


def _sentence(message: str, chars_max: int = 300) -> str:
    """The API's own words in brackets, on one line and not endless."""
    words = " ".join(message.split())
    if not words:
        return ""
    return f" ({words if len(words) <= chars_max else words[: chars_max - 1] + '…'})"
