"""Vectors in the background: what is new is read by the embedding model, a little at a time, while searches go first.

Search by words needs none of this; a house without the model, or while it is loaded, searches by words alone.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from anima.errors import AnimaError, Unavailable
from anima.mneme.store import Store

PIECE_TEXTS = 4  # read at once: a search waits for no more than that
_ASKED_KEPT = 256
_AWAY_S = 5.0  # after a server did not answer
_CALM_S = 0.03  # after a search, or a piece of an import, before reading on: another one may follow
_log = logging.getLogger(__name__)


class Embedder(Protocol):
    """What turns texts into vectors; see anima/mneme/embed.py."""

    @property
    def model(self) -> str:
        """Its id, kept with every vector."""
        ...

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        ...

    def embed(self, texts: Any) -> Any:
        """One vector a text."""
        ...


class Weaver:
    """Makes vectors for all that has none of this model. `open_embedder` may take a second; it is called in a thread."""

    def __init__(self, store: Store, grown: asyncio.Event, open_embedder: Callable[[], Embedder]) -> None:
        self._store = store
        self._grown = grown
        self._open = open_embedder
        self._embedder: Embedder | None = None
        self._hurried = 0  # who is waiting for an answer
        self._hurried_at = 0.0
        self._asked: dict[str, Any] = {}  # vectors of the newest questions
        self.why = "the embedding model is not loaded yet"  #: why there are no vectors; "" if there are
        self.idle = asyncio.Event()  #: whether nothing is left to do

    @property
    def model(self) -> str:
        """The id of the model, "" while there is none."""
        return self._embedder.model if self._embedder else ""

    async def weave(self) -> None:
        """Make vectors, without end; without a model, none."""
        try:
            self._embedder = await asyncio.to_thread(self._open)
            self.why = ""
        except AnimaError as error:
            self.why = str(error)
            self.idle.set()
            _log.warning("memories are found by words alone: %s", error)
            await asyncio.Event().wait()
            return
        self._store.adopt(self._embedder.model, self._embedder.dimensions)
        while True:
            self._grown.clear()
            rows = self._store.unembedded(PIECE_TEXTS)
            if not rows:
                self.idle.set()
                await self._grown.wait()
                continue
            self.idle.clear()
            while self._hurried or time.monotonic() - self._hurried_at < _CALM_S:  # noqa: ASYNC110 - answers end by themselves
                await asyncio.sleep(_CALM_S)
            if (vectors := await self._read([text for _, text in rows])) is not None:
                self._store.embedded([(memory, vector) for (memory, _), vector in zip(rows, vectors, strict=True)])

    async def _read(self, texts: list[str]) -> Any:
        """The vectors of texts; None, after a while, if the model is away."""
        assert self._embedder is not None
        try:
            vectors = await asyncio.to_thread(self._embedder.embed, texts)
        except Unavailable as error:
            if not self.why:
                _log.warning("memories are found by words alone for now: %s", error)
            self.why = str(error)
            await asyncio.sleep(_AWAY_S)
            return None
        self.why = ""
        return vectors

    def left(self) -> int:
        """How many memories have no vector yet; 0 without a model."""
        return self._store.unembedded_count() if self._embedder else 0

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """While in it, and a moment after, nothing new is begun in the background."""
        self._hurried += 1
        try:
            yield
        finally:
            self._hurried -= 1
            self._hurried_at = time.monotonic()

    async def vector(self, text: str) -> Any:
        """The vector of a query; None without a model."""
        if self._embedder is None or not text.strip():
            return None
        if (known := self._asked.pop(text, None)) is not None:
            self._asked[text] = known  # goals are asked about before every turn
            return known
        try:
            vector = (await asyncio.to_thread(self._embedder.embed, [text]))[0]
        except Unavailable as error:
            _log.warning("a search goes by words alone: %s", error)
            return None
        self._asked[text] = vector
        if len(self._asked) > _ASKED_KEPT:
            del self._asked[next(iter(self._asked))]
        return vector
