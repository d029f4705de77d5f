"""`memory import`, `export`, `reindex`: memories of an agent as a file, and all of them anew."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.names import Name
from anima.cli.remembering import pages, when
from anima.cli.terminal import complain, is_terminal, note
from anima.errors import Refused, Unavailable
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus

app = typer.Typer()

BATCH_LINES = 400
BATCH_BYTES = 512 * 1024
ASK_TIMEOUT_S = 15.0  # a batch without an answer is sent again: what is known of it is not taken twice
PATIENCE_S = 120.0  # so long a mneme that is away is waited for
LINE_BYTES_MAX = 1024 * 1024
_WRONG_SHOWN = 20
_POLL_S = 0.3
_BAR = 30


@app.command("import")
def import_file(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path, typer.Argument(help="JSON lines: id, ts, session, speaker, text.", readable=False, show_default=False)
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Until everything has its vector, too.")] = False,
    private: Annotated[bool, typer.Option("--private", help="What a session says only for that session.")] = False,
) -> None:
    """Give an agent memories from a life lived elsewhere.

    A line is {"id", "ts", "session", "speaker", "text"}; ts is an ISO 8601 date, seconds since 1970, or like "1:56 pm on
    8 May, 2023". What is known by its id is not taken twice, so an import that was broken off is simply begun again. A
    line that makes no sense is named, and the rest is taken.

    Example: animactl memory import arya life.jsonl --wait
    """
    from anima.cli import live

    home: Home = context.obj
    root.agent_process(home, name)
    lines = _Lines(file)
    total = {"new": 0, "known": 0, "secrets": 0}
    wrong: list[tuple[int, str]] = []

    async def carry(bus: "Bus") -> None:
        bar = Bar(lines.size, "bytes")
        for batch in lines.batches():
            told = await _patiently(bus, "import", agent=name, lines=batch, origin=file.name, shared=not private)
            for key in total:
                total[key] += told[key]
            wrong.extend((int(number), str(sentence)) for number, sentence in told["wrong"])
            bar.show(lines.read)
        bar.close()
        if wait:
            await _until_woven(bus, name)

    live.run(home, carry)
    wrong += lines.wrong
    known = f", {total['known']:,} were known" if total["known"] else ""
    secrets = f"; {total['secrets']:,} secrets in them were not kept" if total["secrets"] else ""
    print(f"{total['new']:,} memories imported{known}{secrets}")
    for number, sentence in sorted(wrong)[:_WRONG_SHOWN]:
        complain(f"line {number} of {file}: {sentence}")
    if len(wrong) > _WRONG_SHOWN:
        complain(f"and {len(wrong) - _WRONG_SHOWN:,} more lines that make no sense")
    if wrong:
        raise typer.Exit(1)


@app.command()
def export(
    context: typer.Context,
    name: Name,
    *,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="One Markdown file a session, into this folder.", show_default=False)
    ] = None,
) -> None:
    """Print everything an agent remembers, as JSON lines that `memory import` takes.

    What was forgotten is not in it.

    Example: animactl memory export arya > arya.jsonl
    """
    rows = (each for each in pages(context.obj, name, 0) if each.get("state") != "forgotten")
    if markdown is None:
        for each in rows:
            print(json.dumps(each, ensure_ascii=False))
        return
    count = _write_markdown(name, rows, markdown)
    print(f"{count:,} memories written below {markdown}")


@app.command()
def reindex(
    context: typer.Context,
    name: Name,
    *,
    model: Annotated[str, typer.Option("--model", help="The embedding model; empty: the configured one.")] = "",
) -> None:
    """Make all vectors anew, after the embedding model changed. Search goes on meanwhile.

    Example: animactl memory reindex arya
    """
    from anima.cli import live

    home: Home = context.obj
    root.agent_process(home, name)

    async def carry(bus: "Bus") -> str:
        told = await bus.ask("mneme", "reindex", None, agent=name, model=model)
        await _until_woven(bus, name)
        return str(told["model"])

    print(f"all memories of {name} have vectors of {live.run(home, carry)}")


class _Lines:
    """The lines of a file in batches, and how far it was read. What cannot be a line is kept aside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read = 0
        self.wrong: list[tuple[int, str]] = []
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from error

    def batches(self) -> Iterator[list[list[Any]]]:
        """[[number, line], ...] each. Raises Refused if the file cannot be read."""
        batch: list[list[Any]] = []
        size = 0
        try:
            with self._path.open("rb") as file:
                for number, raw in enumerate(file, 1):
                    self.read += len(raw)
                    if not raw.strip():
                        continue
                    if len(raw) > LINE_BYTES_MAX:
                        self.wrong.append((number, f"a line of {len(raw):,} bytes; it has at most {LINE_BYTES_MAX:,}"))
                        continue
                    try:
                        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                    except UnicodeDecodeError as error:
                        self.wrong.append((number, f"not UTF-8 at byte {error.start}"))
                        continue
                    batch.append([number, line])
                    size += len(raw)
                    if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                        yield batch
                        batch, size = [], 0
        except OSError as error:
            raise Refused(f"{self._path} cannot be read: {error.strerror}") from error
        if batch:
            yield batch


