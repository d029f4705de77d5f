"""The mount view, made: a fresh root that holds the places of the plan and nothing else. Runs in the jail's first process.

Covers: whatever is not in the plan cannot be named: the old root is unmounted, /proc is the jail's own and read-only (with it
/proc/sys), devices are seven harmless ones, nothing is set-uid or a device file. Sources are opened without following a symlink
and copied before anything is mounted, so no rename in between can redirect them.
Does not cover: what a place shows is what its files say; a socket inside a readable folder can still be connected to.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anima.errors import Refused
from anima.limits import KIB, MIB
from anima.sandbox.jail import syscalls
from anima.sandbox.jail.syscalls import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY
from anima.sandbox.jail.view import Place

_TAME = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_READ_ONLY = _TAME | MOUNT_ATTR_RDONLY
_STAGE = "/tmp"
DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
ETC_SHOWN = ("/etc/alternatives", "/etc/ssl/certs", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates")
_ETC_COPIED = ("ld.so.cache", "localtime", "mime.types", "ssl/openssl.cnf")
_ETC_OF_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "gai.conf", "services", "protocols")
_SMALL = {b"mode": b"0755", b"size": b"%d" % (4 * MIB), b"nr_inodes": b"4096"}
_COPY_BYTES_MAX = 512 * KIB

IdMaps = Mapping[tuple[int, int], int]  #: user namespaces in which that owner is the jail's user


@dataclass(frozen=True, slots=True)
class Look:
    """What else the view depends on."""

    user: str
    uid: int
    gid: int
    memory_bytes: int
    network: bool
    maps: IdMaps | None  #: None where owners are seen as they are


def raise_view(places: Sequence[Place], links: Mapping[str, str], look: Look) -> None:
    """Build the view and make it this process's root. Raises OSError or Refused with what could not be had."""
    sources = {place.path: _source(place, look.maps) for place in places if place.kind in ("show", "work")}
    extras = {path: _show(path) for path in ETC_SHOWN if os.path.isdir(path)}
    devices = {name: _show(f"/dev/{name}", device=True) for name in DEVICES}
    etc = etc_files(look)
    syscalls.make_private()
    root = syscalls.new_filesystem(b"tmpfs", _SMALL, _TAME)
    syscalls.move_mount(root, _STAGE.encode())
    closing = [root]
    for place in places:
        closing += _put(place, sources, look)
        if place.kind == "etc":
            _fill_etc(etc, extras)
        elif place.kind == "dev":
            _fill_dev(devices, look)
    for path, said in links.items():
        with contextlib.suppress(OSError):  # the way to it is itself shown, with the link in it
            _folders(os.path.dirname(_STAGE + path))
            os.symlink(said, _STAGE + path)
    for fd in closing:
        syscalls.mount_setattr(fd, _READ_ONLY, recursive=False)
    syscalls.enter_root(_STAGE.encode())


def _source(place: Place, maps: IdMaps | None) -> int:
    """A detached copy of what the machine has at `place`, already with the rights it will have."""
    at = syscalls.open_beneath(os.fsencode(place.path))
    try:
        userns = -1
        if place.mapped and maps is not None:
            found = os.fstat(at)
            if (userns := maps.get((found.st_uid, found.st_gid), -1)) < 0:
                raise Refused(f"{place.path} changed its owner while it was opened; try again")
        tree = syscalls.open_tree(at)
    finally:
        os.close(at)
    syscalls.mount_setattr(tree, _READ_ONLY if place.kind == "show" else _TAME)
    if userns >= 0:
        _map(tree, userns, place)
    return tree


def _map(tree: int, userns: int, place: Place) -> None:
    try:
        syscalls.mount_setattr(tree, 0, userns_fd=userns)
    except OSError as error:
        raise Refused(
            f"the layer 'user' cannot be had for {place.path}: its file system cannot show its files as another user's "
            f'({error.strerror}); use a folder on another file system, or write layers_off = ["user"]'
        ) from error


def _show(path: str, *, device: bool = False) -> int:
    at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        tree = syscalls.open_tree(at)
    finally:
        os.close(at)
    syscalls.mount_setattr(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC if device else _READ_ONLY)
    return tree


def _put(place: Place, sources: Mapping[str, int], look: Look) -> list[int]:
    """Attach one place; the descriptors of what must become read-only once it is filled."""
    target = _STAGE + place.path if place.path != "/" else _STAGE
    _mountpoint(target, folder=place.folder)
    fd = sources.get(place.path, -1)
    if fd < 0:
        fd = _made(place, target, look)
    syscalls.move_mount(fd, os.fsencode(target))
    return [fd] if place.kind in ("etc", "dev") or (place.kind == "hide" and place.folder) else []


