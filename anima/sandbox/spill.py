"""The folder with whole outputs of an agent's calls: kept below a size, the oldest files first to go.

The folder is writable from within the jail, so what stands in it may be anything, and change while it is looked at: no
link is followed, no file opened, and what is removed is removed by the folder's own descriptor, never by a path.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 512
_log = logging.getLogger(__name__)


def prune(folder: Path, bytes_max: int, files_max: int) -> int:
    """Remove the oldest files below `folder` until at most so many bytes and files are left; how many were removed."""
    files = sorted((seen.st_mtime_ns, seen.st_ino, seen.st_blocks * _BLOCK_BYTES) for _, _, seen in _files(folder))
    size = sum(each for _, _, each in files)
    condemned = set()
    for place, (_, number, each) in enumerate(files):
        if size <= bytes_max and len(files) - place <= files_max:
            break
        condemned.add(number)
        size -= each
    removed = 0
    for place, name, seen in _files(folder) if condemned else ():
        if seen.st_ino in condemned:
            try:
                os.unlink(name, dir_fd=place)
                removed += 1
            except OSError as error:
                _log.warning("%s below %s cannot be removed: %s", name, folder, error.strerror)
    return removed


def _files(folder: Path) -> Iterator[tuple[int, str, os.stat_result]]:
    """Everything below that is no folder: the descriptor of where it stands, its name, what it is."""
    if not folder.is_dir():
        return
    for _, folders, names, place in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *names):  # a link to a folder is listed among the folders
            try:
                seen = os.stat(name, dir_fd=place, follow_symlinks=False)
            except OSError:
                continue
            if not stat.S_ISDIR(seen.st_mode):
                yield place, name, seen
