"""Vectors in the background, and that nobody else pays for them."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anima.errors import Unavailable
from anima.mneme.weaver import PIECE_TEXTS, Weaver

REPO = Path(__file__).parent.parent.parent


class Rows:
    """A store of texts that need vectors."""

    def __init__(self, count: int) -> None:
        self.left = {f"arya/{number}": f"text {number}" for number in range(count)}
        self.vectors: dict[str, Any] = {}

    def adopt(self, model: str, dimensions: int) -> None:
        self.model = model

    def unembedded(self, limit: int) -> list[tuple[str, str]]:
        return list(self.left.items())[:limit]

    def unembedded_count(self) -> int:
        return len(self.left)

    def embedded(self, rows: Sequence[tuple[str, Any]]) -> None:
        for memory, vector in rows:
            del self.left[memory]
            self.vectors[memory] = (self.model, vector)


class Lengths:
    """A model whose vectors are lengths."""

    model = "lengths"
    dimensions = 1

    def __init__(self) -> None:
        self.pieces: list[int] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.pieces.append(len(texts))
        return [[float(len(text))] for text in texts]


async def until_idle(weaver: Weaver) -> None:
    async with asyncio.timeout(5):
        await weaver.idle.wait()


async def test_everything_gets_its_vector_in_small_pieces_and_so_does_what_comes_later() -> None:
    rows, grown, lengths = Rows(20), asyncio.Event(), Lengths()
    weaver = Weaver(rows, grown, lambda: lengths)  # type: ignore[arg-type]
    weaving = asyncio.create_task(weaver.weave())
    await until_idle(weaver)
    assert (weaver.left(), weaver.why, weaver.model) == (0, "", "lengths")
    assert rows.vectors["arya/3"] == ("lengths", [6.0])
    assert max(lengths.pieces) <= PIECE_TEXTS
    rows.left["arya/new"] = "new"
    weaver.idle.clear()
    grown.set()
    await until_idle(weaver)
    assert "arya/new" in rows.vectors
    weaving.cancel()


async def test_nothing_is_begun_in_the_background_while_somebody_searches() -> None:
    rows, lengths = Rows(PIECE_TEXTS), Lengths()
    weaver = Weaver(rows, asyncio.Event(), lambda: lengths)  # type: ignore[arg-type]
    with weaver.hurried():
        weaving = asyncio.create_task(weaver.weave())
        async with asyncio.timeout(5):
            while not weaver.model:
                await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert not lengths.pieces
    await until_idle(weaver)
    assert lengths.pieces == [PIECE_TEXTS]
    weaving.cancel()


async def test_without_a_model_words_are_enough_and_why_is_said() -> None:
    def nobody() -> Any:
        raise Unavailable("no model here")

    weaver = Weaver(Rows(3), asyncio.Event(), nobody)  # type: ignore[arg-type]
    weaving = asyncio.create_task(weaver.weave())
    await until_idle(weaver)
    assert weaver.why == "no model here"
    assert weaver.left() == 0
    assert await weaver.vector("anything") is None
    assert not weaving.done(), "a mneme without a model lives"
    weaving.cancel()


def test_the_root_the_agents_and_the_commands_import_nothing_that_only_vectors_need() -> None:
    program = (
        "import sys, daemons, daemons.agent, daemons.supervisor, anima.cli.main, anima.cli.memories_file\n"
        "print(*[name for name in ('numpy', 'tokenizers', 'anima.mneme.store', 'anima.mneme.embed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPO, timeout=60)
    assert done.stdout.strip() == ""
