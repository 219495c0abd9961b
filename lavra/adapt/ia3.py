"""IA3: a learned factor for every channel of keys, values and inner activations (Liu et al. 2022, arXiv:2205.05638).

It multiplies the outputs of the layers of keys and values, and the inputs of the feed-forward layer's last matrix.  All
factors are 1 at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.layers import linear_layers, matching, stored_sizes
from lavra.adapt.linear import BaseLinear, LinearAdapter, device_of, sizes
from lavra.adapt.methods.ia3 import IA3Config, read_ia3, split_factors
from lavra.adapt.peft_content import AdapterContent, FillModules, StoredAdapter, TrainedAdapter, copy_stored
from lavra.adapt.peft_names import shortest
from lavra.adapt.places import LayerPlace
from lavra.base.errors import ConfigError


class Ia3(LinearAdapter):
    """The factors of one layer: (K,) of its inputs, or (N,) of its outputs.

    Args:
        base: the layer.
        on_inputs: whether inputs are multiplied, instead of outputs.
    """

    def __init__(self, base: BaseLinear, *, on_inputs: bool) -> None:
        super().__init__()
        outputs, inputs = sizes(base)
        self.prepares = on_inputs
        self.factors = nn.Parameter(torch.ones(inputs if on_inputs else outputs, device=device_of(base)))

    def prepare(self, x: Tensor) -> Tensor:
        """Multiply inputs."""
        return (x * self.factors).to(x.dtype) if self.prepares else x

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """Multiply outputs."""
        return y if self.prepares else (y * self.factors).to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """Multiply rows and bias."""
        if self.prepares:
            return weight, bias
        return weight * self.factors[:, None], None if bias is None else bias * self.factors

    def fold_inputs(self, weight: Tensor) -> Tensor:
        """Multiply columns."""
        return weight * self.factors if self.prepares else weight


def ia3_adapters(
    config: IA3Config, layers: Mapping[str, BaseLinear], names: Mapping[str, tuple[str, ...]]
) -> dict[str, LinearAdapter]:
    """Fresh factors of the layers that the patterns name."""
    chosen = matching(names, config.targets)
    inner = set(matching({name: names[name] for name in chosen}, config.feed_forward))
    return {name: Ia3(layers[name], on_inputs=name in inner) for name in chosen}


def read_ia3_parts(stored: StoredAdapter) -> tuple[IA3Config, FillModules]:
    """The configuration of a stored adapter, and a function that fills its parts.

    Raises:
        CheckpointError: a tensor is missing or of the wrong shape, or a setting cannot be honoured.
    """
    layers, found, inner = linear_layers(stored.model), dict[str, Tensor](), list[str]()
    for theirs, tensors in stored.layers().items():
        split, on_inputs = _split(stored.names.place(theirs), tensors, layers)
        found.update(split)
        inner += list(split) if on_inputs else []

    def fill(parts: dict[str, nn.Module]) -> None:
        for place, part in parts.items():
            copy_stored(cast(Ia3, part).factors, found[place], place)

    return read_ia3(stored.fields, tuple(found), tuple(inner), stored.saved), fill


def write_ia3_parts(adapter: TrainedAdapter) -> AdapterContent:
    """The adapter in PEFT's form.

    Raises:
        ConfigError: the inputs of one matrix would be multiplied in several ways.
    """
    layers, names, tensors = linear_layers(adapter.model), adapter.names, dict[str, Tensor]()
    inner, transposed = list[str](), False
    for place in names.places:
        ours = [part if isinstance(part := adapter.parts.get(one), Ia3) else None for one in place.ours]
        if not any(part is not None for part in ours):
            continue
        tensors[f"{place.theirs}.ia3_l"] = _join(place, ours, layers)
        transposed = transposed or place.transposed
        if any(part is not None and part.prepares for part in ours):
            inner.append(place.theirs)
    outer = [name.removesuffix(".ia3_l") for name in tensors if name.removesuffix(".ia3_l") not in inner]
    endings = shortest(inner, names.theirs)
    fields = {
        "target_modules": sorted([*endings, *shortest(outer, names.theirs)]),
        "feedforward_modules": endings,
        "fan_in_fan_out": transposed,
    }
    return AdapterContent(fields=fields, tensors=tensors)


def _split(
    place: LayerPlace, tensors: Mapping[str, Tensor], layers: Mapping[str, BaseLinear]
) -> tuple[dict[str, Tensor], bool]:
    """Split the tensors of a matrix of theirs: the factors of each layer of ours in it, and whether they are of inputs.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    parts, on_inputs = split_factors(place, tensors, stored_sizes(place, layers))
    return dict(zip(place.ours, parts, strict=True)), on_inputs


def _join(place: LayerPlace, parts: Sequence[Ia3 | None], layers: Mapping[str, BaseLinear]) -> Tensor:
    """Join the factors of our layers to `ia3_l` of the matrix of theirs that holds the layers.

    Raises:
        ConfigError: the inputs of one matrix would be multiplied in several ways.
    """
    present = [part for part in parts if part is not None]
    if not any(part.prepares for part in present):
        rows = [
            torch.ones(sizes(layers[name])[0]) if part is None else part.factors.detach().cpu()
            for part, name in zip(parts, place.ours, strict=True)
        ]
        whole: Tensor = place.rows.join(rows, torch.cat)[:, None]
        return whole
    first = present[0].factors
    if len(present) < len(parts) or not all(part.prepares and torch.equal(part.factors, first) for part in present):
        raise ConfigError(
            f"PEFT has one matrix {place.theirs} with one factor, and lavra has {', '.join(place.ours)} with different "
            "factors of their inputs; multiply outputs instead"
        )
    return first.detach()[None]
