"""`export agent` and `import agent`: one agent in a file, from one house to another.

In the file: its folder, what its tools made, and its history: every event of its life as the journal holds it, then its
memories as they are, for what they were made of does not tell all (a mood is asked for only as it happens).
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer

from anima.cli import root
from anima.cli.names import Name
from anima.cli.terminal import note
from anima.errors import ConfigError, Refused, Unavailable
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.client import Client
    from anima.wire.events import Event

export_app = typer.Typer(help="Write an agent into a file, to move it to another house.", no_args_is_help=True)
import_app = typer.Typer(help="Take in an agent that was exported elsewhere.", no_args_is_help=True)

HISTORY = "history"
READY_TIMEOUT_S = 90.0
_ROWS_BYTES = 256 * 1024  # of memories in one event
_ADOPT_S, _BYTES_PER_S = 60.0, 1024 * 1024  # patience with the journal, and more for a long life


@export_app.callback()
def _export() -> None:
    """Write an agent into a file, to move it to another house."""


@import_app.callback()
def _import() -> None:
    """Take in an agent that was exported elsewhere."""


@export_app.command("agent")
def export_agent(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="The archive to write, e.g. arya.tar.gz.", readable=False, show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    workspace: Annotated[bool, typer.Option(help="With the folder its tools work in.")] = True,
) -> None:
    """Write an agent into a file: its folder, its history, its memories, its soul.

    Nothing may be open: messages, calls of tools, doubts. The agent stays here as it is; do not let it live in both houses.

    Example: animactl export agent arya arya.tar.gz
    """
    from anima.cli import live
    from anima.cli.archive import Writer
    from anima.cli.backup import Living, writing

    home: Home = context.obj
    root.agent_process(home, name)
    with writing(file, "agent", force=force) as part, tempfile.TemporaryFile() as history:
        life = live.run(home, lambda bus: _read_life(cast("Client", bus), name, history))
        writer, living = Writer(part, "agent"), Living(home.root, own=os.fstat(part.fileno()))
        size = history.tell()
        history.seek(0)
        writer.file(HISTORY, history, size)
        for top in _places(name, workspace=workspace):
            living.add(writer, top)
        writer.end(agent=name, events=life.events, memories=life.memories, first=life.first, left_out=living.left_out)
    print(f"{file} holds {name}: {life.events:,} events, {life.memories:,} memories, verified")
    for sort, number in living.left_out.items():
        note(f"{number:,} {sort} are not in it")
    note(f"{name} lives on here; before it lives elsewhere, `animactl stop {name}` and move its folder away")


@import_app.command("agent")
def import_agent(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An archive that `export agent` wrote.", readable=False, show_default=False)],
) -> None:
    """Take in an agent from a file: it goes on here where it was put down there.

    The house runs, and has had no agent of that name. An import that was broken off is simply begun again.

    Example: animactl import agent arya.tar.gz
    """
    from anima.cli import live
    from anima.cli.archive import Unpacking, read_archive
    from anima.cli.copies import staging
    from anima.ids import check_name

    home: Home = context.obj
    root.request(home, "status")
    with staging(home) as folder:
        unpacking = Unpacking(folder, frozenset({HISTORY, "agents", "state", "workspace"}))
        manifest = read_archive(file, "agent", unpacking.keep)
        name = check_name(manifest["agent"])
        unpacking.end(_places(name, workspace=True))
        _check_places(file, name, folder)
        told = live.run(home, lambda bus: _adopt(bus, home, name, folder, manifest["first"]))
        tops = reversed(_places(name, workspace=True))  # its own folder last: with it, it lives
        completed = sum([_put(folder / top, home.root / top) for top in tops])
    _wake(home, name)
    if told["new"]:
        late = f"; nothing was stored meanwhile for {told['standstill_s'] * 1e3:.0f} ms"
        print(f"{name} lives here now: {told['events']:,} events, {manifest['memories']:,} memories{late}")
    elif completed:
        print(f"{name} lives here now: the import that was broken off is complete")
    else:
        print(f"{name} was imported already from this file, and is here")


def _places(name: str, *, workspace: bool) -> list[str]:
    """Where an agent's own files are, below the home; its folder first."""
    return [f"agents/{name}", f"state/output/{name}", f"state/record/{name}", *([f"workspace/{name}"] if workspace else [])]


# -- leaving --------------------------------------------------------------------------------------------------------------


@dataclass
class Life:
    """What was read of an agent, and what of it is still open."""

    events: int = 0
    memories: int = 0
    first: str = ""  #: id of its first event
    last: "Event | None" = None
    calls: dict[str, int] = field(default_factory=dict)  #: calls without a response, or in doubt: id and seq

    def take(self, event: "Event") -> None:
        """Take the next event. Raises BadMessage for a malformed one."""
        from anima.wire.events import IntentResolved, ToolCall, ToolResponse

        self.events += 1
        self.first = self.first or event.id
        self.last = event
        match event.body:
            case ToolCall():
                self.calls[event.id] = event.seq
            case ToolResponse(intent=intent, outcome=outcome) if outcome != "unknown":
                self.calls.pop(intent, None)
            case IntentResolved(intent):
                self.calls.pop(intent, None)
            case _:
                pass


