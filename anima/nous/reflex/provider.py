"""The reflex as a model: one pure function from request to answer, streamed word by word."""

import asyncio
from collections.abc import AsyncIterator

from anima.nous.model import Delta, Done, Request, Text
from anima.nous.reflex import acts, texts
from anima.nous.reflex.about import way_to_a_model
from anima.nous.reflex.answer import Answer, language
from anima.nous.reflex.hearing import Conversation, listen
from anima.nous.reflex.rules import apply_all, resume
from anima.nous.tokens import estimate, estimate_request
from anima.nous.words import words


class Reflex:
    """The embedded default. Holds nothing between calls: the same request has the same answer."""

    name = "reflex"

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model. Raises nothing."""
        answer = respond(request)
        for word in words(answer.text):
            yield Text(word)
            await asyncio.sleep(0)  # an answer must not hold up the process's other turns, nor its own cancellation
        if answer.call is not None:
            yield answer.call
        yield Done("tool_use" if answer.call else "end_turn", estimate_request(request), estimate(answer.text))

    async def close(self) -> None:
        """Nothing to let go of."""


def respond(request: Request) -> Answer:
    """What the reflex says to this request."""
    conversation = listen(request)
    said, attached = conversation.now.words, conversation.now.attached
    if conversation.results:
        return resume(said, conversation) or acts.report(conversation)
    if not said and not attached:
        return _silence(conversation)
    if said and (answer := apply_all(said, conversation)) is not None:
        return answer
    if attached:
        return texts.handed(attached, said)
    return _no_rule(conversation)


def _silence(conversation: Conversation) -> Answer:
    if conversation.request.messages:
        return Answer("That was an empty message. `help` lists what I can do.")
    return Answer("Nobody has said anything yet.")


def _no_rule(conversation: Conversation) -> Answer:
    """Said in full once, then in short."""
    german = language(conversation.now.words) == "de"
    short = "Dafür habe ich keine Regel." if german else "I have no rule for that."
    if any(answer.startswith(short) for answer in conversation.answers):
        return Answer(f"{short} {'`hilfe` zeigt, was ich kann.' if german else '`help` lists what I can do.'}")
    if german:
        return Answer(
            f"{short} Ich bin der eingebaute Reflex: feste Regeln, kein Sprachmodell. `hilfe` zeigt, was ich kann. "
            f"{way_to_a_model('de')}",
        )
    return Answer(
        f"{short} I am the built-in reflex: fixed rules, no language model. `help` lists what I can do. {way_to_a_model('en')}",
    )
