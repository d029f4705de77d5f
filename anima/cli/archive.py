"""The file of a backup: a tar, compressed by gzip, whose last member says what all others must be.

    comment of the tar     anima SORT FORMAT: whether this program understands the rest is known before anything is read
    members                files, folders and links, by their path below the home
    manifest.json          {"sort", "format", "anima", "ts", "members": [{"path", "bytes", "sha256"}], ...}

Covered: a file that is cut off, damaged, of another program, of a newer version, or made to write elsewhere. Not covered:
someone who may write the file can make one that is sound, with other content.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from anima import __version__
from anima.errors import Refused, Unavailable

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 1 << 30
#: What a manifest says besides, by sort, which is what those who read it need.
FACTS = {"house": {"ts": float, "seq": int}, "agent": {"ts": float, "agent": str, "first": str, "events": int, "memories": int}}

_COMPRESSION = 1  # of gzip: 6 takes four times as long and saves a tenth
_CHUNK_BYTES = 1 << 20
_SOUND = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)  #: what a reader raises at a file that is not

#: Gets every member but the manifest, files with their content. What it raises must not be an OSError.
Keep = Callable[[tarfile.TarInfo, IO[bytes] | None], None]


class Writer:
    """Writes an archive of one sort (house, agent) into `file`, front to back."""

    def __init__(self, file: IO[bytes], sort: str) -> None:
        headers = {"comment": f"anima {sort} {FORMAT}"}
        self._tar = tarfile.open(  # noqa: SIM115 - `end` closes it
            fileobj=file, mode="w:gz", compresslevel=_COMPRESSION, format=tarfile.PAX_FORMAT, pax_headers=headers
        )
        self._sort = sort
        self._members: list[dict[str, Any]] = []

    def file(self, path: str, content: IO[bytes], size: int, mode: int = 0o600, mtime: float = 0.0) -> None:
        """Add `size` bytes of `content`. Raises OSError if it has fewer, or the archive cannot be written."""
        info = _info(path, tarfile.REGTYPE, mode, mtime)
        info.size = size
        told = _Hashing(content)
        self._tar.addfile(info, told)
        self._members.append({"path": path, "bytes": size, "sha256": told.digest.hexdigest()})

    def folder(self, path: str, mode: int = 0o700, mtime: float = 0.0) -> None:
        """Add a folder; those above a file need not be added."""
        self._tar.addfile(_info(path, tarfile.DIRTYPE, mode, mtime))

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        info = _info(path, tarfile.SYMTYPE, 0o777, 0.0)
        info.linkname = target
        self._tar.addfile(info)

    def end(self, **facts: Any) -> dict[str, Any]:
        """Add the manifest with these facts, and finish; returns the manifest."""
        head = {"sort": self._sort, "format": FORMAT, "anima": __version__, "ts": time.time()}
        manifest = {**head, **facts, "members": self._members}
        packed = json.dumps(manifest, indent=1).encode()
        info = _info(MANIFEST, tarfile.REGTYPE, 0o600, manifest["ts"])
        info.size = len(packed)
        self._tar.addfile(info, io.BytesIO(packed))
        self._tar.close()
        return manifest


def read_archive(path: Path, sort: str, keep: Keep | None = None) -> dict[str, Any]:
    """Read the archive at `path` from its beginning to its end and return its manifest; `keep` gets every member.

    What `keep` was given counts only when this returns: until then the file may still turn out to be damaged. Raises Refused
    with the sentence that says what is wrong with the file.
    """
    try:
        with tarfile.open(path, "r:gz") as tar:
            _check_sort(path, sort, tar.pax_headers.get("comment", ""))
            return _checked(path, *_read(tar, path, keep))
    except tarfile.ReadError as error:
        raise Refused(f"{path} is no archive of anima ({error})") from error
    except _SOUND as error:
        raise Refused(f"{path} is damaged or cut off ({error}); take another backup") from error
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}") from error


def _check_sort(path: Path, sort: str, comment: str) -> None:
    words = comment.split()
    if len(words) != 3 or words[0] != "anima" or not words[2].isdecimal():  # noqa: PLR2004 - anima SORT FORMAT
        raise Refused(f"{path} is no archive of anima")
    if int(words[2]) > FORMAT:
        raise Refused(
            f"{path} was written by a newer version of this program (format {words[2]}, this one reads {FORMAT}); "
            "install that one"
        )
    if words[1] != sort:
        commands = {"house": "`animactl restore` takes it", "agent": "`animactl import agent` takes it"}
        raise Refused(
            f"{path} is the archive of a{'n' if words[1] == 'agent' else ''} {words[1]}; {commands.get(words[1], '')}"
        )


def _read(tar: tarfile.TarFile, path: Path, keep: Keep | None) -> tuple[dict[str, Any], dict[str, tuple[int, str]]]:
    """The manifest, and what was really there: size and digest by path."""
    found: dict[str, tuple[int, str]] = {}
    for member in tar:
        if member.name == MANIFEST:
            manifest = _manifest(path, tar.extractfile(member), member.size)
            while tar.fileobj and tar.fileobj.read(_CHUNK_BYTES):
                pass  # to the end, where gzip's own checksum stands
            return manifest, found
        content = _Hashing(file) if (file := tar.extractfile(member) if member.isreg() else None) else None
        if member.name in found:
            raise Refused(f"{path} is damaged: {member.name!r} is in it twice")
        if keep:
            keep(member, content)  # type: ignore[arg-type]
        if content:
            content.drain()
            found[member.name] = (content.count, content.digest.hexdigest())
    raise Refused(f"{path} is damaged or cut off: it has no manifest at its end; take another backup")


def _manifest(path: Path, file: IO[bytes] | None, size: int) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if file and size <= MANIFEST_BYTES_MAX and isinstance(manifest := json.loads(file.read()), dict):
            return manifest
    raise Refused(f"{path} is damaged: its manifest makes no sense; take another backup")


def _checked(path: Path, manifest: dict[str, Any], found: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """The manifest, if everything it names was there as it says, and nothing else."""
    try:
        named = {each["path"]: (each["bytes"], each["sha256"]) for each in manifest["members"]}
        for name, kind in FACTS[manifest["sort"]].items():
            if type(manifest[name]) is not kind:
                raise Refused(f"{path} is damaged: in its manifest {name!r} is no {kind.__name__}; take another backup")
    except (KeyError, TypeError) as error:
        raise Refused(f"{path} is damaged: its manifest lacks {error}; take another backup") from error
    for name in sorted(named.keys() | found.keys()):
        if name not in found:
            raise Refused(f"{path} is damaged: {name!r} is missing in it; take another backup")
        if found[name] != named.get(name):
            raise Refused(f"{path} is damaged: {name!r} is not what was put in; take another backup")
    return manifest


class Unpacking:
    """Writes members below `root`, which belongs to us, and nothing outside of it; links come last, when nothing follows them.

    `tops` are the names that may stand directly below it.
    """

    def __init__(self, root: Path, tops: frozenset[str]) -> None:
        self._root = root
        self._tops = tops
        self._links: list[tuple[Path, str]] = []
        self._modes: list[tuple[Path, int]] = []

    def keep(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """See Keep. Raises Refused for a member that has no place below the root, Unavailable if it cannot be written."""
        place = self._place(member.name)
        try:
            self._write(member, content, place)
        except OSError as error:
            raise Unavailable(f"{place} cannot be written: {error.strerror or error}") from error

    def _write(self, member: tarfile.TarInfo, content: IO[bytes] | None, place: Path) -> None:
        if member.isdir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._modes.append((place, member.mode & 0o777))
            return
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if member.issym():
            self._links.append((place, member.linkname))
        elif content is not None:
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                while chunk := content.read(_CHUNK_BYTES):
                    file.write(chunk)
                os.fchmod(fd, member.mode & 0o777)
            os.utime(place, (member.mtime, member.mtime))
        else:
            raise Refused(f"{member.name!r} in the archive is neither a file, a folder nor a symbolic link")

    def end(self, within: Sequence[str]) -> None:
        """Make the links, and give folders their modes.

        Raises Refused for a link that leads out of the one of `within`, paths below the root, in which it lies: to
        secrets.toml for one, which would be read to a model as if it were the agent's own words.
        """
        for place, target in self._links:
            if place.is_symlink() or place.exists():
                raise Refused(f"{str(place.relative_to(self._root))!r} is in the archive twice, and once a link")
            place.symlink_to(target)
        for place, target in self._links:
            if not any(leads_inside(self._root / each, place, target) for each in within):
                raise Refused(f"the link {place.relative_to(self._root)} in the archive leads out of its folder, to {target!r}")
        for place, mode in reversed(self._modes):
            place.chmod(mode)

    def _place(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] not in self._tops or ".." in parts or "\0" in name:
            raise Refused(f"{name!r} in the archive has no place in a home; nothing outside of it is written")
        return self._root.joinpath(*parts)


def leads_inside(top: Path, place: Path, target: str) -> bool:
    """Whether a link at `place` lies and stays below `top`, wherever that is moved to."""
    real = Path(os.path.realpath(top.parent), top.name)  # a top that is a link itself leads out
    return place.is_relative_to(top) and not target.startswith("/") and Path(os.path.realpath(place)).is_relative_to(real)


class _Hashing:
    """A file that is read, and the digest of what was read so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """Like a file's."""
        data = self._file.read(size)
        self.digest.update(data)
        self.count += len(data)
        return data

    def drain(self) -> None:
        """Read what is left."""
        while self.read(_CHUNK_BYTES):
            pass


def _info(path: str, kind: bytes, mode: int, mtime: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.mtime = kind, mode & 0o777, int(mtime)
    return info