def _made(place: Place, target: str, look: Look) -> int:
    if place.kind == "keep":
        return _show_again(target)
    if place.kind == "proc":
        return _proc()
    if place.kind == "fresh":
        size = b"%d" % max(look.memory_bytes // 2, 4 * MIB)
        return syscalls.new_filesystem(b"tmpfs", {b"mode": b"1777", b"size": size, b"nr_inodes": b"65536"}, _TAME)
    if place.kind == "hide" and not place.folder:
        return _show("/dev/null", device=True)  # reads as empty; what is written to it is gone
    return syscalls.new_filesystem(b"tmpfs", _SMALL, _TAME)


def _show_again(target: str) -> int:
    """The same folder as a mount of its own: a mount point can be neither renamed nor removed."""
    at = os.open(target, os.O_PATH | os.O_CLOEXEC)
    try:
        return syscalls.open_tree(at)
    finally:
        os.close(at)


def _proc() -> int:
    options = {b"hidepid": b"invisible"}
    return syscalls.new_filesystem(b"proc", options, _READ_ONLY | MOUNT_ATTR_NOEXEC)


def _mountpoint(target: str, *, folder: bool) -> None:
    if os.path.lexists(target):
        return
    _folders(target if folder else os.path.dirname(target))
    if not folder:
        Path(target).touch()


def _folders(path: str) -> None:
    os.makedirs(path, 0o755, exist_ok=True)


def etc_paths(*, network: bool) -> list[str]:
    """What of the machine's own /etc a jail may read that has no view of its own."""
    names = (
        ("passwd", "group", *_ETC_COPIED, *_ETC_OF_NETWORK) if network else ("passwd", "group", "nsswitch.conf", *_ETC_COPIED)
    )
    return [path for path in (*ETC_SHOWN, *(f"/etc/{name}" for name in names)) if os.path.exists(path)]


@cache
def copied() -> dict[str, bytes]:
    """Files of the machine's /etc that every jail gets, read once: the zygote does, for all jails."""
    return dict(_read_etc(_ETC_COPIED))


def _read_etc(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with contextlib.suppress(OSError), open(f"/etc/{name}", "rb") as file:  # most machines lack some of them
            yield name, file.read(_COPY_BYTES_MAX)


def etc_files(look: Look) -> dict[str, bytes]:
    """The made-up /etc, with copies of a few files; read while the machine can still be seen."""
    user = f"{look.user}:x:{look.uid}:{look.gid}"
    found = {
        "passwd": f"root:x:0:0::/:/bin/false\n{user}::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n".encode(),
        "group": f"root:x:0:\n{look.user}:x:{look.gid}:\nnogroup:x:65534:\n".encode(),
        "hostname": b"jail\n",
        "hosts": b"127.0.0.1 localhost jail\n::1 localhost\n",
        "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
        "shells": b"/bin/sh\n/bin/bash\n",
    }
    return {**found, **copied(), **(dict(_read_etc(_ETC_OF_NETWORK)) if look.network else {})}


def _fill_etc(files: Mapping[str, bytes], extras: Mapping[str, int]) -> None:
    for name, content in files.items():
        path = f"{_STAGE}/etc/{name}"
        _folders(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(content)
    os.symlink("/proc/self/mounts", f"{_STAGE}/etc/mtab")
    for path, fd in extras.items():
        _folders(_STAGE + path)
        syscalls.move_mount(fd, (_STAGE + path).encode())


def _fill_dev(devices: Mapping[str, int], look: Look) -> None:
    for name, fd in devices.items():
        Path(f"{_STAGE}/dev/{name}").touch()
        syscalls.move_mount(fd, f"{_STAGE}/dev/{name}".encode())
    for name, said in _DEVICE_LINKS.items():
        os.symlink(said, f"{_STAGE}/dev/{name}")
    os.mkdir(f"{_STAGE}/dev/shm")
    options = {b"mode": b"1777", b"size": b"%d" % max(look.memory_bytes // 4, 4 * MIB), b"nr_inodes": b"4096"}
    syscalls.move_mount(syscalls.new_filesystem(b"tmpfs", options, _TAME | MOUNT_ATTR_NOEXEC), f"{_STAGE}/dev/shm".encode())
