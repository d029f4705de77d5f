"""Endings of calls for which nothing has to be done any more: words for a model about what nobody carried out. Pure."""

from anima.sandbox.intents import Intent, Step
from anima.sandbox.work import Ending


def foregone(step: Step, intent: Intent) -> Ending | None:
    """The ending of a call for which nothing has to be done any more; None if there is something to do."""
    if step == "interrupt":
        return interrupted(intent)
    if step == "deny":
        said = intent.given.reason if intent.given else ""
        return Ending("denied", f"a person said no{f': {said}' if said else '; ask what to do instead'}")
    if step == "doubt":
        return in_doubt(intent)
    if step == "give-up":
        return given_up(intent)
    if step == "answer" and intent.answer:
        return Ending("done", intent.answer.text, {"answer": intent.answer.text})
    return None


def interrupted(intent: Intent) -> Ending:
    """Somebody wanted it to end."""
    began = "it was interrupted while it ran" if intent.attempts else "it was interrupted before it began; nothing was done"
    return Ending("interrupted", began)


def given_up(intent: Intent) -> Ending:
    """Its sandbox died under it too often, and it changes nothing."""
    tries = intent.attempts
    return Ending(
        "failed", f"the sandbox ended {tries} times while {intent.call.tool} ran; it is not tried again. Nothing was done"
    )


def in_doubt(intent: Intent) -> Ending:
    """Nobody can know: told so, and never run again."""
    tool = intent.call.tool
    return Ending(
        "unknown",
        f"nobody knows how this call ended: the sandbox ended while {tool} ran. It may have taken place, in whole or in "
        "part, or not at all, and it is not run again by itself. Look at what it would have changed before you go on.",
    )
