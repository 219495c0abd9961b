"""Tensors of PEFT's layers and ours.

Three of our layers may be one of a checkpoint's (GPT-2's `c_attn`, Falcon's `query_key_value`).  PEFT's adapter on it
has one A for all and a B with the rows of all, so its parts are

    A                    the same for each of ours
    B_q, B_k, B_v        rows of B, sorted as the weight's own are

The way back gives that B again while ours still share A.  Ours that were trained apart become blocks of a wider one:

    A = [A_q; A_k; A_v]      B = diag(B_q, B_k, B_v), rows sorted as the weight's own are

Columns that are zero for one part and not for another are dropped again on reading, so nothing grows on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lavra.adapt.ia3 import Ia3
from lavra.adapt.layers import LayerPlace
from lavra.adapt.linear import BaseLinear, float_weight, sizes
from lavra.adapt.lora import Lora, row_lengths
from lavra.base.errors import CheckpointError, ConfigError


@dataclass(frozen=True, kw_only=True)
class LoraTensors:
    """One layer's LoRA: (R, K), (N, R), and with DoRA (N,)."""

    a: Tensor
    b: Tensor
    magnitude: Tensor | None = None


def split_lora(
    place: LayerPlace, tensors: Mapping[str, Tensor], layers: Mapping[str, BaseLinear], *, dora: bool
) -> dict[str, LoraTensors]:
    """What PEFT stores for one of their modules -> ours, those with an update.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    wanted = {"lora_A.weight", "lora_B.weight"} | ({"lora_magnitude_vector"} if dora else set())
    if set(tensors) != wanted:
        raise CheckpointError(
            f"{place.theirs} has the tensors {', '.join(sorted(tensors))}; LoRA needs {', '.join(sorted(wanted))}"
            + (": adapters of embeddings and biases are not supported" if set(tensors) - wanted else "")
        )
    a, b, magnitude = tensors["lora_A.weight"], tensors["lora_B.weight"], tensors.get("lora_magnitude_vector")
    outputs, inputs = _sizes(place, layers)
    rank = a.shape[0]
    _check(place, "lora_A.weight", a, (rank, inputs))
    _check(place, "lora_B.weight", b, (outputs, rank))
    if magnitude is not None:
        _check(place, "lora_magnitude_vector", magnitude, (outputs,))
    parts = place.rows.split(b.contiguous())
    lengths = [None] * len(parts) if magnitude is None else place.rows.split(magnitude.contiguous())
    used = torch.stack([(part != 0).any(dim=0) for part in parts])  # (parts, R)
    kept = used | ~used.any(dim=0)
    found: dict[str, LoraTensors] = {}
    for name, part, columns, length in zip(place.ours, parts, kept, lengths, strict=True):
        if length is not None and not bool(columns.any()) and not _own_length(length, layers[name]):
            columns = torch.arange(rank) == 0  # its length alone is learned
        if bool(columns.any()):
            found[name] = LoraTensors(a=a[columns], b=part[:, columns], magnitude=length)
    return found


def join_lora(
    place: LayerPlace, parts: Sequence[Lora | None], layers: Mapping[str, BaseLinear]
) -> tuple[dict[str, Tensor], int, float]:
    """Ours -> what PEFT stores for one of their modules, its rank and its scale.

    Args:
        place: their module.
        parts: of each of our layers in it; `None` where it has no update.
        layers: the model's.
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
    """Whether rows are as long as without an adapter."""
    return torch.allclose(length.float(), row_lengths(float_weight(layer)).cpu(), rtol=1e-6, atol=0.0)


def _length(part: Lora | None, layer: BaseLinear) -> Tensor:
    """(N,) learned, or as the layer's own rows are long."""
    if part is not None and part.magnitude is not None:
        return part.magnitude.detach().cpu()
    return row_lengths(float_weight(layer)).cpu()


def split_ia3(
    place: LayerPlace, tensors: Mapping[str, Tensor], layers: Mapping[str, BaseLinear]
) -> tuple[dict[str, Tensor], bool]:
    """What PEFT stores for one of their modules -> the factors of each of ours, and whether they are of inputs.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    if set(tensors) != {"ia3_l"}:
        raise CheckpointError(f"{place.theirs} has the tensors {', '.join(sorted(tensors))}; IA3 needs ia3_l alone")
    factors, (outputs, inputs) = tensors["ia3_l"], _sizes(place, layers)
    if factors.shape == (1, inputs):
        return dict.fromkeys(place.ours, factors[0]), True
    _check(place, "ia3_l", factors, (outputs, 1))
    return dict(zip(place.ours, place.rows.split(factors[:, 0].contiguous()), strict=True)), False


def join_ia3(place: LayerPlace, parts: Sequence[Ia3 | None], layers: Mapping[str, BaseLinear]) -> Tensor:
    """Ours -> `ia3_l` of one of their modules.

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
            f"{place.theirs} is one matrix there and {', '.join(place.ours)} here, with different factors of their "
            "inputs; PEFT has one for all: multiply outputs instead"
        )
    return first.detach()[None]


def _sizes(place: LayerPlace, layers: Mapping[str, BaseLinear]) -> tuple[int, int]:
    found = [sizes(layers[name]) for name in place.ours]
    return sum(outputs for outputs, _ in found), found[0][1]


def _check(place: LayerPlace, name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise CheckpointError(
            f"{place.theirs}.{name} has shape {list(tensor.shape)}, expected {list(shape)}; "
            "the adapter was made for another model"
        )
