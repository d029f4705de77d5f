"""From how a jail ended to an Outcome, and from an order to why it may not begin. Pure."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from anima.limits import MIB, message_bytes_max
from anima.sandbox.jail.output import Kept
from anima.sandbox.jail.spec import LAYERS, JailSpec, Layer, Limits, Outcome

answer_bytes_max = message_bytes_max  #: of what a function returns, packed
_NOTHING = object()


@dataclass(slots=True)
class Ended:
    """What is known when a jail is gone."""

    stdout: Kept
    stderr: Kept
    answer: bytearray = field(default_factory=bytearray)
    told: Mapping[str, Any] = field(default_factory=dict)  #: the zygote's word; `lost` if it died
    interrupted: bool = False
    duration_s: float = 0.0


def why_not(spec: JailSpec, layers: Sequence[Layer]) -> str:
    """Why an order may not begin on this machine, as a sentence; "" if it may."""
    if unknown := sorted(spec.off - set(LAYERS)):
        return f"there is no layer '{unknown[0]}' to do without; layers_off knows {', '.join(LAYERS)}"
    if "namespaces" in spec.off and "user" not in spec.off:
        return "the layer 'user' needs the layer 'namespaces'; to do without both write both into layers_off"
    for layer in layers:
        needless = layer.name == "network" and spec.network
        if not layer.there and layer.name not in spec.off and not needless:
            return (
                f"the layer '{layer.name}' ({LAYERS[layer.name]}) cannot be had on this machine: {layer.reason}. "
                f'To do without it write layers_off = ["{layer.name}"] into the [policy] of the agent'
            )
    return ""


def refused(reason: str) -> Outcome:
    """An order that did not begin."""
    return Outcome("refused", reason=reason)


def outcome(ended: Ended, limits: Limits) -> Outcome:
    """What came of it."""
    told = ended.told
    status = told.get("status")
    code = _code(status)
    value = _value(ended.answer) if code == 0 or ended.interrupted or told.get("limit") else _NOTHING
    how, limit, reason = _how(ended, value is not _NOTHING, limits)
    return Outcome(
        how=how,  # type: ignore[arg-type]  # one of the words below
        value=None if value is _NOTHING else value,
        stdout=ended.stdout.text(),
        stderr=ended.stderr.text(),
        stdout_bytes=ended.stdout.total,
        stderr_bytes=ended.stderr.total,
        exit=max(code, 0),
        signal=max(-code, 0),
        limit=limit,
        reason=reason,
        duration_s=ended.duration_s,
        layers=tuple(told.get("held", ())),
    )


def _how(ended: Ended, answered: bool, limits: Limits) -> tuple[str, str, str]:
    """How it ended, the limit it hit, and a sentence. What was decided from outside comes before what the child says."""
    told = ended.told
    limit = told.get("limit", "") or _limit_of(_code(told.get("status")))
    if told.get("refused"):
        return "refused", "", told["refused"]
    if ended.interrupted:
        return "interrupted", limit, "interrupted; what it printed so far is kept"
    if told.get("lost"):
        return "killed", "", "the process that holds the jails died, and all jails with it; the next call starts it again"
    if limit and (not answered or told.get("limit") in ("wall", "cpu")):
        return "limit", limit, _limit_reached(limit, limits)
    return ("answered", limit, "") if answered else _unanswered(ended)


def _unanswered(ended: Ended) -> tuple[str, str, str]:
    status = ended.told.get("status")
    code = _code(status)
    if len(ended.answer) > answer_bytes_max:
        return "limit", "output", f"its answer is larger than {answer_bytes_max // MIB} MiB"
    if code < 0:
        return "killed", "", f"ended by {_signal_name(-code)}"
    if status is None:
        return "killed", "", "the first process of its jail died before the function was called"
    return "exited", "", f"it ended with exit code {code} without an answer"


def _code(status: int | None) -> int:
    """Exit code, or minus the signal."""
    if status is None:
        return 1
    return -(status & 0x7F) if status & 0x7F else status >> 8


def _value(answer: bytearray) -> Any:
    if len(answer) > answer_bytes_max:
        return _NOTHING
    try:
        return msgpack.unpackb(bytes(answer), strict_map_key=False)
    except (ValueError, RecursionError, msgpack.UnpackException):
        return _NOTHING  # cut off, or no answer at all


def _limit_of(code: int) -> str:
    return {-signal.SIGXCPU: "cpu", -signal.SIGXFSZ: "file"}.get(code, "")


def _limit_reached(limit: str, limits: Limits) -> str:
    said = {
        "wall": f"stopped after {limits.wall_s:g} s, its time limit",
        "cpu": f"stopped: it used its {limits.cpu_s:g} s of CPU time",
        "memory": f"stopped: it needed more than its {limits.memory_bytes // MIB} MiB of memory",
        "processes": f"stopped: it started more than its {limits.processes} processes",
        "file": f"stopped: it wrote a file larger than its {limits.file_bytes // MIB} MiB",
    }
    return said[limit]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
