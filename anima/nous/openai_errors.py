"""What a failure of an API in OpenAI's dialects means: try again, send less, or tell the person. Pure.

https://platform.openai.com/docs/guides/error-codes; the others copy it with words of their own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from anima.errors import Refused
from anima.nous.model import Overflow
from anima.nous.retry import Transient, passing

_BAD_REQUEST = 400
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error answer says; `api` is false when it was not the API that answered."""

    status: int
    code: str = ""  #: the API's words for it, type and code in one
    message: str = ""
    after_s: float | None = None
    api: bool = True


_STATUS_OF_WORD = {  # an error inside a stream arrives with status 200; its words say what it would have been
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}
_UNPAID = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits", "accountoverdue")
_OVERFLOWS = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context window",
    "available context size",
    "prompt is too long",
    "exceeds the maximum number of tokens",
    "input is too long",
    "reduce the length",
)
_MODERATED = ("content_filter", "content_policy_violation", "sensitivecontent", "moderation")


def read_failure(status: int, body: str, after_s: float | None) -> Failure:
    """The failure in an error body, which may be the API's JSON or whatever a proxy wrote."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Failure(status, after_s=after_s, api=False)
    if isinstance(document, list) and document:  # Gemini puts a list around it
        document = document[0]
    error = read_error(document)
    return Failure(error.status if status < _BAD_REQUEST else status, error.code, error.message, after_s, error.api)


def read_error(document: object) -> Failure:
    """The failure in a document that holds an `error`, in any of the shapes the providers have for it."""
    error = document.get("error", document) if isinstance(document, Mapping) else None
    if isinstance(error, str) and error:
        return Failure(_status(error), "", error)
    if not isinstance(error, Mapping):
        return Failure(500, api=False)
    words = [str(error[key]) for key in ("type", "code", "status") if error.get(key)]
    message = error.get("message") or error.get("detail") or ""
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("raw"):  # OpenRouter: what the provider behind it said
        message = f"{message}: {metadata['raw']}"
    return Failure(_status(*words), " ".join(words), str(message), api=bool(words or message))


def _status(*words: str) -> int:
    for word in words:
        if word.isdigit() and _BAD_REQUEST <= int(word) < 600:  # noqa: PLR2004 - where HTTP's statuses end
            return int(word)
        if word in _STATUS_OF_WORD:
            return _STATUS_OF_WORD[word]
    return 500


_REFUSALS = {  # what a status means to the person, and the way out; {said} is the API's own sentence
    401: "{who} refused the key{said}; correct {place}",
    402: "the account with {who} cannot pay for this{said}; see its billing",
    403: "the key for {who} may not use {model}{said}; take another key or another model",
    404: "{who} has no model '{model}', or {url} is not its address{said}; correct `model` or base_url",
}
_REFUSED_OTHERWISE = "{who} did not accept the request{said}; change the message, or the model"


def judge(failure: Failure, *, who: str, model: str, url: str, key_place: str) -> Transient | Refused:
    """What the caller should make of a failure."""
    status, said = failure.status, sentence(failure.message)
    words = f"{failure.code} {failure.message}".lower()
    if any(each in words for each in _UNPAID):  # comes as a 429, but waiting does not help
        return Refused(_REFUSALS[402].format(who=who, said=said))
    if status == _TOO_LARGE or (status < 500 and any(each in words for each in _OVERFLOWS)):  # noqa: PLR2004 - theirs
        return Overflow(f"the conversation is longer than {model} can take{said}; `animactl clear` begins a new one")
    if clause := passing(status, who if failure.api else url):
        return Transient(f"{clause}{said}", failure.after_s)
    if not failure.api:
        return Refused(f"{url} answered {status} and is no model's API; correct base_url, or the proxy in between")
    if any(each in words for each in _MODERATED):
        return Refused(f"{who} does not answer this{said}; say it differently")
    place = key_place or "its api_key"
    return Refused(_REFUSALS.get(status, _REFUSED_OTHERWISE).format(who=who, model=model, url=url, said=said, place=place))


def sentence(message: str, chars_max: int = 300) -> str:
    """The API's own words in brackets, on one line and not endless."""
    words = " ".join(message.split()).rstrip(".")
    if not words:
        return ""
    return f" ({words if len(words) <= chars_max else words[: chars_max - 1] + '…'})"
