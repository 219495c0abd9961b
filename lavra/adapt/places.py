"""The linear layers of a model in its checkpoint's form, from its family's table of names; no torch is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import CheckpointError
from lavra.model.config import ModelConfig
from lavra.model.families.table import family
from lavra.model.weights import TensorForm


@dataclass(frozen=True, kw_only=True)
class LayerPlace:
    """A matrix of a checkpoint, and the layers of our model whose weights it holds.

    Attributes:
        theirs: name of the module.
        ours: names of our layers, with the path from the whole model.
        rows: stored order of a vector of outputs, and of each column of a matrix.
        transposed: whether their matrix is (in, out).
    """

    theirs: str
    ours: tuple[str, ...]
    rows: TensorForm
    transposed: bool


def stored_matrices(config: ModelConfig) -> Iterator[LayerPlace]:
    """Every tensor of a checkpoint that is called a weight, embeddings and norms included."""
    for one in family(config.family).table(config):
        if one.theirs.endswith(".weight"):
            yield LayerPlace(
                theirs=one.theirs.removesuffix(".weight"),
                ours=tuple(name.removesuffix(".weight") for name in one.ours),
                rows=one.form.rows,
                transposed=one.form.transposed,
            )


def check_shape(place: LayerPlace, name: str, tensor: Any, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape, torch's or NumPy's; raises CheckpointError."""
    if tuple(tensor.shape) != shape:
        raise CheckpointError(
            f"{place.theirs}.{name} has shape {list(tensor.shape)}, expected {list(shape)}; "
            "the adapter was made for another model"
        )
