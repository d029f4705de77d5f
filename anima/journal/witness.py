"""A second, independent note of how far the journal had come: `journal.head`, beside `journal.db`.

It is replaced about once a second and never fsynced. It cannot prove that nothing was lost, but when a disk takes back
what it had acknowledged, a database that ends before its witness shows it, and roughly how much is missing.
"""

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from anima.errors import Unavailable
from anima.wire.chain import START

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Witness:
    """The newest row at some moment of the past second or so."""

    seq: int = 0
    chain: bytes = START


def read_witness(path: Path) -> Witness:
    """What was noted last; nothing (seq 0) if there is no note or it is unreadable."""
    try:
        content = json.loads(path.read_text())
        return Witness(int(content["seq"]), bytes.fromhex(content["chain"]))
    except FileNotFoundError:
        return Witness()
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s is unreadable (%s), so a loss on this disk would go unnoticed this time", path, error)
        return Witness()


def write_witness(path: Path, witness: Witness) -> None:
    """Note `witness`, by atomic replacement. Raises Unavailable if the disk is full or refuses."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_text(json.dumps({"seq": witness.seq, "chain": witness.chain.hex()}) + "\n")
        os.replace(fresh, path)  # noqa: PTH105 - the atomic one, by its own name
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
