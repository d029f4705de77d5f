"""The model that turns texts into vectors, so that memories are found by meaning and not by words alone."""

from collections.abc import Sequence
from typing import Any

import httpx

from anima.config.schema import House
from anima.errors import Unavailable
from anima.mneme.weaver import Embedder

_ANSWER_S = 30.0


def open_embedder(settings: House) -> Embedder:
    """The one that comes with anima, or a server's. Raises Unavailable, one sentence, if there is none."""
    chosen = settings.embedding
    if chosen.model == "none":
        raise Unavailable("[embedding] model is none: memories are found by their words")
    if chosen.model == "minilm":
        from anima.mneme.minilm.model import MiniLM

        return MiniLM()
    return Served(chosen.model, chosen.url, chosen.key)


class Served:
    """A model of a server that speaks OpenAI's protocol: OpenAI, Ollama (http://127.0.0.1:11434/v1), llama.cpp, vLLM."""

    def __init__(self, name: str, url: str, key: str = "", client: httpx.Client | None = None) -> None:
        """Ask it once. Raises Unavailable if it does not answer as it should."""
        if not url:
            raise Unavailable(f"[embedding] model is {name}, and there is no url of the server that has it")
        self._name = name
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = client or httpx.Client(headers=headers, timeout=_ANSWER_S)
        self._url = f"{url.rstrip('/')}/embeddings"
        self.model = f"{name}@{url}"
        self.dimensions = len(self.embed(["how long is a vector?"])[0])

    def embed(self, texts: Sequence[str]) -> Any:
        """One vector a text. Raises Unavailable if the server does not answer as it should."""
        try:
            answer = self._client.post(self._url, json={"model": self._name, "input": list(texts)}).raise_for_status().json()
            found = sorted(answer["data"], key=lambda each: each["index"])
            vectors = [[float(number) for number in each["embedding"]] for each in found]
        except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
            raise Unavailable(f"the embedding model {self._name} does not answer at {self._url}: {error}") from error
        if len(vectors) != len(texts) or len({len(each) for each in vectors}) != 1 or not vectors[0]:
            raise Unavailable(f"{self._url} answered {len(vectors)} vectors for {len(texts)} texts, or not of one length")
        return vectors
