"""One past turn again, from the journal and the record: `python -m anima.agent.replay TURN`. Prints JSON lines.

A program of its own because the command line may not know agents and providers. It reads the journal through the bus,
everything else happens in its memory (see stage.py). The lines, by `kind`:

    turn   whose it was, what was asked, how it ended
    step   one call of a model: what it said, what came of its tool calls, whether today's request is that of then
    end    what was answered this time
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anima.agent.departs import departures, difference
from anima.agent.fixture import script
from anima.agent.folder import Folder
from anima.agent.past import Past, Played, digest_of, find_message, read_past
from anima.agent.spelling import digest, packed
from anima.agent.stage import Scene, Show, rehearse
from anima.bus.client import connect
from anima.config.load import load_house
from anima.config.schema import House
from anima.errors import AnimaError, Refused
from anima.nous.choose import Access, open_model
from anima.nous.model import Model, Reply
from anima.paths import Home, find_home
from anima.supervisor.kernel import hide_memory
from anima.wire.events import AgentMessage, Event, ModelCalled, SystemMessage, ToolCall, ToolResponse, TurnEnded


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    turn: str
    model: str = ""  #: who is asked instead of the record
    until: int = 0  #: the last step; 0: all
    export: str = ""  #: a file for the script


async def replay(home: Home, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Play the turn; its lines. Raises Refused if it is not known, or its agent is gone."""
    house = load_house(home)
    async with connect(home) as bus:
        message = await find_message(bus, wanted.turn)
        past = await read_past(bus, message)
    played = past.played(home.records(message.agent))
    if not played:
        raise Refused(f"no model was called in the turn of message {message.seq}; there is nothing to replay")
    if wanted.export:
        _export(Path(wanted.export), script(past, [each for each in played if each.step <= (wanted.until or each.step)]))
    folder = today(home, past, played, house)
    live = _open(wanted.model, folder, house) if wanted.model else None
    show = await rehearse(past, played, folder, house, wanted.until, live)
    return lines(past, show, live)


def today(home: Home, past: Past, played: list[Played], house: House) -> Folder:
    """The agent's folder as it is now; where nothing says which model thinks, the one that did is named."""
    folder = Folder.read(home, past.message.agent)
    if folder.settings.model or house.models.default:
        return folder
    return replace(folder, settings=replace(folder.settings, model=played[0].model))


def _open(name: str, folder: Folder, house: House) -> Model:
    return open_model(name, Access(os.environ, folder.place, house.models, house.definitions))


def _export(path: Path, text: str) -> None:
    if path.suffix == ".toml":
        raise Refused(f"{path}: a script is exported as JSON lines; name the file .jsonl")
    try:
        with path.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise Refused(f"{path} is there already; choose another name, or remove it") from None
    except OSError as error:
        raise Refused(f"{path} cannot be written ({error.strerror}); choose another place") from None


def lines(past: Past, show: Show, live: Model | None) -> Iterator[dict[str, Any]]:
    """What is told of a replay."""
    message, ended = past.message, past.ended
    yield {
        "kind": "turn",
        "turn": message.id,
        "seq": message.seq,
        "ts": message.ts,
        "agent": message.agent,
        "session": message.session,
        "question": message.data.get("text", ""),
        "outcome": ended.outcome if ended else "not ended",
        "reason": ended.reason if ended else "",
        "answer": past.answer,
    }
    steps = [_step(number, scene, show.events, live) for number, scene in enumerate(show.scenes, 1)]
    yield from steps
    yield _end(show.events, steps)


def _step(number: int, scene: Scene, events: list[Event], live: Model | None) -> dict[str, Any]:
    then, reply = scene.then, Reply()
    for delta in scene.deltas:
        reply.add(delta)
    about = digest(packed(then.about)) if then else ""
    compared = bool(then and then.request)
    return {
        "kind": "step",
        "step": then.step if then else number,
        "round": then.round if then else 0,
        "model": live.name if live else then.model if then else "",
        "recorded": then.digest if then else "",
        "today": digest_of(scene.request, about) if compared else "",
        "messages": len(scene.request.messages),
        "same": digest_of(scene.request, about) == then.digest if then and then.request else None,
        "departs": _departs(then, scene) if then else [],
        "diff": difference(then.request, scene.request) if then and then.request else "",
        "missing": then.missing if then else "the recorded turn had no such step",
        "thinking": reply.thinking,
        "text": reply.text,
        "error": then.error if then and not live else "",
        "calls": _calls(events, then.step if then else number) if not (then and then.round) else [],
    }


def _departs(then: Played, scene: Scene) -> list[str]:
    found = departures(then.request, scene.request) if then.request else []
    if names := then.about.get("changed_by"):
        found.append(f"the hooks {', '.join(names)} changed it then; a replay calls none")
    return found


def _calls(events: list[Event], step: int) -> list[dict[str, Any]]:
    """The calls of a step with what came of them; those that were not passed on as well."""
    responses = {body.intent: body for each in events if isinstance(body := each.body, ToolResponse)}
    found = []
    for each in events:
        match each.body:
            case ToolCall() as call if call.step == step:
                response = responses.get(each.id)
                told = {"ok": response.ok, "text": response.text} if response else {"ok": None, "text": ""}
                found.append({"tool": call.tool, "args": call.args, **told})
            case ModelCalled() as called if called.step == step:
                refused = [each for each in called.refused if each.get("tool")]
                found += [{"tool": each["tool"], "args": each["args"], "ok": False, "text": each["text"]} for each in refused]
            case _:
                pass
    return found


def _end(events: list[Event], steps: list[dict[str, Any]]) -> dict[str, Any]:
    bodies = [each.body for each in events]
    ended = next((body for body in bodies if isinstance(body, TurnEnded)), None)
    known = [step["same"] for step in steps if step["same"] is not None]
    return {
        "kind": "end",
        "outcome": ended.outcome if ended else "left off",
        "answer": next((body.text for body in bodies if isinstance(body, AgentMessage)), ""),
        "told": next((body.text for body in bodies if isinstance(body, SystemMessage)), ""),
        "same": all(known) if known else None,
        "departs_at": next((step["step"] for step in steps if step["same"] is False), 0),
    }


async def main(home: Home, wanted: Wanted) -> None:
    """Print what is told. Raises AnimaError, one sentence."""
    for line in await replay(home, wanted):
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    hide_memory()
    arguments = argparse.ArgumentParser(description="Replay a turn; JSON lines.")
    arguments.add_argument("turn")
    arguments.add_argument("--home", default="")
    arguments.add_argument("--model", default="")
    arguments.add_argument("--until", type=int, default=0)
    arguments.add_argument("--export", default="")
    told = arguments.parse_args()
    try:
        asyncio.run(
            main(find_home(os.environ, told.home or None), Wanted(told.turn, told.model, told.until, told.export)),
        )
    except AnimaError as error:
        sys.exit(str(error))
