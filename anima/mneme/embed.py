"""The model that turns texts into vectors, so that memories are found by meaning and not by words alone."""

from anima.config.schema import House
from anima.errors import Unavailable
from anima.mneme.weaver import Embedder


def open_embedder(settings: House) -> Embedder:  # noqa: ARG001 - nothing can be configured yet
    """The model of this house. Raises Unavailable, one sentence, if there is none."""
    raise Unavailable("no embedding model is installed with this version")
