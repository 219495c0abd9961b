"""Rounding of one matrix that keeps its products, not its weights.

    H = X'X of the layer's inputs;   least |W X - Q X|^2  =  least sum over rows of (w - q) H (w - q)'

Columns are rounded one after the other, and later columns make good the error of each (GPTQ, Frantar et al.
2022, arXiv:2210.17323, algorithm 1: the inverse Hessian's Cholesky factor gives the amounts).  Then integers and scales
are improved again, each to its best value given all the others: coordinate descent (Behdin et al. 2023, QuantEase,
arXiv:2309.01885, section 3) and least squares.  A step is kept only where it lowers the error.

The storage is that of `lavra.quantize`; `calibrate` gathers the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from lavra.base.errors import ConfigError
from lavra.quantize.rounding import SCALE_DTYPE, choose_scales, to_integers, to_weight
from lavra.quantize.scheme import Scheme

_BLOCK: Final = 128  # columns whose errors are passed to the rest of the matrix in one product


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """The settings of the compensation of errors.

    Attributes:
        damping: share of the Hessian's mean diagonal that is added to it: the weight of errors in directions that no
            input took.
        order_by_diagonal: round the columns with the largest inputs first, when most others can still make good.
        sweeps: number of times that integers and scales are improved again.
    """

    damping: float = 0.01
    order_by_diagonal: bool = True
    sweeps: int = 2

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise ConfigError(f"damping is {self.damping}; it must be over 0, usually 0.01")
        if self.sweeps < 0:
            raise ConfigError(f"sweeps is {self.sweeps}; give 0 or more")


def output_error(weight: Tensor, rounded: Tensor, hessian: Tensor) -> Tensor:
    """(N,) the squared error of each output over the inputs behind an (K, K) Hessian."""
    off = (weight.float() - rounded.float()).double()
    return ((off @ hessian.double()) * off).sum(dim=1)


@torch.no_grad()
def round_compensated(
    weight: Tensor, hessian: Tensor, scheme: Scheme, how: Compensation | None = None
) -> tuple[Tensor, Tensor]:
    """Round (N, K) weights by the (K, K) Hessian of their inputs -> (N, K) int8 integers, (N, G) bfloat16 scales.

    The error over those inputs (damping included) is never above that of rounding to nearest.

    Raises:
        CheckpointError: a weight is not a number.
    """
    how = how or Compensation()
    wide = weight.detach().float()
    nearest_scale = choose_scales(wide, scheme)
    nearest = to_integers(wide, nearest_scale, scheme)
    damped = _damped(hessian, how.damping)
    scale = _weighed_scales(wide, damped.diagonal().float(), nearest_scale, scheme)
    integers = _compensate(wide, damped, scale, scheme, how.order_by_diagonal)
    for _ in range(how.sweeps):
        scale = _refit_scales(wide, damped, integers, scale, scheme)
        integers = _descend(wide, damped, integers, scale, scheme)
    worse = _error(wide, damped, integers, scale, scheme) > _error(wide, damped, nearest, nearest_scale, scheme)
    return torch.where(worse[:, None], nearest, integers), torch.where(worse[:, None], nearest_scale, scale)


def _damped(hessian: Tensor, damping: float) -> Tensor:
    """The Hessian (K, K) float64 made positive definite; inputs that were always zero keep their weights' rounding."""
    wide = hessian.double()
    mean = wide.diagonal().mean()
    share = torch.where(mean > 0, damping * mean, torch.ones_like(mean))
    return wide + share * torch.eye(len(wide), dtype=torch.float64, device=wide.device)


