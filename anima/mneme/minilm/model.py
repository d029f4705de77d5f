"""all-MiniLM-L6-v2, which turns a text into 384 numbers, with everything it needs beside this file.

model.onnx   the model's 22.7 million weights as whole numbers of 8 bits, 23 MB; made by bench/minilm.py out of the published
             weights (sha256 in the NOTICE), Apache-2.0. Cosines with the vectors of the published weights are 0.99.
vocab.txt    its 30,522 pieces of words

Source of the model: Reimers and Gurevych (2019), https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
"""

from collections.abc import Sequence
from importlib.resources import as_file, files

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from anima.errors import Unavailable
from anima.mneme.minilm.pieces import Pieces

_LONGEST = 256  # pieces of one text, as the model was trained; what stands behind them is not read
_THREADS = 2  # of the machine's cores: the rest are for agents
_FAR = -1e9


class MiniLM:
    """The model, loaded."""

    model = "all-MiniLM-L6-v2/int8"
    dimensions = 384

    def __init__(self) -> None:
        """Load it; about 0.2 s. Raises Unavailable if its files are not whole."""
        wanted = onnxruntime.SessionOptions()
        wanted.intra_op_num_threads, wanted.inter_op_num_threads = _THREADS, 1
        # threads that wait busily for the next text would take the cores from the search that follows: 2 ms become 10
        wanted.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted.enable_cpu_mem_arena = False  # it would keep what the longest text ever needed
        here = files("anima.mneme.minilm")
        try:
            self._pieces = Pieces((here / "vocab.txt").read_text("utf-8").splitlines(), _LONGEST)
            with as_file(here / "model.onnx") as path:
                self._session = onnxruntime.InferenceSession(str(path), wanted, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own of many sorts, and all mean this
            raise Unavailable(
                f"the embedding model that comes with anima cannot be loaded: {error}; install anima anew"
            ) from error

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector of length 1 a text, (texts, 384)."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        read = [self._pieces.of(text) for text in texts]
        alike = sorted(range(len(texts)), key=lambda place: len(read[place]))  # what is equally long is read together
        for start in range(0, len(alike), _TOGETHER):
            places = alike[start : start + _TOGETHER]
            vectors[places] = self._read([read[place] for place in places])
        return vectors

    def _read(self, rows: list[list[int]]) -> NDArray[np.float32]:
        longest = max(map(len, rows))
        ids, there = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.float32)
        for place, row in enumerate(rows):
            ids[place, : len(row)], there[place, : len(row)] = row, 1
        away = ((1 - there) * _FAR)[:, None, None, :].astype(np.float32)
        (states,) = self._session.run(None, {"ids": ids, "pos": np.arange(longest, dtype=np.int64), "bias": away})
        mean = (np.asarray(states) * there[..., None]).sum(axis=1) / there.sum(axis=1)[:, None]
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)


_TOGETHER = 8
