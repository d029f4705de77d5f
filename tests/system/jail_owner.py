"""A process that opens jails of its own, to be killed, starved of a layer, run as somebody else or on a terminal.

`python jail_owner.py '{"target": ..., "arguments": [...], "spec": {...}, "lacks": [...]}'` runs one order and prints its
outcome as one line of JSON; what the child says comes before it, as it comes.
"""

import asyncio
import ctypes
import json
import platform
import struct
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from anima.sandbox.jail.jails import Jails  # noqa: E402
from anima.sandbox.jail.spec import JailSpec, Limits, Order  # noqa: E402

_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38
_NEW = {"namespaces": 0x7E020000, "user": 0x10000000, "network": 0x40000000}


def number(one: int, other: int) -> int:
    """Of a system call, on x86-64 or aarch64."""
    return other if platform.machine() == "aarch64" else one


def lack(layer: str) -> None:
    """Make this process and all it starts live on a kernel that has no such layer."""
    if layer == "landlock":
        rules = [(444, 0, 0, _ENOSYS)]
    elif layer == "seccomp":
        rules = [(number(317, 277), 0, 0, _ENOSYS), (number(157, 167), 0, 22, _EPERM)]  # seccomp(); prctl(PR_SET_SECCOMP)
    else:
        flags = _NEW[layer]
        rules = [(number(272, 97), flags, 0, _EPERM), (number(56, 220), flags, 0, _EPERM), (435, 0, 0, _ENOSYS)]
    program = [(0x20, 0, 0, 0)]
    for call, mask, equal, code in rules:
        if mask:  # some bit of the first argument
            program += [(0x15, 0, 3, call), (0x20, 0, 0, 16), (0x45, 0, 1, mask), (0x06, 0, 0, _ERRNO | code), (0x20, 0, 0, 0)]
        elif equal:  # exactly this first argument
            program += [(0x15, 0, 3, call), (0x20, 0, 0, 16), (0x15, 0, 1, equal), (0x06, 0, 0, _ERRNO | code), (0x20, 0, 0, 0)]
        else:
            program += [(0x15, 0, 1, call), (0x06, 0, 0, _ERRNO | code)]
    program.append((0x06, 0, 0, _ALLOW))
    code_ = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code_)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter was not taken")


def spec_of(found: dict[str, Any]) -> JailSpec:
    """A JailSpec from plain JSON."""
    plain = dict(found)
    plain["workspace"] = Path(plain["workspace"])
    for name in ("read", "write", "protected"):
        plain[name] = tuple(Path(each) for each in plain.get(name, ()))
    plain["off"] = frozenset(plain.get("off", ()))
    plain["limits"] = Limits(**plain.get("limits", {}))
    return JailSpec(**plain)


async def run(asked: dict[str, Any]) -> None:
    """One order; its output as it comes, then its outcome."""

    def show(_: str, piece: bytes) -> None:
        print(piece.decode(errors="replace"), end="", flush=True)

    jails = await Jails.open(preload=("jail_attacks",))
    try:
        for off in asked.get("offs", [asked["spec"].get("off", [])]):
            order = Order(
                "only", f"jail_attacks:{asked['target']}", tuple(asked["arguments"]), spec_of({**asked["spec"], "off": off})
            )
            outcome = await jails.run(order, show)
            told = {name: getattr(outcome, name) for name in ("how", "value", "reason", "limit", "exit", "signal", "layers")}
            print(json.dumps({**told, "stderr": outcome.stderr.decode(errors="replace")}), flush=True)
        if asked.get("report"):
            print(json.dumps([[each.name, each.there, each.reason] for each in jails.report()]), flush=True)
    finally:
        await jails.close()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    for name in wanted.get("lacks", []):
        lack(name)
    asyncio.run(run(wanted))
