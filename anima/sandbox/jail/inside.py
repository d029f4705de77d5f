"""The inner stage of a jail whose view was built by bwrap: a fresh Python that closes the last doors and calls the function.

Covers: what child.py covers, in a process that bwrap has started with the view, the namespaces and no rights.
Does not cover: starting fast. Nothing is warm here: the interpreter and the function's modules are loaded for each call.
"""

import sys
from typing import Any

from anima.sandbox.jail import passing, syscalls
from anima.sandbox.jail.child import Child, live
from anima.sandbox.jail.spec import read_spec
from anima.sandbox.jail.view import Place

#: What the interpreter is told to run; its arguments are descriptors, and then folders to import from.
BOOT = "import sys; sys.path[:0] = sys.argv[4:]; from anima.sandbox.jail.inside import main; main()"


def wire(place: Place) -> list[Any]:
    """A place as a plain list."""
    return [place.path, place.kind, place.mapped, place.folder]


def main() -> None:
    """Start as `python -c BOOT BODY_FD ANSWER_FD READY_FD FOLDER...`. Never returns."""
    body_fd, answer_fd, ready_fd = (int(each) for each in sys.argv[1:4])
    body = passing.unwrap(body_fd)
    live(
        Child(
            target=body["target"],
            arguments=body["arguments"],
            spec=read_spec(body["spec"]),
            places=[Place(*each) for each in body["places"]],
            abi=syscalls.landlock_abi(),
            in_fd=0,
            out_fd=1,
            err_fd=2,
            answer_fd=answer_fd,
            ready_fd=ready_fd,
            namespaces=True,
            counted=body["counted"],
        )
    )
