"""Text on its way to a model: cut to head and tail, free of what cannot be sent, of what only a terminal understands."""

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, and other strings for a terminal
    r"|\x1b[ -/]*[0-~]",  # the short ones
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def sendable(text: str) -> str:
    """The text with half characters replaced, so that it can be encoded."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= each <= "\udfff" for each in text) else text


def plain(output: bytes) -> str:
    """What a program printed, as text: terminal escapes gone, a line overwritten by carriage returns as it ended."""
    text = _ESCAPES.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_overwritten(line) for line in text.split("\n"))
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _overwritten(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part), "")


def cut(whole: bytes, limit: int, where: str) -> str:
    """Head and tail of a UTF-8 text, at most about `limit` bytes, with a line between that says how much is missing."""
    if len(whole) <= limit:
        return whole.decode("utf-8", "replace")
    head, tail = _head(whole, limit * 2 // 3), _tail(whole, limit // 3)
    missing = len(whole) - len(head) - len(tail)
    return f"{head.decode()}\n[... {missing:,} of {len(whole):,} bytes left out; {where} ...]\n{tail.decode()}"


def _head(whole: bytes, size: int) -> bytes:
    """The first bytes, ending with a line if one ends in the last tenth, else with a whole character."""
    piece = whole[:size]
    newline = piece.rfind(b"\n", size - size // 10)
    return piece[: newline + 1] if newline >= 0 else piece.decode("utf-8", "ignore").encode()


def _tail(whole: bytes, size: int) -> bytes:
    piece = whole[len(whole) - size :]
    newline = piece.find(b"\n", 0, size // 10)
    return piece[newline + 1 :] if newline >= 0 else piece.decode("utf-8", "ignore").encode()
