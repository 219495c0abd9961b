"""From weights to integers and back.

    w ~ q * s,   q = clip(round(w / s)),   one s for each group of inputs of an output

Each group takes, of several scales, the scale with the least squared error.  Four bits try many: cutting the largest
weight a little off makes the grid finer for all the others (Lin et al. 2023, AWQ, arXiv:2306.00978, section 3.2,
searches in the same way).  Eight bits try the three bfloat16 numbers around the scale that keeps the largest weight:
always taking the number above it costs a third more divergence (docs/quantize.md).  Scales are rounded to bfloat16
first, so that weights are rounded to the grid that will be read back.  Where a whole output shares one scale, eight
bits keep its largest weight, as other tools do.

Rounding that looks at data is not here: it needs a model at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from lavra.base.errors import CheckpointError
from lavra.quantize.scheme import Scheme

SCALE_DTYPE: Final = torch.bfloat16
# Shares of the range that four bits try; 1 is the whole range.
_SHARES: Final = tuple(share / 100 for share in range(70, 104, 2))
_ROWS_AT_ONCE = 1024  # the search holds a few copies of these rows


def choose_scales(weight: Tensor, scheme: Scheme) -> Tensor:
    """(N, K) weights -> (N, G) bfloat16 scales.

    Raises:
        CheckpointError: some weight is not a number.
    """
    if not bool(torch.isfinite(weight).all()):
        raise CheckpointError("a weight is not a finite number; the checkpoint is damaged: train or fetch it again")
    found = [_scales(_grouped(rows, scheme), scheme) for rows in torch.split(weight.float(), _ROWS_AT_ONCE)]
    return torch.cat(found)


def to_integers(weight: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    """(N, K) weights and (N, G) scales -> (N, K) int8."""
    grouped = _grouped(weight.float(), scheme)
    return _round(grouped, scale.float()[:, :, None], scheme).flatten(1)[:, : weight.shape[1]].to(torch.int8)


def to_weight(integers: Tensor, scale: Tensor, scheme: Scheme, dtype: torch.dtype = torch.float32) -> Tensor:
    """(N, K) integers and (N, G) scales -> (N, K) weights."""
    out: Tensor = _grouped(integers, scheme) * scale.float()[:, :, None]
    return out.flatten(1)[:, : integers.shape[1]].to(dtype)


def round_inputs(x: Tensor) -> tuple[Tensor, Tensor]:
    """(..., K) inputs -> integers as floats (..., K) and a scale a token (..., 1), as compressed-tensors has it."""
    largest = x.float().abs().amax(dim=-1, keepdim=True)
    # By a tensor, since a GPU multiplies by the reciprocal of a number: the last bit of the scale decides whether the
    # largest input, always on the border between two integers, goes up or down.
    scale = torch.where(largest == 0, torch.ones_like(largest), largest / torch.full_like(largest, 127.5))
    return (x.float() / scale).round().clamp(-128, 127), scale


def _scales(grouped: Tensor, scheme: Scheme) -> Tensor:
    """(N, G, K/G) -> (N, G) of least squared error among the candidates."""
    candidates = _neighbours(grouped, scheme) if scheme.bits == 8 else _shares(grouped, scheme)
    best, least = next(candidates), None
    for scale in (best, *candidates):
        wide = scale.float()[:, :, None]
        error = (_round(grouped, wide, scheme) * wide).sub_(grouped).square_().sum(dim=2)
        if least is None:
            least = error
            continue
        better = error < least
        best, least = torch.where(better, scale, best), torch.where(better, error, least)
    return best


def _neighbours(grouped: Tensor, scheme: Scheme) -> Iterator[Tensor]:
    """The bfloat16 scale at or above the exact scale of the largest weight, then its neighbours below and above."""
    exact = grouped.abs().amax(dim=2) / scheme.largest  # (N, G)
    near = exact.to(SCALE_DTYPE)
    at = near.view(torch.int16)
    at = torch.where(near.float() < exact, at + 1, at)
    yield _not_zero(at.view(SCALE_DTYPE))
    if scheme.group_size is not None:
        yield _not_zero((at - 1).clamp(min=0).view(SCALE_DTYPE))
        yield _not_zero((at + 1).view(SCALE_DTYPE))


def _shares(grouped: Tensor, scheme: Scheme) -> Iterator[Tensor]:
    largest = grouped.abs().amax(dim=2)  # (N, G)
    for share in _SHARES:
        yield _not_zero((largest * share / (scheme.largest + 0.5)).to(SCALE_DTYPE))


def pad_columns(x: Tensor, columns: int) -> Tensor:
    """(N, K) with zeros up to that many columns."""
    return x if x.shape[1] == columns else functional.pad(x, (0, columns - x.shape[1]))


def _grouped(x: Tensor, scheme: Scheme) -> Tensor:
    """(N, K) -> (N, G, group), zeros where the last group has a rest only."""
    if scheme.group_size is None:
        return x[:, None]
    return pad_columns(x, scheme.padded(x.shape[1])).reshape(x.shape[0], -1, scheme.group_size)


def _round(grouped: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    return (grouped / scale).round().clamp(-scheme.largest - 1, scheme.largest)


def _not_zero(scale: Tensor) -> Tensor:
    """A group of zeros has any scale: 1."""
    return torch.where(scale == 0, torch.ones_like(scale), scale)
