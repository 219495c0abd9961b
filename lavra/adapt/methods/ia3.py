"""IA3 (Liu et al. 2022, arXiv:2205.05638): its settings, and PEFT's `adapter_config.json` of them.

The module and the writing of PEFT's files are in `lavra/adapt/ia3.py`, which needs torch; this file does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lavra.adapt.config import AdapterConfig, Patterns, check_patterns
from lavra.adapt.methods.method import AdapterMethod, PeftCodec
from lavra.adapt.peft_config import refuse_unread
from lavra.adapt.places import LayerPlace, check_shape
from lavra.base.errors import CheckpointError
from lavra.model.families.fields import Fields


@dataclass(frozen=True, kw_only=True)
class IA3Config(AdapterConfig):
    """Learned factors of inner activations (Liu et al. 2022, arXiv:2205.05638).

    Attributes:
        targets: linear layers that are changed, by the ends of their names, or all-linear.
        feed_forward: targets that have their inputs multiplied; the others have their outputs multiplied.

    Example:
        >>> method = lavra.IA3Config(targets=("key", "value"), feed_forward=())
        >>> settings = lavra.FinetuneConfig(task="classify", data="reviews.csv", method=method)
        >>> settings.method.targets
        ('key', 'value')
    """

    targets: Patterns = ("key", "value", "down")
    feed_forward: Patterns = ("down",)

    def __post_init__(self) -> None:
        check_patterns("targets", self.targets)


IA3: Final = AdapterMethod(
    name="ia3",
    starts={"ia3": IA3Config()},
    learning_rate=1e-2,
    on_layers="lavra.adapt.ia3:ia3_adapters",
    peft=PeftCodec(kind="IA3", read="lavra.adapt.ia3:read_ia3_parts", write="lavra.adapt.ia3:write_ia3_parts"),
)


def read_ia3(fields: Fields, targets: tuple[str, ...], inner: tuple[str, ...], saved: tuple[str, ...]) -> IA3Config:
    """Read the configuration in an `adapter_config.json`.

    Args:
        fields: fields of the file.
        targets: layers of ours that the file's tensors change.
        inner: targets whose inputs are multiplied.
        saved: modules of ours that the adapter has trained whole.

    Raises:
        CheckpointError: a setting that lavra cannot honour.
    """
    refuse_unread(fields, set())
    return IA3Config(targets=targets, feed_forward=inner, modules_to_save=saved)


def split_factors(place: LayerPlace, tensors: Mapping[str, Any], sizes: tuple[int, int]) -> tuple[list[Any], bool]:
    """The factors of each layer of ours in a matrix of theirs, and whether they are of inputs.

    Args:
        place: place of the matrix.
        tensors: tensors by PEFT's names, torch's or NumPy's.
        sizes: (outputs, inputs) of the matrix.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    if set(tensors) != {"ia3_l"}:
        raise CheckpointError(f"{place.theirs} has the tensors {', '.join(sorted(tensors))}; IA3 needs ia3_l alone")
    factors, (outputs, inputs) = tensors["ia3_l"], sizes
    if tuple(factors.shape) == (1, inputs):
        return [factors[0]] * len(place.ours), True
    check_shape(place, "ia3_l", factors, (outputs, 1))
    return place.rows.split(factors[:, 0]), False
