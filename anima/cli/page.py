"""The terminal of a chat: a prompt below, and above it whatever is said, by whichever thread."""

import sys
import threading

from anima.cli.terminal import clean, colour, columns_of, width
from anima.cli.wrap import Wrap

PROMPT = "you> "


class Page:
    """What two threads write to one terminal without mixing their lines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._typing = False  # the prompt is shown and a person may be typing
        self._prompt = PROMPT
        self._held: tuple[str, str] | None = None  # who says what, as long as a person types
        self._wrap: Wrap | None = None  # a paragraph is open

    def ask(self, prompt: str = PROMPT) -> str:
        """A line of the person's. Raises EOFError (Ctrl-D) and KeyboardInterrupt."""
        with self._lock:
            self._close()
            self._typing, self._prompt = True, prompt
        try:
            return input(prompt)
        finally:
            with self._lock:
                self._typing = False
                if self._held:
                    who, text = self._held
                    self._held = None
                    self._stream(who, text)

    def say(self, who: str, text: str, colour_name: str = "green") -> None:
        """A whole utterance, above the prompt if there is one."""
        with self._lock:
            self._close()
            self._say(who, text, colour_name)

    def remark(self, text: str, colour_name: str = "grey") -> None:
        """Something beside the conversation."""
        with self._lock:
            self._close()
            self._put_aside_prompt()
            wrap = Wrap(width())
            print(colour(wrap.feed(clean(text)) + wrap.end(), colour_name))
            self._put_back_prompt()

    def stream(self, who: str, text: str) -> None:
        """A piece of an answer that is still coming. As long as a person types it is held back, at most to its end."""
        with self._lock:
            if self._typing:
                self._held = (who, self._held[1] + text if self._held else text)
            else:
                self._stream(who, text)

    def close(self) -> None:
        """End the paragraph that is open."""
        with self._lock:
            self._close()

    def _say(self, who: str, text: str, colour_name: str) -> None:
        self._put_aside_prompt()
        head = f"{who}> "
        wrap = Wrap(width(), columns_of(head))
        body = clean(text).rstrip("\n")
        print(colour(head, colour_name) + wrap.feed(body) + wrap.end())
        self._put_back_prompt()

    def _stream(self, who: str, text: str) -> None:
        if self._wrap is None:
            head = f"{who}> "
            print(colour(head, "green"), end="")
            self._wrap = Wrap(width(), columns_of(head))
        print(self._wrap.feed(clean(text)), end="", flush=True)

    def _close(self) -> None:
        if self._held:
            who, text = self._held
            self._held = None
            self._say(who, text, "green")
        if self._wrap is not None:
            print(self._wrap.end(), flush=True)
            self._wrap = None

    def _put_aside_prompt(self) -> None:
        if self._typing:
            print("\r\x1b[K", end="")

    def _put_back_prompt(self) -> None:
        if self._typing:
            print(self._prompt + _typed(), end="")
        sys.stdout.flush()


def _typed() -> str:
    """What stands behind the prompt so far."""
    try:
        import readline
    except ImportError:  # a Python without line editing
        return ""
    return readline.get_line_buffer()
