"""What those who look on hear of a running turn: words as they come, thoughts, which tools are called and what came back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anima.agent.dialect import Curtain
from anima.agent.inbox import Open
from anima.bus.bus import Bus
from anima.nous.model import Delta, Restart, Text, Thinking
from anima.wire.events import ToolCall, ToolResponse
from anima.wire.whispers import Whisper

ARGS_CHARS_MAX = 100
LINE_CHARS_MAX = 120


@dataclass
class Voice:
    """Whispers about one turn; `take` grows whenever what was shown before is void."""

    bus: Bus
    agent: str
    message: Open
    take: int
    curtain: Curtain | None = None  #: before the calls a model writes as text
    drafting: bool = False  #: what is said may be revised before it leaves, so it is no answer yet

    def tell(self, delta: Delta) -> None:
        """Pass on a piece of the model's reply."""
        match delta:
            case Text(text):
                self._whisper(self._aloud, self.curtain.pass_on(text) if self.curtain else text)
            case Thinking(text):
                self._whisper("thinking", text)
            case Restart(reason):
                self.take += 1
                self.curtain = self.curtain and Curtain()
                self._whisper("note", reason)
            case _:
                pass

    def finish(self) -> None:
        """The reply is over: show what was held back."""
        if self.curtain and (rest := self.curtain.rest()):
            self._whisper(self._aloud, rest)

    @property
    def _aloud(self) -> str:
        return "thinking" if self.drafting else "text"

    def called(self, call: ToolCall) -> None:
        """A call was passed on."""
        self._whisper("tool", f"{call.tool} {args_line(call.args)}".rstrip())

    def answered(self, response: ToolResponse) -> None:
        """A call came back."""
        outcome = response.outcome or ("done" if response.ok else "failed")
        took = f" in {response.duration_s:.1f} s" if response.duration_s >= 0.1 else ""  # noqa: PLR2004 - shorter is at once
        first = next((line for line in response.text.splitlines() if line.strip()), "")
        self._whisper("tool", f"{response.tool}: {outcome}{took}{': ' if first else ''}{_cut(first.strip(), LINE_CHARS_MAX)}")

    def _whisper(self, what: str, text: str) -> None:
        if text:
            message = self.message
            self.bus.whisper(Whisper(self.agent, message.session, message.turn, self.take, what, text))


def args_line(args: Mapping[str, Any]) -> str:
    """The arguments of a call on one short line, as `path="a.txt" limit=3`."""
    return _cut(" ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in args.items()), ARGS_CHARS_MAX)


def _cut(line: str, chars_max: int) -> str:
    return line if len(line) <= chars_max else f"{line[: chars_max - 1]}…"
