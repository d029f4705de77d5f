"""Every file below a directory, in order, without those an ignore file leaves out. Follows no symbolic link."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anima.tools.files.places import show
from anima.tools.search.patterns import Rule, ignored, parse_ignore

IGNORE_FILES = (".gitignore", ".ignore")
_IGNORE_BYTES_MAX = 256 * 1024
_DEPTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Found:
    """One entry. `path` is relative to where the walk began, with /."""

    path: str
    entry: os.DirEntry[str]


@dataclass(slots=True)
class Walk:
    """One walk; `unread` tells which directories could not be looked into."""

    root: Path
    hidden: bool = False  #: also names that begin with a dot
    ignore: bool = True  #: heed ignore files
    unread: list[str] | None = None

    def __iter__(self) -> Iterator[Found]:
        """Depth first, by name; directories come before what is in them."""
        yield from self._below(self.root, "", [], 0)

    def _below(self, folder: Path, prefix: str, rules: list[Rule], level: int) -> Iterator[Found]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda each: os.fsencode(each.name))
        except OSError as error:
            if self.unread is not None:
                self.unread.append(f"{show(folder)} ({error.strerror})")
            return
        if self.ignore:
            names = {entry.name for entry in entries}
            for name in IGNORE_FILES:
                if name in names:
                    rules = [*rules, *_read_rules(folder / name, prefix)]
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            path = prefix + entry.name
            if entry.name == ".git" or (entry.name.startswith(".") and not self.hidden):
                continue
            if self.ignore and ignored(rules, path, is_folder=is_folder):
                continue
            yield Found(path, entry)
            if is_folder and level < _DEPTH_MAX:
                yield from self._below(Path(entry.path), f"{path}/", rules, level + 1)


def _read_rules(path: Path, folder: str) -> list[Rule]:
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            text = file.read(_IGNORE_BYTES_MAX).decode("utf-8", "surrogateescape")
    except OSError:
        return []  # what cannot be read ignores nothing
    return parse_ignore(text, folder)
