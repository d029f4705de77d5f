"""Breaking lines between words while the text is still coming. Pure."""

from anima.cli.terminal import columns_of


class Wrap:
    """Text in, text out with newlines where the next word would not fit. The last word is held back until it ends."""

    def __init__(self, columns: int, column: int = 0) -> None:
        self._columns = max(columns, 1)
        self._column = column  # where the next character would stand
        self._gap = ""
        self._word = ""

    def feed(self, text: str) -> str:
        """What can be shown now."""
        out = ""
        for character in text:
            if character == "\n":
                out += self._release() + "\n"
                self._column, self._gap = 0, ""
            elif character in " \t":
                out += self._release()
                self._gap += character
            else:
                self._word += character
        return out

    def end(self) -> str:
        """What was held back."""
        return self._release()

    def _release(self) -> str:
        word, gap = self._word, self._gap
        if not word:
            return ""
        self._word = self._gap = ""
        wide = columns_of(word)
        after = self._column + columns_of(gap) + wide
        if self._column and after > self._columns:
            self._column = self._folded(wide)
            return "\n" + word
        self._column = self._folded(after)
        return gap + word

    def _folded(self, column: int) -> int:
        """Where the terminal stands after a word that it had to fold itself."""
        return column if column <= self._columns else column % self._columns or self._columns