class Bar:
    """A progress bar on stderr, if a person sees it."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = max(total, 1)
        self._unit = unit
        self._shown = is_terminal(sys.stderr)
        self._at = 0.0

    def show(self, done: int) -> None:
        """So much is done."""
        if self._shown and (time.monotonic() - self._at > 0.1 or done >= self._total):  # noqa: PLR2004 - ten times a second
            self._at = time.monotonic()
            share = min(done / self._total, 1.0)
            bar = "#" * int(share * _BAR)
            sys.stderr.write(f"\r[{bar:<{_BAR}}] {share:4.0%}  {done:,} of {self._total:,} {self._unit}")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave the line."""
        if self._shown:
            sys.stderr.write("\n")


async def _patiently(bus: "Bus", verb: str, **fields: Any) -> dict[str, Any]:
    """Ask until there is an answer; a mneme that died is started again, and what it had taken it knows."""
    import asyncio

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            told: dict[str, Any] = await bus.ask("mneme", verb, ASK_TIMEOUT_S, **fields)
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"{error}; begin the same import again when it is back, it goes on where it was") from error
            await asyncio.sleep(1.0)
        else:
            return told


async def _until_woven(bus: "Bus", name: str) -> None:
    """Wait until there are vectors for everything; a remark if there is no model to make them."""
    import asyncio

    bar: Bar | None = None
    while True:
        told = await _patiently(bus, "stats", agent=name)
        if told["words_only"] and told["woven"]:
            note(f"no vectors: {told['words_only']}")
            return
        left = int(told["left"])
        bar = bar or Bar(left, "vectors")
        if told["woven"] and not left:
            bar.close()
            return
        bar.show(max(0, bar._total - left))  # noqa: SLF001 - our own
        await asyncio.sleep(_POLL_S)


def _write_markdown(name: str, rows: Iterator[dict[str, Any]], folder: Path) -> int:
    """One file a session, memories in the order of time. Raises Refused if the folder cannot be written."""
    files: dict[str, IO[str]] = {}
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in rows:
            session = each["session"] or "everywhere"
            if session not in files:
                stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in session).lstrip(".")[:80]
                taken = {Path(file.name).name for file in files.values()}
                names = (f"{stem or '_'}{number or ''}.md" for number in range(len(files) + 2))
                path = folder / next(file for file in names if file not in taken)
                files[session] = path.open("w", encoding="utf-8")
                files[session].write(f"# What {name} remembers of {session}\n\n")
            sort = each.get("sort", "episode")
            parts = (when(each["ts"]), each["speaker"], f"({sort})" if sort != "episode" else "")
            files[session].write(f"**{' '.join(filter(None, parts))}**  \n{each['text']}\n\n")
            count += 1
    except OSError as error:
        raise Refused(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    finally:
        for file in files.values():
            file.close()
    return count
