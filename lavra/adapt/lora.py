"""LoRA: a linear layer's update as the product of two thin matrices (Hu et al. 2021, arXiv:2106.09685).

    y = W x + b + s B A x        A (R, K) random, B (N, R) zero at the start, so that nothing changes at first

With DoRA (Liu et al. 2024, arXiv:2402.09353) the rows of W + s B A keep their direction, and their length m is learned:

    y = m / |W + s B A| * (W + s B A) x + b        the norm counts as a constant in the backward pass (section 4.3)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.adapt.layers import linear_layers, matching, stored_sizes
from lavra.adapt.linear import BaseLinear, LinearAdapter, bias_of, device_of, float_weight, sizes
from lavra.adapt.methods.lora import LoraConfig, check_lora, lora_fields, read_lora, used_columns
from lavra.adapt.peft_content import AdapterContent, FillModules, StoredAdapter, TrainedAdapter
from lavra.adapt.peft_names import shortest
from lavra.adapt.places import LayerPlace
from lavra.base.errors import CheckpointError
from lavra.model.dropout import dropout as drop


class Lora(LinearAdapter):
    """The update of one layer.

    Args:
        base: the layer; DoRA reads its matrix.
        rank: R.
        scale: s, the factor of the update.
        dropout: share of the inputs dropped in training.
        dora: whether rows have a length of their own.
    """

    magnitude: nn.Parameter | None

    def __init__(self, base: BaseLinear, *, rank: int, scale: float, dropout: float = 0.0, dora: bool = False) -> None:
        super().__init__()
        outputs, inputs = sizes(base)
        device = device_of(base)
        self.scale, self.dropout = scale, dropout
        self.a = nn.Parameter(torch.empty(rank, inputs, device=device, dtype=torch.float32))
        self.b = nn.Parameter(torch.zeros(outputs, rank, device=device, dtype=torch.float32))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as nn.Linear, and as PEFT
        self._base: tuple[BaseLinear, ...] = (
            (base,) if dora else ()
        )  # in a tuple, so that it is not a second owner of the weights
        self._norm: tuple[tuple[int, ...], Tensor] | None = None
        self.magnitude = nn.Parameter(row_lengths(float_weight(base)).to(device)) if dora else None

    @property
    def rank(self) -> int:
        """R."""
        return self.a.shape[0]

    def set(self, a: Tensor, b: Tensor, scale: float, magnitude: Tensor | None = None) -> None:
        """Take (R, K) and (N, R) matrices, perhaps of another rank, and (N,) lengths of rows."""
        device = self.a.device
        self.a = nn.Parameter(a.to(device, torch.float32, copy=True).contiguous(), self.a.requires_grad)
        self.b = nn.Parameter(b.to(device, torch.float32, copy=True).contiguous(), self.b.requires_grad)
        self.scale, self._norm = scale, None
        if self.magnitude is not None and magnitude is not None:
            self.magnitude = nn.Parameter(magnitude.to(device, torch.float32, copy=True), self.magnitude.requires_grad)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the lengths of rows are computed anew after training."""
        self._norm = None
        return super().train(mode)

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """Add the update."""
        dropped = drop(x, self.dropout, self.training)
        update = functional.linear(functional.linear(dropped.to(self.a.dtype), self.a), self.b) * self.scale
        if self.magnitude is None:
            return y + update.to(y.dtype)
        stretch = self.magnitude / self._length()
        return y + ((stretch - 1) * self._unbiased(dropped, base) + stretch * update).to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """Add s B A; with DoRA, the difference to rows of the learned length."""
        update = self.scale * (self.b @ self.a)
        if self.magnitude is None:
            return weight + update, bias
        stretch = (self.magnitude / row_lengths(base + update))[:, None]
        return weight + (stretch - 1) * base + stretch * update, bias

    def _unbiased(self, dropped: Tensor, base: Tensor) -> Tensor:
        """The product (..., N) W x; with dropout, of the inputs that are left, as in PEFT."""
        layer = self._base[0]
        if self.dropout and self.training:
            return functional.linear(dropped.to(torch.float32), float_weight(layer))
        bias = bias_of(layer)
        return base if bias is None else base - bias

    @torch.no_grad()
    def _length(self) -> Tensor:
        """(N,) |W + s B A| of each row; computed once for all evaluations with the same weights."""
        layer = self._base[0]
        stored = layer.weight if isinstance(layer, nn.Linear) else layer.matrix.packed
        tensors = (self.a, self.b, stored)
        if self.training or any(one.is_inference() for one in tensors):
            return row_lengths(float_weight(layer) + self.scale * (self.b @ self.a))
        key = tuple(part for one in tensors for part in (id(one), one.data_ptr(), one._version))
        if self._norm is None or self._norm[0] != key:
            self._norm = key, row_lengths(float_weight(layer) + self.scale * (self.b @ self.a))
        return self._norm[1]


