"""Talking to the supervisor: one request, one answer, over its control socket."""

import time
from typing import Any

from anima import errors
from anima.errors import AnimaError, Refused, Unavailable
from anima.paths import Home


def request(home: Home, do: str, timeout_s: float = 5.0, **fields: Any) -> dict[str, Any]:
    """Ask the supervisor to `do` something, and return its answer.

    Raises Unavailable if the house is not running, and whatever the supervisor refuses with.
    """
    from anima.supervisor.control import ask  # the socket module costs 5 ms, and `--help` does not need it

    answer: dict[str, Any] = ask(home, {"do": do, **fields}, timeout_s)
    if answer.get("ok") is not True:
        sort = getattr(errors, str(answer.get("sort")), Refused)
        known = isinstance(sort, type) and issubclass(sort, AnimaError)
        raise (sort if known else Refused)(str(answer.get("error", "the supervisor refused without a reason")))
    return answer


def processes(home: Home) -> list[dict[str, Any]]:
    """What the supervisor knows about each process. Raises Unavailable if the house is not running."""
    told: list[dict[str, Any]] = request(home, "status")["processes"]
    return told


def is_up(home: Home) -> bool:
    """Whether a supervisor answers for this home."""
    try:
        request(home, "status")
    except Unavailable:
        return False
    return True


def agent_process(home: Home, name: str) -> dict[str, Any]:
    """The process of agent `name`. Raises Refused if there is none, Unavailable if the house is not running."""
    told = processes(home)
    for process in told:
        if process["name"] == f"agent:{name}":
            return process
    agents = [process["name"].removeprefix("agent:") for process in told if process["name"].startswith("agent:")]
    if not agents:
        raise Refused(f"there is no agent '{name}', and no other; `animactl create {name}` makes it")
    from anima.config.check import unknown  # only for a complaint: settings take 6 ms to import

    raise Refused(f"'{name}' is an {unknown(name, agents, 'agent')}")


def wait_until(home: Home, name: str, states: set[str], timeout_s: float) -> dict[str, Any]:
    """Wait until the process called `name` is in one of `states`, and return what the supervisor says of it.

    Raises Unavailable after `timeout_s`, or if the house is not running.
    """
    begun = time.monotonic()
    while True:
        found = next((each for each in processes(home) if each["name"] == name), None)
        if found and found["state"] in states:
            return found
        waited = time.monotonic() - begun
        if waited > timeout_s:
            state = found["state"] if found else "unknown to the supervisor"
            raise Unavailable(f"{name} is still {state} after {timeout_s:g} s; see `animactl status` and its log")
        time.sleep(0.02 if waited < 1 else 0.2)
