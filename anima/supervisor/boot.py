"""What a newborn process is told by the root. The same whether it was forked or started by exec."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from anima.errors import BadMessage
from anima.paths import Home


@dataclass(frozen=True)
class Boot:
    """Who the child is and the two descriptors it shares with the root."""

    name: str  #: `agent:arya`
    kind: str
    home: str  #: root of the house on disk
    run: str  #: runtime directory
    incarnation: int  #: 1 for the first under this supervisor
    notify_fd: int  #: non-blocking packet socket to the root: sd_notify words go out; its end of file means the root is dead
    output_fd: int  #: read end of the pipe that is this process's stdout and stderr; the process itself drains it
    beat_s: float  #: how often WATCHDOG=1 is expected; 0 means never
    settings: str  #: digest of the configuration the root started it for

    @property
    def house(self) -> Home:
        """The house on disk, as paths."""
        return Home(Path(self.home), Path(self.run))

    def to_json(self) -> str:
        """One line of JSON; the shape `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The Boot in `text`. Raises BadMessage if it is anything else."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise BadMessage(f"not a boot record: {error}") from error
