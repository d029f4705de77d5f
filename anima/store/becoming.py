"""A file that gets its name only when all of it rests on the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def becoming(path: Path) -> Iterator[Path]:
    """The place where what is to be `path` is written: it is that, readable by its owner alone, when the block ends well.

    Otherwise nothing of it is left; where even that fails, what failed before is what there is to say. Raises OSError.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        yield part
        part.chmod(0o600)
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # gone already, unless something failed


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
