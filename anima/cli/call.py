"""`tool call`: one tool by hand, on the very same path as an agent's own calls: journal, policy, jail."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from anima.cli.names import Session, complete
from anima.cli.terminal import clean, complain, is_terminal
from anima.cli.words import check_session, gather
from anima.errors import Refused
from anima.limits import event_bytes_max
from anima.paths import Home

if TYPE_CHECKING:
    from anima.cli.byhand import ByHand, Settled

app = typer.Typer(help="Call a tool by hand, as an agent would.", no_args_is_help=True)

NOT_ALLOWED = 3  #: exit code: policy or a person said no, or no person has decided yet
_MARGIN_BYTES = 4_096  # of an event, for everything but the arguments


@app.command()
def call(  # noqa: PLR0913, PLR0917 - a command line is one parameter per option
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The tool; `animactl tools` lists them.", show_default=False)],
    given: Annotated[
        list[str] | None, typer.Option("--arg", help="name=value; may be given several times.", show_default=False)
    ] = None,
    whole: Annotated[str, typer.Option("--args", help="All as one JSON object; - reads standard input.")] = "",
    agent: Annotated[
        str,
        typer.Option("--agent", "-a", help="Whose policy counts; the only one.", show_default=False, autocompletion=complete),
    ] = "",
    session: Session = "main",
    wall: Annotated[float, typer.Option(help="End the call after so many seconds; 0: the tool's limit.", min=0)] = 0,
    timeout: Annotated[float, typer.Option(help="Wait at most so many seconds; 0: as long as it takes.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the result's text.")] = False,
) -> None:
    """Call one tool and print what it answers.

    Everything is as if the agent had called it: its policy decides, perhaps a person is asked, it runs in its jail, and
    the journal keeps it. Exits 0 when it was done, 1 when it failed, 3 when it was not allowed or still waits for a
    person, 130 when Ctrl-C interrupted it.

    Example: animactl tool call exec --arg command="ls -l" --agent arya
    """
    home: Home = context.obj
    from anima.cli import hands
    from anima.cli.byhand import ByHand
    from anima.cli.tools import named
    from anima.cli.typed import arguments

    check_session(session)
    whose = hands.choose_agent(home, agent)
    card = named(hands.ask(home, "tools", agent=whose)["tools"], name)
    args = arguments(given or [], gather("", [], 0) if whole == "-" else whole, card["schema"])
    if len(json.dumps(args).encode()) > event_bytes_max - _MARGIN_BYTES:
        raise Refused(f"the arguments are longer than the {event_bytes_max:,} bytes a call can have; put them in a file")
    settled = follow(ByHand(home, whose, session, name, args, timeout, wall))
    report(settled, whose, session, as_json=as_json)


def follow(wanted: "ByHand") -> "Settled":
    """Make the call and wait for its end. Ends the command with 3 if it still waits for a person when the time is up."""
    import asyncio

    from anima.cli import live
    from anima.cli.byhand import Waiting, carry_out
    from anima.cli.talk import show_demands

    try:
        return live.run(wanted.home, lambda bus: carry_out(bus, wanted, show_demands))
    except Waiting as error:
        complain(str(error))
        raise typer.Exit(NOT_ALLOWED) from None
    except asyncio.CancelledError:  # Ctrl-C twice
        raise KeyboardInterrupt from None


def report(settled: "Settled", agent: str, session: str, *, as_json: bool) -> None:
    """Print what came of it, and end the command with its code unless it was done."""
    response = settled.response
    outcome = response.outcome or ("done" if response.ok else "failed")
    if as_json:
        fields = {"id": settled.id, "agent": agent, "session": session, "tool": response.tool, "outcome": outcome}
        rest = {"ok": response.ok, "text": response.text, "duration_s": response.duration_s, "data": response.data}
        print(json.dumps({**fields, **rest}, ensure_ascii=False, default=repr))
    elif response.text:
        print(clean(response.text) if is_terminal(sys.stdout) else response.text)
    if settled.interrupted:
        complain(f"{response.tool} was {'done before it could be interrupted' if response.ok else outcome}")
        raise typer.Exit(130)
    if outcome == "unknown":
        complain(f"nobody knows whether {response.tool} took place; look, then `animactl intents resolve {settled.id[:18]}`")
    elif not response.ok:
        complain(f"{response.tool} {'was ' if outcome in ('denied', 'interrupted') else ''}{outcome}")
    if not response.ok:
        raise typer.Exit(NOT_ALLOWED if outcome == "denied" else 1)
