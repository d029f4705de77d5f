"""Server-sent events out of raw bytes, whatever pieces the network makes of them. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation; of an event only its data
matters here, because both dialects repeat inside it what it is.
"""


class Events:
    """One stream being read. A character or a line that a packet cuts in two is whole again with the next packet."""

    def __init__(self) -> None:
        self._rest = b""  # the line that has no end yet
        self._data: list[bytes] = []  # the lines of the event that has no end yet

    def feed(self, piece: bytes) -> list[str]:
        """The data of each event that ends in `piece`."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [data for line in lines if (data := self._take(line.removesuffix(b"\r"))) is not None]

    def end(self) -> list[str]:
        """The data of the event that the end of the connection ends; some servers leave out the last blank line."""
        found = [self._take(self._rest.removesuffix(b"\r")), self._take(b"")]
        self._rest = b""
        return [data for data in found if data is not None]

    @property
    def held(self) -> int:
        """Bytes that wait for their event to end."""
        return len(self._rest) + sum(map(len, self._data))

    def _take(self, line: bytes) -> str | None:
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data).decode("utf-8", "replace") if data else None
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        return None  # comments, ids, names of events
