"""`memory`: what an agent remembers, looked at and changed by a person."""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.memories_file import app as _file_app
from anima.cli.names import Name
from anima.cli.remembering import ask, head, pages, when
from anima.cli.table import Column, render
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clean, complain, is_terminal, note, one_line, width
from anima.errors import Refused
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus

app = typer.Typer(help="What an agent remembers: search, change, import and export it.", no_args_is_help=True)
app.registered_commands += _file_app.registered_commands

Id = Annotated[str, typer.Argument(help="The memory, as `memory search` and `memory list` show it.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
In = Annotated[str, typer.Option("--session", "-s", help="Only of this conversation.", show_default=False)]

_QUERY_CHARS_MAX = 100_000
_LIST = (
    Column("ID", leaves=2),
    Column("WHEN"),
    Column("SORT", leaves=3),
    Column("SESSION", leaves=1),
    Column("WHO"),
    Column("TEXT", flexible=True),
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(m|min|h|d|w|y)")
_UNITS_S = {"m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_557_600}


@app.command()
def search(  # noqa: PLR0913 - a command line is one parameter per option
    context: typer.Context,
    name: Name,
    query: Annotated[str, typer.Argument(help="What to look for, in words.", show_default=False)] = "",
    *,
    count: Annotated[int, typer.Option("-k", help="So many at most.", min=1, max=200)] = 10,
    session: In = "",
    since: Annotated[str, typer.Option("--since", help="Not older: 12h, 30d, or 2023-05-08.", show_default=False)] = "",
    queries: Annotated[
        Path | None, typer.Option("--queries", help='JSON lines {"query": ...}: one JSON answer a line.', show_default=False)
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Also what made each score, and what was said around it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what fits a query best, best first.

    Example: animactl memory search arya "where did Ada adopt her dog?" -k 5
    """
    home: Home = context.obj
    how = {"k": count, "session": session, "since": _since(since), "explain": explain}
    if queries is not None:
        _many(home, name, queries, how)
        return
    told = ask(home, name, "search", query=query[:_QUERY_CHARS_MAX], **how)
    if as_json:
        print(json.dumps({"query": told["query"], "hits": told["hits"]}, ensure_ascii=False))
        return
    for line in hit_lines(told["hits"], width(), explain=explain):
        print(line)
    if not told["hits"]:
        note("nothing fits" if query.strip() else "the query is empty")
    _remarks(told)


def hit_lines(hits: list[dict[str, Any]], columns: int, *, explain: bool) -> Iterator[str]:
    """Each hit on lines for a terminal of that width."""
    for place, each in enumerate(hits, 1):
        who = ", ".join(part for part in (when(each["ts"]), each["session"], each["speaker"]) if part)
        yield one_line(f"{place}. {each['text']}", columns)
        yield "   " + one_line(f"{who}  [{each['id']}]", columns - 3)
        if explain:
            parts = "  ".join(f"{name} {value:.3f}" for name, value in each.get("parts", {}).items())
            yield "   " + one_line(f"{each['score']:.4f}: {parts}", columns - 3)
            for other in each.get("around", ()):
                mark = ">" if other["id"] == each["id"] else " "
                yield f"   {mark} " + one_line(f"{other['speaker']}: {other['text']}", columns - 5)


def _many(home: Home, name: str, path: Path, how: dict[str, Any]) -> None:
    """Answer every line of a file; a broken one is named, and the command fails in the end."""
    from anima.cli import live

    root.agent_process(home, name)
    wrong: list[str] = []

    async def answer(bus: "Bus") -> None:
        seen = await head(bus)
        for number, line in enumerate(_lines(path), 1):
            try:
                found = json.loads(line)
                query = found["query"] if isinstance(found, dict) else found
            except (ValueError, KeyError):
                query = None
            if not isinstance(query, str):
                wrong.append(f'line {number} of {path} is no JSON object with a "query"')
                continue
            asked = {"agent": name, "query": query[:_QUERY_CHARS_MAX], "seen": seen, **how}
            told = await bus.ask("mneme", "search", None, **asked)
            print(json.dumps({"query": query, "hits": told["hits"]}, ensure_ascii=False))

    live.run(home, answer)
    for sentence in wrong:
        complain(sentence)
    if wrong:
        raise typer.Exit(1)


@app.command()
def add(
    context: typer.Context,
    name: Name,
    text: Annotated[str, typer.Argument(help="A fact, complete in itself.", show_default=False)],
    *,
    session: Annotated[str, typer.Option("--session", "-s", help="Only for this conversation.", show_default=False)] = "",
    importance: Annotated[float, typer.Option(help="From 0 to 1.", min=0, max=1)] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Have the agent remember a fact.

    What it knows already becomes more important instead; what contradicts an older fact supersedes it. Every conversation
    may know it, unless --session names the only one.

    Example: animactl memory add arya "Ada's birthday is on 8 May"
    """
    about = {"session": session, "importance": importance, "shared": not session, "speaker": "user"}
    told = ask(context.obj, name, "remember", text=text, **about)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    words = {"new": "remembered", "again": f"known already: {told['old']}", "instead": f"remembered, instead of: {told['old']}"}
    print(clean(f"{told['id']}  {words[told['how']]}"))


@app.command("list")
def list_memories(  # noqa: PLR0913 - a command line is one parameter per option
    context: typer.Context,
    name: Name,
    *,
    sorts: Annotated[
        list[str] | None,
        typer.Option("--sort", help="fact, episode, snapshot1, snapshot2, goal1, goal2 or pin.", show_default=False),
    ] = None,
    session: In = "",
    since: Annotated[str, typer.Option("--since", help="Not older: 12h, 30d, or 2023-05-08.", show_default=False)] = "",
    count: Annotated[int, typer.Option("-n", help="So many at most.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List memories in the order of time; facts, snapshots, goals and pins, unless --sort says otherwise.

    Example: animactl memory list arya --sort fact
    """
    wanted = sorts or ["fact", "snapshot1", "snapshot2", "goal1", "goal2", "pin"]
    rows = list(pages(context.obj, name, count, sorts=wanted, session=session, since=_since(since), full=True))
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    if not rows:
        note(f"{name} has none; `animactl memory search` looks through everything that was said")
        return
    print("\n".join(render(_LIST, [_cells(each) for each in rows], width())))


def _cells(memory: dict[str, Any]) -> list[str]:
    state = "" if memory.get("state", "live") == "live" else f" ({memory['state']})"
    text = one_line(memory["text"], NO_TERMINAL_COLUMNS)
    return [memory["id"], when(memory["ts"]), memory["sort"] + state, memory["session"], memory["speaker"], text]


@app.command()
def show(context: typer.Context, name: Name, memory: Id, *, as_json: AsJson = False) -> None:
    """Show one memory: where it comes from, what it superseded or was superseded by, what was said around it.

    Example: animactl memory show arya 0192f3c1-...
    """
    told = ask(context.obj, name, "show", id=memory)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    found = told["memory"]
    about = {key: value for key, value in found.items() if key != "text" and value not in ("", {}, None)}
    print(clean(found["text"]) if is_terminal(sys.stdout) else found["text"])
    for key, value in about.items():
        print(clean(f"  {key}: {when(value) if key == 'ts' else value}"))
    for each in told["by"]:
        print(clean(f"  superseded by {each['id']}: {each['text']}"))
    for each in told["around"]:
        mark = ">" if each["id"] == found["id"] else " "
        print(f"{mark} " + one_line(f"{each['speaker']}: {each['text']}", width() - 2))


@app.command()
def edit(
    context: typer.Context,
    name: Name,
    memory: Id,
    text: Annotated[str, typer.Argument(help="The new text; without it the old one stays.", show_default=False)] = "",
    *,
    importance: Annotated[float, typer.Option(help="From 0 to 1.", min=-1, max=1, show_default=False)] = -1,
    share: Annotated[
        bool | None, typer.Option("--share/--private", help="Whether other conversations may know it.", show_default=False)
    ] = None,
) -> None:
    """Change a memory's text, its importance, or who may know it.

    Example: animactl memory edit arya 0192f3c1-... --share
    """
    changes: dict[str, Any] = {"text": text} if text.strip() else {}
    if importance >= 0:
        changes["importance"] = importance
    if share is not None:
        changes["shared"] = share
    if not changes:
        raise Refused("there is nothing to change: give a text, --importance, --share or --private")
    told = ask(context.obj, name, "change", id=memory, changes=changes, reason="edited by a person")
    print(f"{told['id']} is changed")


@app.command()
def forget(
    context: typer.Context,
    name: Name,
    memory: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who look.", show_default=False)] = "",
) -> None:
    """Let go of a memory: its text and its vector are deleted from mneme.db.

    What was said stays in the journal, which nobody rewrites; it comes to mind no more.

    Example: animactl memory forget arya 0192f3c1-...
    """
    told = ask(context.obj, name, "change", id=memory, changes={"state": "forgotten"}, reason=reason or "a person wants it so")
    print(clean(f"forgotten: {one_line(told['text'], width() - 12)}"))


@app.command()
def pin(context: typer.Context, name: Name, memory: Id) -> None:
    """Always show a memory to the agent's model.

    Example: animactl memory pin arya 0192f3c1-...
    """
    told = ask(context.obj, name, "pin", id=memory)
    print(clean(f"pinned: {one_line(told['text'], width() - 9)}"))


@app.command()
def unpin(context: typer.Context, name: Name, memory: Id) -> None:
    """Show a memory no longer than any other.

    Example: animactl memory unpin arya 0192f3c1-...
    """
    told = ask(context.obj, name, "pin", id=memory, off=True)
    print(clean(f"no longer pinned: {one_line(told['text'], width() - 19)}"))


@app.command()
def stats(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show how much an agent remembers, and how far it is with it.

    Example: animactl memory stats arya
    """
    told = ask(context.obj, name, "stats")
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    for key, value in told["counts"].items():
        print(clean(f"{key}: {value:,}" if isinstance(value, int) else f"{key}: {value}"))
    print(f"secrets met and not kept, since this process began: {told['secrets']}")
    _remarks(told)


def _remarks(told: dict[str, Any]) -> None:
    if told.get("behind"):
        note("mneme has not read all of the journal yet; ask again in a moment")
    if told.get("words_only"):
        note(f"found by words alone: {told['words_only']}")


def _since(text: str) -> float | None:
    """Seconds since 1970. Raises Refused for what is no span and no date."""
    if not text:
        return None
    if span := _SPAN.fullmatch(text.strip().lower()):
        return time.time() - float(span[1]) * _UNITS_S[span[2]]
    import datetime as dt

    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refused(f"'{text}' is no span and no date; write 12h, 30d, 8w or 2023-05-08") from None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.strip())
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
