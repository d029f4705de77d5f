"""What a person was already shown is not shown twice: a new attempt is held against the words of the one that broke off.

A provider cannot be asked to go on where it stopped, so the next attempt is a new sample. As long as it says the same
(a model without temperature does, and so does a cache), it is swallowed, and what goes beyond is shown as if nothing
had happened. At the first difference all of it is void: a Restart, and the new sample from its beginning.
"""

from dataclasses import replace

from anima.nous.model import Delta, Done, Restart, Text, Thinking


class Shown:
    """What of one answer was shown so far, through several attempts at it."""

    def __init__(self) -> None:
        self._shown: list[Delta] = []  # without Done
        self._reason = ""  # why the attempt before broke off; "" when this one shows all it says
        self._place = 0  # up to here of `_shown` this attempt said the same, ...
        self._offset = 0  # ... and so many characters of the next

    def again(self, reason: str) -> None:
        """The attempt broke off for `reason`, and another one begins."""
        self._reason = reason if self._shown else ""
        self._place = self._offset = 0

    def take(self, delta: Delta) -> list[Delta]:
        """What of the attempt's next delta is to be shown: all of it, a part, nothing, or a Restart and what came before."""
        if not self._reason:
            return self._show(delta)
        rest, same = self._follow(delta)
        if not same:
            return self._void(rest)
        if rest is None:
            return []
        self._reason = ""  # it goes beyond what was shown
        return self._show(rest)

    def _show(self, delta: Delta) -> list[Delta]:
        if not isinstance(delta, Done):
            self._shown.append(delta)
        return [delta]

    def _follow(self, delta: Delta) -> tuple[Delta | None, bool]:
        """What of `delta` was not shown, if anything, and whether the attempt said the same until there."""
        while self._place < len(self._shown):
            shown = self._shown[self._place]
            if not _sliced(shown) or not _sliced(delta):
                if shown != delta:
                    return delta, False
                self._place += 1
                return None, True
            said, text = _text(shown)[self._offset :], _text(delta)
            length = min(len(said), len(text))
            if type(shown) is not type(delta) or said[:length] != text[:length]:
                return delta, False
            self._offset += length
            if length == len(said):
                self._place, self._offset = self._place + 1, 0
            if length == len(text):
                return None, True
            delta = _cut(delta, length)
        return delta, True

    def _void(self, rest: Delta | None) -> list[Delta]:
        """Void what was shown; what this attempt said so far stands in its place."""
        same = self._shown[: self._place]
        if self._offset:
            same.append(_cut(self._shown[self._place], self._offset, keep=True))
        reason, self._reason, self._shown = self._reason, "", same
        said = list(same)
        return [Restart(reason), *said, *(self._show(rest) if rest else ())]


def _sliced(delta: Delta) -> bool:
    """Whether this is a piece of text, whose borders mean nothing."""
    return isinstance(delta, Text) or (isinstance(delta, Thinking) and not delta.signature)


def _text(delta: Delta) -> str:
    return delta.text if isinstance(delta, Text | Thinking) else ""


def _cut(delta: Delta, length: int, *, keep: bool = False) -> Delta:
    assert isinstance(delta, Text | Thinking)
    return replace(delta, text=delta.text[:length] if keep else delta.text[length:])
