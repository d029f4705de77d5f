"""systemd's sd_notify words as a child says them to the root. A pure parser: gossip from outside, never an error."""

from dataclasses import dataclass

BEAT = b"WATCHDOG=1"  #: by far the most frequent datagram; the root compares bytes before it parses
STATUS_CHARS_MAX = 256
_EXTEND_S_MAX = 3600.0


@dataclass(frozen=True)
class Words:
    """One datagram, understood. Unknown words are left out, malformed values too."""

    ready: bool = False
    stopping: bool = False
    beat: bool = False
    hang: bool = False  #: WATCHDOG=trigger: the child itself says that it hangs
    status: str | None = None
    extend_s: float | None = None  #: it needs so much longer, from now, for what it is doing
    reason: str | None = None  #: X_REASON: why it is about to leave, one sentence


def parse_words(datagram: bytes) -> Words:
    """What `datagram` says. Reads any bytes; the last of repeated words counts."""
    said: dict[str, str] = {}
    for line in datagram.decode("utf-8", "replace").split("\n"):
        word, equals, value = line.partition("=")
        if equals:
            said[word] = value
    return Words(
        ready=said.get("READY") == "1",
        stopping=said.get("STOPPING") == "1",
        beat=said.get("WATCHDOG") == "1",
        hang=said.get("WATCHDOG") == "trigger",
        status=_sentence(said.get("STATUS")),
        extend_s=_seconds(said.get("EXTEND_TIMEOUT_USEC")),
        reason=_sentence(said.get("X_REASON")),
    )


def _sentence(text: str | None) -> str | None:
    """`text` in one printable line of bounded length: it goes to a terminal."""
    if text is None:
        return None
    return "".join(letter if letter.isprintable() else " " for letter in text[:STATUS_CHARS_MAX]).strip()


def _seconds(usec: str | None) -> float | None:
    if usec is None or not (usec.isascii() and usec.isdigit()) or len(usec) > len("3600000000"):
        return None
    return min(int(usec) / 1e6, _EXTEND_S_MAX)
