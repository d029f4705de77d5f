"""The same call again and again: noticed, and answered by a sentence instead of a fourth attempt. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anima.limits import calls_identical_max


@dataclass(frozen=True, slots=True)
class Done:
    """One call of a turn that has been answered."""

    tool: str
    args: Mapping[str, Any]
    text: str  #: the answer


def fingerprint(tool: str, args: Mapping[str, Any]) -> str:
    """What two calls have in common if they are the same, whatever the order of their arguments."""
    canonical = json.dumps(args, sort_keys=True, default=repr)
    return hashlib.blake2b(f"{tool}\0{canonical}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def repeated(done: Sequence[Done], tool: str, args: Mapping[str, Any], most: int = calls_identical_max) -> str | None:
    """A sentence for the model if this call was made `most` times in this turn, with the same answer each time; else None.

    Calls in between do not matter; an answer that changed does (someone polls something that moves).
    """
    print_ = fingerprint(tool, args)
    answers = [each.text for each in done if fingerprint(each.tool, each.args) == print_][-most:]
    if len(answers) < most or len(set(answers)) > 1:
        return None
    return (
        f"not run: you have called {tool} with these very arguments {most} times in this turn, and the answer was the same. "
        "Do something else, or tell the person what is in the way"
    )
