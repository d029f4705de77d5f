"""`ask` and `send`: one message to an agent, with or without waiting for the answer."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anima.cli import root
from anima.cli.names import Name, Session
from anima.cli.terminal import clean, is_terminal, note, visible, width
from anima.cli.words import check_session, gather, standard_input
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus
    from anima.cli.turn import Ended, Shown
    from anima.wire.events import Event

Text = Annotated[
    str, typer.Argument(help="What to say; standard input is added, if something is piped in.", show_default=False)
]
Files = Annotated[
    list[Path] | None, typer.Option("--file", "-f", help="Add this file; may be given several times.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


def ask(  # noqa: PLR0913, PLR0917 - a command line is one parameter per option
    context: typer.Context,
    name: Name,
    text: Text = "",
    session: Session = "main",
    files: Files = None,
    as_json: Json = False,
    timeout: Annotated[
        float, typer.Option(help="Wait at most so many seconds for the answer; 0: as long as it takes.", min=0)
    ] = 0,
) -> None:
    """Say something to an agent and print its answer.

    The answer is shown as it comes on a terminal; a pipe gets the text alone. Exits 1 if there is none.

    Example: git diff | animactl ask arya "What changed here?"
    """
    from anima.cli import live
    from anima.cli.asking import Question, settle

    home: Home = context.obj
    message = gather(text, files or [], standard_input())
    process = root.agent_process(home, name)
    if reason := live.stalled(name, process):
        raise Refused(f"{reason} (nothing was sent)")
    question = Question(home, name, check_session(session), message, timeout)
    screen = _Screen() if is_terminal(sys.stdout) and not as_json else None
    event, ended = live.run(home, lambda bus: settle(bus, question, screen.show if screen else show_demands))
    if as_json:
        print(json.dumps(_fields(event, ended), ensure_ascii=False))
    elif screen:
        screen.end()
    elif ended.text:
        print(ended.text)
    if ended.outcome != "answered":
        raise Refused(f"{name} did not answer: {ended.reason or ended.outcome}")


def send(
    context: typer.Context,
    name: Name,
    text: Text = "",
    session: Session = "main",
    files: Files = None,
) -> None:
    """Say something to an agent without waiting for the answer.

    Prints the message's number in the journal. The message is stored when this returns, whatever happens to the agent.

    Example: animactl send arya "Water the plants at six."
    """
    home: Home = context.obj
    message = gather(text, files or [], standard_input())
    process = root.agent_process(home, name)
    check_session(session)
    from anima.cli import live
    from anima.wire.events import UserMessage

    async def store(bus: "Bus") -> "Event":
        return await live.append(bus, UserMessage(message), name, session)

    print(live.run(home, store).seq)
    if reason := live.stalled(name, process):
        note(f"{reason}; the message waits until then")


def show_demands(shown: "Shown") -> None:
    """Say on stderr what waits for the person, and how to decide; the command waits on."""
    from anima.cli.demands import Asked, Decided

    match shown:
        case Asked(demand):
            for line in demand.lines(width(sys.stderr)):
                print(line, file=sys.stderr)
            note(f"waiting for your word: {demand.command}")
        case Decided(demand, how):
            note(f"{visible(demand.tool)}: {how}")
        case _:
            pass


class _Screen:
    """A terminal on which an answer appears as it comes."""

    def __init__(self) -> None:
        self._at_margin = True

    def show(self, shown: "Shown") -> None:
        """Print what follows."""
        from anima.cli.doing import called_line, returned_line
        from anima.cli.turn import Called, Piece, Returned, Voided

        match shown:
            case Piece(text):
                text = clean(text)
                print(text, end="", flush=True)
                self._at_margin = text.endswith("\n") if text else self._at_margin
            case Voided(why):
                self.end()
                note(f"… ({why})")
            case Called(tool, args):
                self.end()
                note(called_line(tool, args, width()))
            case Returned(tool, outcome, duration_s, text):
                self.end()
                note(returned_line(tool, outcome, duration_s, text, width()))
            case _:
                self.end()
                show_demands(shown)

    def end(self) -> None:
        """Begin a new line, if not at the margin already."""
        if not self._at_margin:
            print(flush=True)
            self._at_margin = True


def _fields(event: "Event", ended: "Ended") -> dict[str, object]:
    """`ask --json`, as other programs read it."""
    return {
        "agent": event.agent,
        "session": event.session,
        "turn": event.id,
        "seq": event.seq,
        "text": ended.text,
        "model": ended.model,
        "steps": ended.steps,
        "usage": {"tokens_in": ended.tokens_in, "tokens_out": ended.tokens_out},
    }
