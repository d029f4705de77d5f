"""`chat`: a conversation at a terminal, or line by line through a pipe."""

import functools
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from anima.cli import root
from anima.cli.names import Name, Session
from anima.cli.terminal import width
from anima.cli.words import check_session, check_size
from anima.errors import AnimaError, Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.cli.background import Background
    from anima.cli.conversation import Conversation
    from anima.cli.demands import Demand
    from anima.cli.page import Page

_HELP = "/quit leaves (also Ctrl-D) · /clear begins anew · /help · Ctrl-C interrupts the answer, twice leaves"


def chat(
    context: typer.Context,
    name: Name,
    session: Session = "main",
) -> None:
    """Talk with an agent at the terminal.

    The conversation so far is shown first, answers appear as they come, and so do calls of tools. What waits for your
    word is asked there and then. Ctrl-C interrupts an answer, Ctrl-C again or Ctrl-D leaves; the conversation stays.
    Without a terminal on standard input each line of it is one message.

    Example: animactl chat arya
    """
    home: Home = context.obj
    check_session(session)
    root.agent_process(home, name)
    if sys.stdin.isatty():
        _converse(home, name, session)
    else:
        _line_by_line(home, name, session)


def _converse(home: Home, name: str, session: str) -> None:
    from anima.cli.background import Background, wait
    from anima.cli.conversation import Conversation
    from anima.cli.page import Page

    with suppress(ImportError):
        import readline  # noqa: F401 - its presence gives input() line editing and a history
    page, ready = Page(), threading.Event()
    page.remark(f"{name}, session {session}: {_HELP}")
    with Background() as background:
        conversation = Conversation(home, name, session, page)
        living = background.start(conversation.live(ready))
        with suppress(KeyboardInterrupt):
            wait(ready)
            if living.done():
                living.result()
            while _exchange(background, conversation, page):
                pass
    print()


def _exchange(background: "Background", conversation: "Conversation", page: "Page") -> bool:
    """One line of the person's and its answer. False when the person leaves."""
    try:
        if demand := conversation.demand():
            return _decide(background, conversation, page, demand)
        line = page.ask().strip()
    except EOFError:
        return False
    try:
        match line.split():
            case []:
                pass
            case ["/quit" | "/exit" | "/q"]:
                return False
            case ["/help"]:
                page.remark(_HELP)
            case ["/clear"]:
                background.run(conversation.clear())
            case [word, *_] if word.startswith("/") and word.count("/") == 1:
                page.remark(f"there is no {word}; {_HELP}")
            case _:
                check_size(len(line.encode(errors="replace")))
                return _await_answer(background, conversation, page, line.encode(errors="replace").decode())
    except AnimaError as error:
        page.remark(f"({error})")
    return True


def _await_answer(background: "Background", conversation: "Conversation", page: "Page", text: str) -> bool:
    """Send and wait, and let the person decide what waits for them meanwhile. False when they leave (Ctrl-D).

    The first Ctrl-C asks the agent to stop, the next one leaves the chat.
    """
    conversation.idle.clear()
    said = background.start(conversation.say(text))
    try:
        while demand := conversation.wait():
            if not _decide(background, conversation, page, demand):
                return False
    except KeyboardInterrupt:
        if not said.done():
            raise  # nothing was stored yet: there is nothing to interrupt
        background.start(conversation.interrupt())
        page.remark("(asked to stop; Ctrl-C again leaves)")
        conversation.rest()
    return True


def _decide(background: "Background", conversation: "Conversation", page: "Page", demand: "Demand") -> bool:
    """Show what waits for the person and take their word for it. False when they leave; then it goes on waiting."""
    page.remark("\n".join([*demand.lines(width()), f"(from elsewhere: {demand.command})"]), "yellow")
    while True:
        try:
            line = page.ask(demand.prompt).strip()
        except EOFError:
            return False
        if line == "/quit":
            return False
        word = demand.read(line)
        if conversation.demand() != demand:  # somebody else was faster, or the turn ended
            if line:
                page.remark("(this was decided already; what you typed was not sent)")
            return True
        if word is not None:
            try:
                check_size(len(line.encode(errors="replace")))
                background.run(conversation.decide(demand, word))
            except AnimaError as error:
                page.remark(f"({error})")
            return True  # if it was not stored, it is asked again
        page.remark(f"({demand.hint})")


def _line_by_line(home: Home, name: str, session: str) -> None:
    """Each line of standard input is a message; the answers go to standard output. Raises Refused if one failed."""
    from anima.cli import live
    from anima.cli.asking import Question, settle
    from anima.cli.talk import show_demands

    failed = ""
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:
            raise Refused(f"line {number} of standard input is not UTF-8; it and what follows was not sent") from None
        if text:
            check_size(len(raw))
            question = Question(home, name, session, text, 0)
            _, ended = live.run(home, functools.partial(settle, question=question, show=show_demands))
            print(ended.text, flush=True)
            if ended.outcome != "answered":
                failed = failed or f"line {number} was not answered: {ended.reason or ended.outcome}"
    if failed:
        raise Refused(failed)