def _error(weight: Tensor, hessian: Tensor, integers: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    return output_error(weight, to_weight(integers, scale, scheme), hessian)


def _weighed_scales(weight: Tensor, importance: Tensor, start: Tensor, scheme: Scheme) -> Tensor:
    """The scales (N, G) whose rounding errs least where inputs are large, near the scales that weigh inputs alike."""
    if scheme.bits == 8:
        return start
    columns = torch.arange(weight.shape[1], device=weight.device) // (scheme.group_size or weight.shape[1])
    best, least = start, torch.full(start.shape, torch.inf, device=weight.device)
    for share in (1.0, *(percent / 100 for percent in range(70, 121, 5))):
        scale = (start.float() * share).to(SCALE_DTYPE)
        off = (weight - to_weight(to_integers(weight, scale, scheme), scale, scheme)).square_().mul_(importance)
        error = torch.zeros_like(least).index_add_(1, columns, off)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best


def _compensate(weight: Tensor, hessian: Tensor, scale: Tensor, scheme: Scheme, by_diagonal: bool) -> Tensor:
    """GPTQ's algorithm 1 with the scales fixed beforehand, so that columns may come in any order.

    Columns are taken one by one, so they lie as rows here: each is then a contiguous stretch of memory.
    """
    size = scheme.group_size or weight.shape[1]
    columns = torch.arange(weight.shape[1], device=weight.device)
    order = hessian.diagonal().argsort(descending=True) if by_diagonal else columns
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian[order][:, order]))
    factor = torch.linalg.cholesky(inverse, upper=True).float()  # (K, K)
    diagonal = factor.diagonal().tolist()
    left, steps = weight.T[order].contiguous(), scale.float().T[order // size].contiguous()  # both (K, N)
    integers = torch.empty_like(left)
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        errors = torch.empty_like(left[start:end])
        for column in range(start, end):
            step, kept = steps[column], integers[column]
            torch.div(left[column], step, out=kept).round_().clamp_(-scheme.largest - 1, scheme.largest)
            error = torch.addcmul(left[column], kept, step, value=-1, out=errors[column - start])
            error /= diagonal[column]
            left[column + 1 : end].addr_(factor[column, column + 1 : end], error, alpha=-1)
        left[end:].addmm_(factor[start:end, end:].T, errors, alpha=-1)
    return integers[order.argsort()].T.contiguous().to(torch.int8)


def _refit_scales(weight: Tensor, hessian: Tensor, integers: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    """Refit each group's scale in turn by least squares, given the integers and the other groups: (N, G)."""
    found, size = scale.clone(), scheme.group_size or weight.shape[1]
    near = hessian.float()
    rest = (weight - to_weight(integers, scale, scheme)) @ near  # (N, K) = (w - q s) H
    for group in range(scale.shape[1]):
        columns = slice(group * size, min((group + 1) * size, weight.shape[1]))
        q = integers[:, columns].float()
        curve = ((q @ near[columns, columns]) * q).sum(dim=1)  # (N,)
        old = found[:, group].float()
        best = old + (rest[:, columns] * q).sum(dim=1) / curve.clamp(min=torch.finfo(torch.float32).tiny)
        new = best.to(SCALE_DTYPE)
        # Rounding a scale to bfloat16 may cost more than moving it gains.
        keep = (new <= 0) | (curve == 0) | ((new.float() - best).abs() >= (old - best).abs())
        new = torch.where(keep, found[:, group], new)
        rest.addmm_((new.float() - old)[:, None] * q, near[columns], alpha=-1)
        found[:, group] = new
    return found


def _descend(weight: Tensor, hessian: Tensor, integers: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    """Set each integer in turn to its best value, given all the others: (N, K) int8. Columns lie as rows."""
    size, steps = scheme.group_size or weight.shape[1], scale.float().T.contiguous()  # (G, N)
    near = hessian.float()
    diagonal = near.diagonal().tolist()
    off = (weight - to_weight(integers, scale, scheme)).T.contiguous()  # (K, N)
    found = integers.T.float().contiguous()
    for start in range(0, weight.shape[1], _BLOCK):
        end = min(start + _BLOCK, weight.shape[1])
        slope = near[start:end] @ off  # (block, N) = H (w - q s)
        for column in range(start, end):
            step, old = steps[column // size], found[column]
            move = slope[column - start] / (diagonal[column] * step)
            new = move.add_(old).round_().clamp_(-scheme.largest - 1, scheme.largest)
            change = (new - old) * step
            slope[column - start + 1 :].addr_(near[column, column + 1 : end], change, alpha=-1)
            off[column] -= change
            found[column] = new
    return found.T.contiguous().to(torch.int8)
