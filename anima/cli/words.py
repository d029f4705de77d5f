"""What a person wants to say: from the command line, from standard input, from files; checked before anything is sent."""

import os
import select
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from anima.errors import Refused
from anima.limits import session_chars_max, text_bytes_max

PATIENCE_S = 2.0


def gather(text: str, files: Iterable[Path], stream: int | None) -> str:
    """The whole message: the text first, then standard input, then each file, these fenced and named.

    `stream` is the file descriptor of a standard input to be read to its end, or None. Standard input alone is the
    message itself. Raises Refused, and then nothing may be sent.
    """
    parts = [_argument(text)] if text.strip() else []
    if stream is not None and (piped := _stream(stream)).strip():
        parts.append(fenced("standard input", piped) if parts else piped.strip("\n"))
    parts += [fenced(str(path), _file(path)) for path in files]
    whole = "\n\n".join(parts)
    if not whole.strip():
        raise Refused("there is nothing to say: the text is empty; give it as an argument, on standard input or with -f FILE")
    check_size(len(whole.encode()))
    return whole


def fenced(label: str, text: str) -> str:
    """`text` between fences longer than any in it, under its label, so that it cannot pass for the person's own words."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    body = text.rstrip("\n")
    return f"[{label}]\n{fence}\n{body}\n{fence}"


def check_session(session: str) -> str:
    """The name of a session, if it may be one. Raises Refused."""
    if not session.strip() or not session.isprintable():
        raise Refused(f"{session!r} cannot name a session: use at least one visible letter and no control characters")
    if len(session) > session_chars_max:
        raise Refused(
            f"a session's name has at most {session_chars_max} characters, this one has {len(session)}; choose a shorter one"
        )
    return session


def check_size(size: int) -> None:
    """Raise Refused if a message of `size` bytes is longer than one may be."""
    if size > text_bytes_max:
        raise Refused(
            f"the message has more than {text_bytes_max:,} bytes, which is the most one can have; send it in parts "
            "or shorten it (nothing was sent)",
        )


def standard_input() -> int | None:
    """The descriptor of standard input if something is piped or redirected into it; None for a terminal or /dev/null."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:  # closed
        return None
    return 0 if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode) else None


def _argument(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"the text is not UTF-8 at character {error.start}; nothing was sent") from None
    return text


def _stream(descriptor: int) -> str:
    """All of a stream; says so if it has to wait for it, because a pipe nobody closes would look like a hang."""
    if not select.select([descriptor], [], [], PATIENCE_S)[0]:
        print("reading standard input to its end (no input: `< /dev/null`)", file=sys.stderr, flush=True)
    content = b""
    while chunk := os.read(descriptor, 1 << 20):
        content += chunk
        check_size(len(content))
    return _decoded(content, "standard input")


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(text_bytes_max + 1)  # a device may never end
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}; nothing was sent") from None
    check_size(len(content))
    return _decoded(content, str(path))


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        bad = content[error.start]
        raise Refused(
            f"{name} is not UTF-8 (byte 0x{bad:02x} at {error.start}); convert it to UTF-8 (nothing was sent)"
        ) from None
