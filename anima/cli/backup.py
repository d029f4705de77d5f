"""`backup` and `restore`: a house in one file, and back."""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.terminal import note
from anima.errors import Refused, Unavailable
from anima.paths import Home

if TYPE_CHECKING:
    from anima.cli.archive import Writer

#: What stands in an archive, below the home; of `state`, the databases are copies, and what else stands there is not in it.
LIVING = ("anima.toml", "models", "agents", "skills", "workflows", "tools", "state/blobs", "state/output", "state/record")
WORKSPACE = "workspace"
TOPS = frozenset({*(each.partition("/")[0] for each in LIVING), WORKSPACE})

_RESTORING = ".restoring"
_MEMORY_BYTES = 8 * 1024 * 1024  # of one file that may change while it is read; a larger one waits in a temporary file
_NICE = 10  # packing takes a processor for long; those who answer come first
_NOT_OURS = "{} is there and was not left by a backup of yours; remove it, or write elsewhere"
_SECRETS = "secrets.toml is not in a backup; keep it elsewhere, where only you can read it"


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The archive to write, e.g. house.tar.gz.", readable=False, show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    workspace: Annotated[bool, typer.Option(help="With the folders the agents' tools work in.")] = True,
) -> None:
    """Write the whole house into one file, while it runs.

    The databases in it are of one moment, told by the number of an event; the archive is verified before it gets its name.
    secrets.toml and logs are not in it. A key that is written into anima.toml or models/ itself is: keep the file as you keep
    your keys.

    Example: animactl backup house.tar.gz
    """
    home: Home = context.obj
    from anima.cli.archive import Writer
    from anima.cli.copies import copied

    if not (home.config.exists() or home.agents.exists() or home.journal.exists()):
        raise Refused(f"there is no house at {home.root}; --home or ANIMA_HOME says where it is")
    begun = time.monotonic()
    os.nice(_NICE)
    with writing(file, "house", force=force) as part, copied(home) as copies:
        writer, living = Writer(part, "house"), Living(home.root, own=os.fstat(part.fileno()))
        for name, copy in copies.files.items():
            with copy.open("rb") as content:
                writer.file(f"state/{name}.db", content, copy.stat().st_size, mtime=time.time())
        for top in (*LIVING, *([WORKSPACE] if workspace else [])):
            living.add(writer, top)
        told = {"seq": copies.seq, "chain": copies.chain, "cursors": copies.cursors}
        manifest = writer.end(**told, workspace=workspace, left_out=living.left_out)
    _tell(file, manifest, copies.standstill_s, time.monotonic() - begun)


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An archive that `backup` wrote.", readable=False, show_default=False)],
) -> None:
    """Make a house from an archive, where there is none.

    Conversations, memories, feelings, books and files are those of the moment at which the backup was taken.

    Example: animactl restore house.tar.gz
    """
    home: Home = context.obj
    from anima.cli.archive import Unpacking, read_archive

    _check_empty(home)
    fresh = home.root / _RESTORING
    shutil.rmtree(fresh, ignore_errors=True)
    begun = fresh if home.root.exists() else home.root
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, begun, ignore_errors=True)
        home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.mkdir(mode=0o700)
        unpacking = Unpacking(fresh, TOPS)
        manifest = read_archive(file, "house", unpacking.keep)
        unpacking.end((*LIVING, WORKSPACE))
        undo.pop_all()
    _move(fresh, home.root)
    print(f"the house at {home.root} is as it was at event {manifest['seq']:,}, on {_when(manifest['ts'])}")
    note(f"{_SECRETS}: put it to {home.secrets}, mode 600, if agents need it; then `animactl up --detach`")


@contextlib.contextmanager
def writing(file: Path, sort: str, *, force: bool) -> Iterator[IO[bytes]]:
    """A file that becomes `file` when the block ends well and what it wrote is read back as it should be.

    Raises Refused for a path that cannot be written, or is taken without `force`; Unavailable if there is no space.
    """
    from anima.cli.archive import read_archive

    _check_writable(file, force=force)
    fresh = file.with_name(f".{file.name[:100]}.part")  # of one that was killed: the next one writes over it
    try:
        with contextlib.ExitStack() as undo, _opened(fresh) as part:
            _alone(fresh, part, file)
            undo.callback(fresh.unlink)
            part.truncate()
            yield part
            part.flush()
            os.fsync(part.fileno())
            read_archive(fresh, sort)
            _check_writable(file, force=force)
            fresh.replace(file)
            undo.pop_all()
        fd = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        where = error.filename if error.filename and not str(error.filename).endswith(".part") else file
        raise Unavailable(f"{where}: {error.strerror or error}; nothing was written") from error


