"""A child's words to the root: systemd's own (sd_notify(3)), one datagram each, on the socket the root gave it."""

import socket

WORD_CHARS_MAX = 1_000  # the root keeps less of it; a datagram that is too large would be an error


class Notify:
    """The child's end. Sending never waits; a word that finds no room or no listener is dropped."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)

    @property
    def fd(self) -> int:
        """Readable, and at its end, when the root is gone: the lifeline."""
        return self._socket.fileno()

    def say(self, *words: str) -> None:
        """Send e.g. "READY=1", "STATUS=idle". A word is one line: what a session is called must not become another word."""
        lines = (word.replace("\n", " ")[:WORD_CHARS_MAX] for word in words)
        try:
            self._socket.send("\n".join(lines).encode(errors="replace"))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return  # the lifeline will tell if the root is gone; if it is only slow, a beat less does no harm

    def root_is_gone(self) -> bool:
        """Take what the root may have said downward (nothing yet) and tell whether it hung up."""
        try:
            return not self._socket.recv(4096)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