def row_lengths(weight: Tensor) -> Tensor:
    """(N, K) -> (N,) the length of each row."""
    length: Tensor = torch.linalg.vector_norm(weight, dim=1)
    return length


def lora_adapters(
    config: LoraConfig, layers: Mapping[str, BaseLinear], names: Mapping[str, tuple[str, ...]]
) -> dict[str, LinearAdapter]:
    """Fresh updates of the layers that the patterns name."""
    made: dict[str, LinearAdapter] = {}
    for name in matching(names, config.targets, exclude=config.exclude):
        rank = config.rank_of(names[name])
        scale = config.scale_of(names[name], rank)
        made[name] = Lora(layers[name], rank=rank, scale=scale, dropout=config.dropout, dora=config.dora)
    return made


def read_lora_parts(stored: StoredAdapter) -> tuple[LoraConfig, FillModules]:
    """The configuration of a stored adapter, and a function that fills its parts.

    Raises:
        CheckpointError: a tensor is missing or of the wrong shape, or a setting cannot be honoured.
    """
    fields, layers = stored.fields, linear_layers(stored.model)
    found, scales = dict[str, _LoraTensors](), dict[str, float]()
    settings = read_lora(fields, ("unknown",), stored.saved)
    for theirs, tensors in stored.layers().items():
        split = _split(stored.names.place(theirs), tensors, layers, dora=settings.dora)
        rank, held = settings.rank_of([theirs]), tensors["lora_A.weight"].shape[0]
        if rank != held:
            raise CheckpointError(f"{fields.where}: {theirs} has rank {rank} there and {held} in its tensors")
        found.update(split)
        scales.update(dict.fromkeys(split, settings.scale_of([theirs], rank)))

    def fill(parts: dict[str, nn.Module]) -> None:
        for place, part in parts.items():
            tensors = found[place]
            cast(Lora, part).set(tensors.a, tensors.b, scales[place], tensors.magnitude)

    return read_lora(fields, tuple(found), stored.saved), fill


def write_lora_parts(adapter: TrainedAdapter) -> AdapterContent:
    """The adapter in PEFT's form.

    Updates that still share A give PEFT's B again.  Updates that were trained apart become blocks of a wider update:

        A = [A_q; A_k; A_v]      B = diag(B_q, B_k, B_v), rows sorted as the weight's own are
    """
    layers, names, tensors = linear_layers(adapter.model), adapter.names, dict[str, Tensor]()
    scales, transposed = dict[str, tuple[int, float]](), False
    for place in names.places:
        ours = [part if isinstance(part := adapter.parts.get(one), Lora) else None for one in place.ours]
        if not any(part is not None for part in ours):
            continue
        made, rank, scale = _join(place, ours, layers)
        tensors.update({f"{place.theirs}.{one}": tensor for one, tensor in made.items()})
        scales[place.theirs] = rank, scale
        transposed = transposed or place.transposed
    fields = lora_fields(cast(LoraConfig, adapter.config), scales, shortest(scales, names.theirs), transposed)
    return AdapterContent(fields=fields, tensors=tensors)