def _opened(fresh: Path) -> IO[bytes]:
    """The file at `fresh`, ours alone to read and write: in a folder where others write, they may have put something there.

    Raises Refused if they did.
    """
    try:
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise Refused(_NOT_OURS.format(fresh)) from error
        raise
    told = os.fstat(fd)
    if not stat.S_ISREG(told.st_mode) or told.st_uid != os.geteuid() or told.st_nlink > 1:
        os.close(fd)
        raise Refused(_NOT_OURS.format(fresh))
    os.fchmod(fd, 0o600)
    return os.fdopen(fd, "r+b")


def _alone(fresh: Path, part: IO[bytes], file: Path) -> None:
    """Raise Refused if another command writes this very file, or has just given it its name."""
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(fresh.stat(), os.fstat(part.fileno())):
            return
    raise Refused(f"another command is writing {file}; wait for it, or write elsewhere")


def _check_writable(file: Path, *, force: bool) -> None:
    if not file.absolute().parent.is_dir():
        raise Refused(f"there is no directory {file.absolute().parent}; make it, or write elsewhere")
    if file.is_dir():
        raise Refused(f"{file} is a directory; name a file in it")
    if file.exists() and not force:
        raise Refused(f"{file} is there already; --force replaces it")


@dataclass
class Living:
    """Files below `root` that may change while they are read; each is taken as it is at one moment, or not at all if it goes.

    Left out are, counted by sort: links that lead out of what is added, sockets and the like. `own` is the archive itself.
    """

    root: Path
    own: os.stat_result | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, writer: "Writer", top: str) -> None:
        """Write what stands at `top`, a path below the root, with all that is below it. Raises OSError."""
        waiting = [self.root / top]
        while waiting:
            place = waiting.pop()
            try:
                waiting += self._one(writer, place, self.root / top)
            except FileNotFoundError:
                continue  # it went while we came

    def _one(self, writer: "Writer", place: Path, top: Path) -> list[Path]:
        """Write one; returns what is below it, to be taken from the end."""
        path, told = place.relative_to(self.root).as_posix(), place.lstat()
        if stat.S_ISDIR(told.st_mode):
            below = sorted(place.iterdir(), reverse=True)
            writer.folder(path, told.st_mode, told.st_mtime)
            return below
        if stat.S_ISLNK(told.st_mode):
            self._link(writer, place, top)
        elif not stat.S_ISREG(told.st_mode):
            self._leave_out("neither files nor folders")
        elif self.own is None or not os.path.samestat(told, self.own):
            self._file(writer, place, path)
        return []

    def _link(self, writer: "Writer", place: Path, top: Path) -> None:
        from anima.cli.archive import leads_inside

        target = os.readlink(place)  # noqa: PTH115 - as it is written
        if leads_inside(top, place, target):
            writer.link(place.relative_to(self.root).as_posix(), target)
        else:
            self._leave_out("links that lead out of their folder")

    def _file(self, writer: "Writer", place: Path, path: str) -> None:
        with place.open("rb") as living, tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as still:
            shutil.copyfileobj(living, still, 1 << 20)
            told = os.fstat(living.fileno())
            size = still.tell()
            still.seek(0)
            writer.file(path, still, size, told.st_mode, told.st_mtime)

    def _leave_out(self, sort: str) -> None:
        self.left_out[sort] = self.left_out.get(sort, 0) + 1


def _check_empty(home: Home) -> None:
    """Raise Refused unless nobody lives at the home; what a restore left that was broken off is nobody."""
    if root.is_up(home):
        raise Refused(f"a house runs at {home.root}; a backup is restored where there is none (--home says where)")
    if not home.root.exists():
        return
    if not home.root.is_dir():
        raise Refused(f"{home.root} is no directory; --home says where the house is to be")
    found = {each.name for each in home.root.iterdir()}
    if _RESTORING in found and "state" not in found:
        found -= {*TOPS, _RESTORING}
    if found:
        raise Refused(
            f"{home.root} is not empty ({min(found)} is there); a backup is restored where nothing is, "
            "so move that away or say another place with --home"
        )


def _move(fresh: Path, to: Path) -> None:
    """Put all into its place, `state` last: only with it is this a house that was restored."""
    os.sync()
    for each in sorted(fresh.iterdir(), key=lambda each: each.name == "state"):
        place = to / each.name
        if place.is_dir():  # of a restore that was broken off here
            shutil.rmtree(place)
        each.replace(place)
    fresh.rmdir()
    os.sync()


def _tell(file: Path, manifest: dict[str, Any], late_s: float, took_s: float) -> None:
    count, size = len(manifest["members"]), file.stat().st_size
    print(
        f"{file} holds the house as it was at event {manifest['seq']:,}: {count:,} files, {size:,} bytes, verified, "
        f"in {took_s:.1f} s" + (f"; no part of it stood still for more than {late_s * 1e3:.0f} ms" if late_s else "")
    )
    for sort, number in manifest["left_out"].items():
        note(f"{number:,} {sort} are not in it")
    note(_SECRETS)


def _when(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts))
