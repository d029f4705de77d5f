"""`replay`: a turn that is over, again, from what was kept of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from anima.cli import root
from anima.cli.terminal import clean, colour, one_line, width
from anima.errors import Refused
from anima.paths import Home

_DIGEST_CHARS = 12
_ARGS_CHARS = 100
_INDENT = "  "


def replay(  # noqa: PLR0913 - a command line is one parameter per option
    context: typer.Context,
    turn: Annotated[str, typer.Argument(help="Number of the message, or the beginning of its id.")],
    *,
    model: Annotated[
        str, typer.Option(help="Ask this model instead of the record, for real.", show_default=False, metavar="MODEL")
    ] = "",
    diff: Annotated[bool, typer.Option("--diff", help="Show how the first request that differs today does so.")] = False,
    until: Annotated[int, typer.Option(help="Stop after this step.", min=0, show_default=False)] = 0,
    export: Annotated[
        str, typer.Option(help="Write the turn as a script for the model `scripted`.", show_default=False, metavar="FILE")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Play a past turn again, without network and effects.

    The requests are put together anew by today's code, settings and prompts and compared with the recorded ones; the
    model's words and the results of the tools come from the record. With --model another model is asked; its tool calls
    get the recorded results, or are told that nothing is carried out here.

    Example: animactl replay 1234 --diff
    """
    home: Home = context.obj
    root.request(home, "status")
    target = str(Path(export).absolute()) if export else ""
    told = _told(home, turn, ["--model", model, "--until", str(until), "--export", target])
    steps = []
    for each in told:
        steps.append(each)
        print(json.dumps(each, ensure_ascii=False) if as_json else "\n".join(paragraph(each, width())))
    if as_json:
        return
    if diff:
        print("\n".join(first_difference(steps)))
    if export:
        print(f"written to {export}; an agent in whose folder it lies plays it with model = 'scripted:{Path(export).name}'")


def _told(home: Home, turn: str, options: list[str]) -> Iterator[dict[str, Any]]:
    """What the program tells that knows agents and models; they stay out of this process."""
    command = [sys.executable, "-m", "anima.agent.replay", "--home", str(home.root), *options, "--", turn]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stderr
        for line in program.stdout:
            yield json.loads(line)
        said = program.stderr.read().strip()
    if program.returncode:
        raise Refused(said.splitlines()[-1] if said else f"the replay broke off with code {program.returncode}")


def paragraph(each: dict[str, Any], columns: int) -> list[str]:
    """One line of the program for a person."""
    match each["kind"]:
        case "turn":
            return _turn(each)
        case "step":
            return _step(each, columns)
        case _:
            return _end(each)


def _turn(each: dict[str, Any]) -> list[str]:
    from anima.log.lines import stamp

    place = f"{each['agent']}/{each['session']}"
    reason = f": {clean(each['reason'])}" if each["reason"] else ""
    return [
        colour(f"turn {each['turn']} of {place}, {stamp(each['ts'])}, {each['outcome']}{reason}", "grey"),
        f"you: {clean(each['question'])}",
    ]


def _step(each: dict[str, Any], columns: int) -> list[str]:
    what = f"step {each['step']}" + (f", judging draft {each['round']}" if each["round"] else "")
    head = f"{what}  {each['model']}, {each['messages']} messages"
    if each["same"] is None:
        state = colour(f"not compared: {clean(each['missing'])}", "yellow")
    elif each["same"]:
        state = colour(f"request {each['recorded'][:_DIGEST_CHARS]}, the same today", "green")
    else:
        state = colour(f"request {each['recorded'][:_DIGEST_CHARS]}, today {each['today'][:_DIGEST_CHARS]}", "red")
    lines = ["", f"{head}, {state}", *(f"{_INDENT}! {clean(sentence)}" for sentence in each["departs"])]
    if each["thinking"]:
        lines.append(one_line(f"{_INDENT}({each['thinking']})", columns))
    lines += [f"{_INDENT}{line}" for line in clean(each["text"]).splitlines()]
    for call in each["calls"]:
        args = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in call["args"].items())
        lines.append(f"{_INDENT}-> {call['tool']} {one_line(args, _ARGS_CHARS)}".rstrip())
        came = "no response" if call["ok"] is None else call["text"] if call["ok"] else f"failed: {call['text']}"
        lines.append(one_line(f"{_INDENT}<- {came}", columns))
    if each["error"]:
        lines.append(colour(f"{_INDENT}{clean(each['error'])}", "red"))
    return lines


def _end(each: dict[str, Any]) -> list[str]:
    lines = [""]
    if each["answer"]:
        lines.append(f"answered: {clean(each['answer'])}")
    elif each["told"]:
        lines.append(f"{each['outcome']}: {clean(each['told'])}")
    else:
        lines.append(each["outcome"])
    if each["same"]:
        lines.append(colour("every request is byte for byte that of then", "green"))
    elif each["same"] is False:
        lines.append(colour(f"departs at step {each['departs_at']}; --diff shows how", "yellow"))
    return lines


def first_difference(steps: list[dict[str, Any]]) -> list[str]:
    """The diff of the first request that differs, in colour."""
    text = next((each["diff"] for each in steps if each["kind"] == "step" and each["diff"]), "")
    if not text:
        return ["nothing differs"]
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return [colour(clean(line), colours[line[0]]) if line[:1] in colours else clean(line) for line in text.split("\n")]
