"""`jobs`: the commands an agent has running in the background, what they print, and their end."""

import json
import time
from typing import Annotated, Any

import typer

from anima.cli.names import Name
from anima.cli.table import Column, duration, render, size
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clean, colour, note, one_line, width
from anima.cli.words import check_session
from anima.errors import Refused
from anima.paths import Home

COLUMNS = (
    Column("ID"),
    Column("SESSION", leaves=3),
    Column("STATE"),
    Column("AGE", right=True, leaves=2),
    Column("OUTPUT", right=True, leaves=1),
    Column("COMMAND", flexible=True),
)
POLL_S = 0.5
KILL_TIMEOUT_S = 60.0
TAIL_LINES_MAX = 2_000  #: the sandbox tells no more at once


def jobs(  # noqa: PLR0913, PLR0917 - a command line is one parameter per option
    context: typer.Context,
    name: Name,
    tail: Annotated[str, typer.Option(help="Show the last lines of what this one printed.", show_default=False)] = "",
    kill: Annotated[str, typer.Option(help="End this one and all it started.", show_default=False)] = "",
    session: Annotated[str, typer.Option("--session", "-s", help="Only of this conversation.", show_default=False)] = "",
    number: Annotated[int, typer.Option("-n", help="With --tail: so many lines.", min=1, max=TAIL_LINES_MAX)] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show it anew, or go on with new output, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of a table.")] = False,
) -> None:
    """List an agent's background commands, or read or end one.

    They end with their session's process at the latest, and with the house.

    Example: animactl jobs arya --tail job1 -f
    """
    home: Home = context.obj
    from anima.cli import hands, root

    if tail and kill:
        raise Refused("either --tail or --kill, not both")
    root.agent_process(home, name)
    if session:
        check_session(session)
    rows = hands.ask(home, "jobs", agent=name)["jobs"]
    if tail or kill:
        row = _chosen([each for each in rows if session in ("", each["session"])], tail or kill, name)
        if kill:
            _kill(home, name, row, as_json=as_json)
        else:
            _tail(home, name, row, number, follow=follow)
        return
    while True:
        _show([each for each in rows if session in ("", each["session"])], name, as_json=as_json, anew=follow)
        if not follow:
            return
        time.sleep(POLL_S * 2)
        rows = hands.ask(home, "jobs", agent=name)["jobs"]


def _chosen(rows: list[dict[str, Any]], wanted: str, agent: str) -> dict[str, Any]:
    found = [row for row in rows if row["id"] == wanted]
    if not found:
        known = ", ".join(f"{row['id']} in {clean(row['session'])}" for row in rows)
        raise Refused(f"{agent} has no background command '{wanted}'; there {f'are {known}' if known else 'is none'}")
    if len(found) > 1:
        places = ", ".join(clean(row["session"]) for row in found)
        raise Refused(f"'{wanted}' runs in several sessions ({places}); say which with --session")
    return found[0]


def _show(rows: list[dict[str, Any]], agent: str, *, as_json: bool, anew: bool) -> None:
    import sys

    if as_json:
        print(json.dumps(rows, ensure_ascii=False, default=repr), flush=True)
        return
    if anew and sys.stdout.isatty():
        print("\x1b[H\x1b[J", end="")
    if rows:
        print("\n".join(lines(rows, width(), time.time())), flush=True)
    else:
        note(f"{agent} has no background command")


def lines(rows: list[dict[str, Any]], columns: int, now: float) -> list[str]:
    """The table for a terminal of that width."""

    def paint(row: int, title: str, text: str) -> str:
        return colour(text, "green" if rows[row]["state"] == "running" else "grey") if title == "STATE" else text

    return render(COLUMNS, [_cells(row, now) for row in rows], columns, paint)


def _cells(row: dict[str, Any], now: float) -> list[str]:
    from anima.cli.terminal import visible

    return [
        one_line(row["id"], NO_TERMINAL_COLUMNS),
        one_line(row["session"], NO_TERMINAL_COLUMNS),
        one_line(row["state"], NO_TERMINAL_COLUMNS),
        duration(now - row["started_at"]),
        size(row["bytes"]),
        one_line(visible(row["command"]), NO_TERMINAL_COLUMNS),
    ]


def _kill(home: Home, agent: str, row: dict[str, Any], *, as_json: bool) -> None:
    """A call of background_stop by hand: in the journal like everything that is done, and judged by the same policy."""
    from anima.cli.byhand import ByHand
    from anima.cli.call import follow, report

    wanted = ByHand(home, agent, row["session"], "background_stop", {"job": row["id"]}, KILL_TIMEOUT_S)
    report(follow(wanted), agent, row["session"], as_json=as_json)


def _tail(home: Home, agent: str, row: dict[str, Any], number: int, *, follow: bool) -> None:
    text = _text(home, agent, row)
    if text:
        print(clean("\n".join(text.split("\n")[-number:])), flush=True)
    while follow:
        state = _state(home, agent, row)  # before its output is read: what it prints at its end is not missed
        new = news(text, later := _text(home, agent, row))
        if new:
            print(clean("\n".join(new)), flush=True)
        if state != "running":
            note(f"{row['id']}: {clean(state)}")
            return
        text = later
        time.sleep(POLL_S)


def _text(home: Home, agent: str, row: dict[str, Any]) -> str:
    from anima.cli import hands

    told = hands.ask(home, "job_tail", agent=agent, session=row["session"], id=row["id"], lines=TAIL_LINES_MAX)
    return "" if told["text"] == "[nothing new]" else str(told["text"])


def _state(home: Home, agent: str, row: dict[str, Any]) -> str:
    from anima.cli import hands

    for each in hands.ask(home, "jobs", agent=agent)["jobs"]:
        if (each["session"], each["id"]) == (row["session"], row["id"]):
            return str(each["state"])
    return "it is gone, with its session's process"


def news(before: str, after: str) -> list[str]:
    """The lines of `after` that are not in `before`; both are the end of one text that grew meanwhile.

    A last line that has grown is told again, whole. The first line of `after` may be cut at its beginning.
    """
    old, new = before.split("\n") if before else [], after.split("\n") if after else []
    finished, last = old[:-1], old[-1:]
    for start in range(len(finished) + 1):
        known = finished[start:]
        if known and not (new and known[0].endswith(new[0]) and new[1 : len(known)] == known[1:]):
            continue
        rest = new[len(known) :]
        return rest[1:] if rest[:1] == last else rest
    return new
