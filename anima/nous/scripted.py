"""The `scripted:FILE` model: plays a script, for tests, demonstrations and faults on purpose."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from anima.errors import ConfigError, Refused, Unavailable
from anima.nous.model import Call, Delta, Done, Request, Restart, Text, Thinking
from anima.nous.script import Entry, choose_entry, read_script
from anima.nous.tokens import estimate, estimate_request
from anima.nous.words import words


class Scripted:
    """One script, read once when it was opened."""

    def __init__(self, file: str, entries: tuple[Entry, ...]) -> None:
        self._file = file
        self._entries = entries

    @property
    def name(self) -> str:
        """scripted:FILE, as configured."""
        return f"scripted:{self._file}"

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model. May end the process, hang or fail, if the script says so."""
        entry = choose_entry(self._entries, request.messages)
        if entry is None:
            raise Refused(f"the script {self._file} has no reply to this; add an entry to it")
        answers = sum(each.role == "assistant" for each in request.messages)
        struck = entry.struck(_attempt(request))
        if entry.thinking:
            yield Thinking(entry.thinking)
        for delta in entry.deltas or words(entry.text):
            if entry.delay_s:
                await asyncio.sleep(entry.delay_s)
            yield Text(delta)
        if struck:
            await self._strike(entry)
            if entry.error == "cut":
                yield Restart(f"the script {self._file} cuts this stream")
                for delta in entry.deltas or words(entry.text):
                    yield Text(delta)
        for number, (tool, args) in enumerate(entry.calls):
            yield Call(f"call-{answers}-{number}", tool, args)
        yield Done("tool_use" if entry.calls else "end_turn", estimate_request(request), estimate(entry.text))

    async def _strike(self, entry: Entry) -> None:
        """Do the harm the entry asks for, after its words were said."""
        where = f"{self._file}:{entry.line}"
        if entry.exit is not None:
            os._exit(entry.exit)  # the point is a death without a farewell
        if entry.hang:
            await asyncio.get_running_loop().create_future()  # until cancelled
        match entry.error:
            case "overloaded":
                raise Unavailable(f"the script {where} plays an overloaded provider; ask again later")
            case "refused":
                raise Refused(f"the script {where} plays a provider that refuses; ask something else")
            case "bug":
                raise RuntimeError(f"the script {where} plays a bug in a provider")

    async def close(self) -> None:
        """Nothing to let go of."""


def _attempt(request: Request) -> int:
    try:
        return int(request.facts.get("attempt", "1"))
    except ValueError:
        return 1


def open_scripted(file: str, folder: Path) -> Scripted:
    """The script in `file`, relative to `folder`. Raises ConfigError with file and line if it cannot be played."""
    if not file:
        raise ConfigError("the model `scripted` needs a script: write scripted:FILE, see docs/models.md")
    path = folder / Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the script {path} is not UTF-8 (byte {error.start}); convert it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"the script {path} cannot be read ({reason}); correct `model` or create the file") from None
    return Scripted(file, read_script(text, str(path)))