@dataclass(frozen=True, kw_only=True)
class _LoraTensors:
    """The tensors of one layer: (R, K), (N, R), and with DoRA (N,)."""

    a: Tensor
    b: Tensor
    magnitude: Tensor | None = None


def _split(
    place: LayerPlace, tensors: Mapping[str, Tensor], layers: Mapping[str, BaseLinear], *, dora: bool
) -> dict[str, _LoraTensors]:
    """Split the tensors of a matrix of theirs: those of each layer of ours in it that has an update.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    check_lora(place, tensors, stored_sizes(place, layers), dora=dora)
    a, b, magnitude = tensors["lora_A.weight"], tensors["lora_B.weight"], tensors.get("lora_magnitude_vector")
    parts = place.rows.split(b.contiguous())
    lengths = [None] * len(parts) if magnitude is None else place.rows.split(magnitude.contiguous())
    found: dict[str, _LoraTensors] = {}
    for name, part, columns, length in zip(place.ours, parts, used_columns(parts), lengths, strict=True):
        if length is not None and not bool(columns.any()) and not _own_length(length, layers[name]):
            columns = torch.arange(len(a)) == 0  # its length alone is learned
        if bool(columns.any()):
            found[name] = _LoraTensors(a=a[columns], b=part[:, columns], magnitude=length)
    return found


def _join(
    place: LayerPlace, parts: Sequence[Lora | None], layers: Mapping[str, BaseLinear]
) -> tuple[dict[str, Tensor], int, float]:
    """Join the updates of our layers: the tensors of the matrix of theirs that holds them, its rank and its scale.

    Args:
        place: module of theirs.
        parts: updates of our layers in it; `None` for a layer without an update.
        layers: layers of the model.
    """
    present = [part for part in parts if part is not None]
    scale, first = present[0].scale, present[0]
    shared = len(present) == len(parts) and all(
        part.scale == scale and torch.equal(part.a, first.a) for part in present
    )
    if shared:
        a, wide = first.a.detach(), [part.b.detach() for part in present]
    else:
        a = torch.cat([part.a.detach() for part in present])
        wide = _blocks(place, parts, layers, width=a.shape[0], scale=scale)
    tensors = {"lora_A.weight": a, "lora_B.weight": place.rows.join(wide, torch.cat)}
    if any(part.magnitude is not None for part in present):
        lengths = [_length(part, layers[name]) for part, name in zip(parts, place.ours, strict=True)]
        tensors["lora_magnitude_vector"] = place.rows.join(lengths, torch.cat)
    return tensors, a.shape[0], scale


def _blocks(
    place: LayerPlace, parts: Sequence[Lora | None], layers: Mapping[str, BaseLinear], *, width: int, scale: float
) -> list[Tensor]:
    """(N, width) of each of our layers: its B in columns of its own, brought to the common scale."""
    wide, start = [], 0
    for part, name in zip(parts, place.ours, strict=True):
        block = torch.zeros(sizes(layers[name])[0], width)
        if part is not None:
            block[:, start : start + part.rank] = part.b.detach().cpu() * (part.scale / scale)
            start += part.rank
        wide.append(block)
    return wide


def _own_length(length: Tensor, layer: BaseLinear) -> bool:
    """Whether rows have the lengths of the layer without an adapter."""
    return torch.allclose(length.float(), row_lengths(float_weight(layer)).cpu(), rtol=1e-6, atol=0.0)


def _length(part: Lora | None, layer: BaseLinear) -> Tensor:
    """The learned lengths (N,) of rows, or the lengths of the layer's own rows."""
    if part is not None and part.magnitude is not None:
        return part.magnitude.detach().cpu()
    return row_lengths(float_weight(layer)).cpu()
