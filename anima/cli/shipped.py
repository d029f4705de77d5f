"""The files for service managers that come with the program: in the wheel inside the package, in a checkout beside it."""

from pathlib import Path

import anima
from anima.errors import Refused


def shipped(folder: str, name: str) -> str:
    """The text of e.g. `systemd`, `anima.service`. Raises Refused if this installation lacks it."""
    package = Path(anima.__file__).parent
    for place in (package / "shipped", package.parent):
        try:
            return (place / folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
    raise Refused(f"this installation of anima lacks {folder}/{name}; install it anew")
