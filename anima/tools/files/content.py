"""What is in a file: text or not, its byte-order mark, how its lines end. Kept exactly when the file is changed."""

from dataclasses import dataclass
from pathlib import Path

from anima.limits import tool_edit_bytes_max
from anima.tools.files.disk import read_whole
from anima.tools.files.places import show
from anima.tools.tool import ToolError

BOM = b"\xef\xbb\xbf"
SAMPLE_BYTES = 8_192  #: looked at to tell text from the rest

_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x7fELF", "an ELF program"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


def binary_sort(sample: bytes) -> str:
    """What a file that begins so is, if it is no text: "a PNG image"; "" for text."""
    for magic, name in _MAGIC:
        if sample.startswith(magic):
            return name
    return "binary data" if b"\0" in sample[:SAMPLE_BYTES] else ""


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a file, its invalid bytes as lone surrogates, and what stood around it."""

    text: str  #: without the byte-order mark, line ends as they are
    bom: bool = False

    def encode(self) -> bytes:
        """The bytes of the file."""
        return (BOM if self.bom else b"") + self.text.encode("utf-8", "surrogateescape")

    @property
    def newline(self) -> str:
        """How most of its lines end."""
        crlf = self.text.count("\r\n")
        return "\r\n" if crlf * 2 > self.text.count("\n") else "\n"


def parse_content(raw: bytes) -> Content:
    """The content in the bytes of a file; `encode` gives the very same bytes back."""
    bom = raw.startswith(BOM)
    return Content(raw[len(BOM) * bom :].decode("utf-8", "surrogateescape"), bom)


def read_text(path: Path) -> Content:
    """The text of a file that is to be changed. Raises ToolError if it is too large, no text, or no file."""
    raw = read_whole(path, tool_edit_bytes_max)
    if sort := binary_sort(raw[:SAMPLE_BYTES]):
        raise ToolError(f"{show(path)} is {sort}, not UTF-8 text, and cannot be changed by lines; use python or exec")
    return parse_content(raw)


def split_lines(text: str) -> list[str]:
    r"""The lines of a text with their ends. Only \n ends a line: not the form feeds and separators `splitlines` knows."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def bare(line: str) -> str:
    """A line without its end."""
    return line.removesuffix("\n").removesuffix("\r")
