"""The jail of macOS: the text of a Seatbelt profile, deny by default, and the command that runs something under it.

Covers: files (read, write, create, rename), network, signals and exec of whatever runs under it and of all it starts.
Does not cover: a view of its own (what is denied still shows that it is there), processes of its own (a daemon left behind
survives unless its group is killed), memory and CPU beyond rlimits, or Mach services beyond the few allowed here.
`sandbox-exec` is deprecated by Apple and still what Chromium, Bazel and others use. Nothing here was tried on a Mac: the
tests read the text.

In a profile the last rule that fits counts, so the system comes first, then what is given and what is protected, deeper
paths later: the deeper of two counts.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from anima.errors import Refused
from anima.sandbox.jail.spec import JailSpec

SANDBOX_EXEC = "/usr/bin/sandbox-exec"

#: What programs need of the system, to read only.
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/opt/homebrew",
    "/System/Library",
    "/System/Cryptexes",
    "/System/Volumes/Preboot/Cryptexes",
    "/Library/Apple",
    "/Library/Developer/CommandLineTools",
    "/private/etc/ssl",
    "/private/var/db/timezone",
    "/private/var/db/dyld",
    "/dev/fd",
)
SINGLE = ("/", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/private/etc/localtime", "/private/etc/passwd")
_READ = "process-exec file-read* file-map-executable"
_WRITTEN, _PROTECTED = 1, 2
_DEVICES = ("/dev/null", "/dev/zero")
_SERVICES = ("com.apple.system.opendirectoryd.libinfo", "com.apple.system.logger", "com.apple.system.notification_center")


def profile(spec: JailSpec, program: Sequence[Path] = ()) -> str:
    """The profile of `spec`, in Seatbelt's language; `program` are more folders to read, as those of this Python.

    Paths must be resolved before: Seatbelt compares the real path, so /tmp/x has to come as /private/tmp/x.
    Raises Refused if a path is relative or carries what cannot be written in a profile.
    """
    seen = (*map(Path, SYSTEM), *program, *(Path(prefix) for prefix in (sys.prefix, sys.base_prefix)))
    given = (spec.workspace, *spec.read, *spec.write)
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        "(allow signal (target same-sandbox))",
        "(allow process-info* (target same-sandbox))",
        "(allow sysctl-read)",
        _rule("allow", "mach-lookup", [f'(global-name "{name}")' for name in _SERVICES]),
        _rule("allow", "file-read-metadata", _literals(_ancestors((*seen, *given)))),
        _rule("allow", _READ, [*_subpaths(seen), *_literals(map(Path, SINGLE))]),
        _rule("allow", "file-write-data", _literals(map(Path, _DEVICES))),
        *_network(spec.network),
        *_given(spec),
        *_kept_in_place(spec),
    ]
    return "\n".join(lines) + "\n"


def command(spec: JailSpec, words: Sequence[str], program: Sequence[Path] = ()) -> list[str]:
    """What to execute so that `words` run under the profile of `spec`."""
    return [SANDBOX_EXEC, "-p", profile(spec, program), "--", *words]


def _network(allowed: bool) -> list[str]:
    if not allowed:
        return ["(deny network*)"]
    return [
        "(allow system-socket)",
        '(allow network-outbound (remote ip "*:*"))',
        '(allow network-outbound (literal "/private/var/run/mDNSResponder"))',
        '(deny network-outbound (remote ip "localhost:*"))',
        "(deny network-bind network-inbound)",
    ]


def _given(spec: JailSpec) -> list[str]:
    """One rule or two for each path of the spec, the deeper later; at the same path protecting beats writing beats reading."""
    ranked = [(path, 0) for path in spec.read]
    ranked += [(path, 1) for path in (spec.workspace, *spec.write)]
    ranked += [(path, 2) for path in spec.protected]
    lines = []
    for path, rank in sorted(ranked, key=lambda each: (len(each[0].parts), each[1])):
        where = _subpaths([path])
        if rank < _PROTECTED:
            lines.append(_rule("allow", _READ, where))
        if rank == _WRITTEN:
            lines.append(_rule("allow", "file-write*", where))
        if rank == _PROTECTED:
            lines.append(_rule("deny", f"{_READ} file-write* network*", where))
    return lines


def _kept_in_place(spec: JailSpec) -> list[str]:
    """No folder above a protected path is renamed or removed: the path would be another, and no rule would fit any more."""
    roots = (spec.workspace, *spec.write)
    above = [each for each in _ancestors(spec.protected) if any(each == root or root in each.parents for root in roots)]
    return [_rule("deny", "file-write-unlink", _literals(above))] if above else []


def _rule(verdict: str, operations: str, filters: Iterable[str]) -> str:
    return f"({verdict} {operations}\n" + "\n".join(f"    {each}" for each in filters) + ")"


def _subpaths(paths: Iterable[Path]) -> list[str]:
    return [f"(subpath {_quoted(path)})" for path in dict.fromkeys(paths)]


def _literals(paths: Iterable[Path]) -> list[str]:
    return [f"(literal {_quoted(path)})" for path in dict.fromkeys(paths)]


def _ancestors(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(above for path in paths for above in reversed(path.parents)))


def _quoted(path: Path) -> str:
    text = str(path)
    if not path.is_absolute() or ".." in path.parts:
        raise Refused(f"the jail cannot name {text!r} in its profile: give the whole path, without '..'")
    if not text.isprintable():
        raise Refused(f"the jail cannot name {text!r} in its profile: rename it without control characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