async def _read_life(bus: "Client", name: str, history: IO[bytes]) -> Life:
    """Write [seq, ts, blob] of all that happened to the agent, and of what it remembers.

    Raises Refused if something is open.
    """
    import msgpack

    from anima.cli.ledger import Ledger
    from anima.wire.events import decode_event
    from anima.wire.frames import Query

    life, ledger = Life(), Ledger()
    head = int((await bus.ask("journal", "topics")).get(name, 0))
    since, more = 0, bool(head)
    while more:
        _, more, rows = await bus.read_rows(Query(since=since, before=head + 1, agent=name))
        for seq, ts, blob, _ in rows:
            event = decode_event(blob, seq, ts)
            life.take(event)
            ledger.add(event)
            history.write(msgpack.packb([seq, ts, blob]))
            since = seq
    if life.last is None:
        raise Refused(f"nothing has happened to {name} yet; there is nothing to move but its folder")
    if waiting := ledger.balance().waiting:
        raise Refused(
            f"{waiting} messages to {name} are not answered yet; try again when they are (`animactl audit` counts them)"
        )
    if life.calls:
        raise Refused(
            f"{len(life.calls)} calls of {name} are open or in doubt (the first is event {min(life.calls.values())}); "
            f"`animactl intents --agent {name}` shows them"
        )
    rows = await _memories(bus, name, head)
    for each in _told(rows, life.last):
        history.write(msgpack.packb([each.seq, each.ts, each.encode()]))
    life.memories = len(rows)
    if int((await bus.ask("journal", "topics"))[name]) != head:
        raise Refused(f"something happened to {name} meanwhile; try again, or `animactl stop {name}` first")
    return life


async def _memories(bus: "Client", name: str, head: int) -> list[dict[str, Any]]:
    """All that the agent remembers once it has read up to `head`, the forgotten too: that they are."""
    rows: list[dict[str, Any]] = []
    while True:
        after = rows[-1]["id"] if rows else ""
        told = await bus.ask("mneme", "page", None, agent=name, seen=head, after=after, limit=1_000)
        rows += told["rows"]
        if not told["more"] or not told["rows"]:
            return rows


def _told(rows: Iterable[dict[str, Any]], last: "Event") -> Iterator["Event"]:
    """The events that make an agent's memories what they are, after its last one."""
    import msgpack

    from anima.ids import derived_id
    from anima.wire.events import Event, MemoriesImported

    portion: list[dict[str, Any]] = []
    portions, size = [portion], 0
    for row in rows:
        size += len(msgpack.packb(row))
        if portion and size > _ROWS_BYTES:
            portion, size = [], len(msgpack.packb(row))
            portions.append(portion)
        portion.append(row)
    for place, each in enumerate(portions, 1):
        body = MemoriesImported(each, "another house", final=True)
        id_ = derived_id(last.id, "memories", place)
        yield Event(id_, body.kind, last.agent, "", "cli", last.id, body.fields(), last.seq + place, last.ts)


# -- arriving -------------------------------------------------------------------------------------------------------------


def _check_places(file: Path, name: str, folder: Path) -> None:
    """Raise Refused unless what was unpacked is this agent's alone, its folder among it."""
    allowed = [PurePosixPath(each) for each in (HISTORY, *_places(name, workspace=True))]
    for place in folder.rglob("*"):
        path = PurePosixPath(place.relative_to(folder).as_posix())
        if not any(path.is_relative_to(each) or each.is_relative_to(path) for each in allowed):
            raise Refused(f"{file} is no agent's archive: {str(path)!r} in it does not belong to {name}")
    if not (folder / "agents" / name).is_dir() or not (folder / HISTORY).is_file():
        raise Refused(f"{file} is no agent's archive: the folder of {name} or its history is missing in it")


async def _adopt(bus: Any, home: Home, name: str, folder: Path, first: str) -> dict[str, Any]:
    """Have the journal take the agent's life. Raises Refused if there is another agent of that name."""
    from anima.wire.frames import Query

    marks = (await bus.read(Query(agent=name, kinds=("agent_adopted",), limit=1))).events
    if not (marks and marks[0].cause == first):
        for top in _places(name, workspace=True):
            if (home.root / top).exists():
                raise Refused(f"{home.root / top} is there already; move it away, or keep the agent that lives here")
    history = folder / HISTORY
    patience_s = _ADOPT_S + history.stat().st_size / _BYTES_PER_S
    told: dict[str, Any] = await bus.ask("journal", "adopt", patience_s, **{"from": str(history), "agent": name})
    return told


def _put(fresh: Path, to: Path) -> bool:
    """Move what came to its place; whether it was: what an import that was broken off has put there stays."""
    if not fresh.exists() or to.exists():
        return False
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # on another disk it is copied, and gets its name when it is whole
        fresh.rename(to)
        return True
    part = to.with_name(f".{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(fresh, part, symlinks=True)
    part.rename(to)
    return True


def _wake(home: Home, name: str) -> None:
    """Have the supervisor start it, and wait until it is up."""
    try:
        root.request(home, "reload", timeout_s=30.0)
    except ConfigError as error:
        raise Refused(f"{name} is here, but the house cannot take it: {error}; then run `animactl reload`") from None
    except (Refused, Unavailable) as error:  # an upgrade, for one
        raise Refused(f"{name} is here, but not up: {error}; `animactl reload` starts it") from None
    process = root.wait_until(home, f"agent:{name}", {"up", "failed", "down"}, READY_TIMEOUT_S)
    if process["state"] == "failed":
        raise Refused(f"{name} is here, but it does not start: {process['reason']}")
