"""AdamW and Muon, and which parameter goes to which.

AdamW (Loshchilov & Hutter 2019) is PyTorch's own fused one.  Muon (Jordan et al. 2024) replaces the momentum of a
weight *matrix* by the nearest semi-orthogonal matrix, found by five Newton-Schulz steps; embeddings, the head,
norms and biases stay with AdamW.  Updates are scaled to the size AdamW's would have (Liu et al. 2025, §2.2), so that
one learning rate and one weight decay serve both.

Weight decay touches matrices only: decaying a norm's gain or a bias pulls towards nothing meaningful.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lavra.train.config import OptimizerConfig
from lavra.train.shards import cut_like, whole

# Quintic iteration of Jordan et al. 2024: coefficients that maximise the slope at zero while keeping singular
# values within about 0.7..1.2 after five steps.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Muon over matrices (2-D parameters); equal shapes are orthogonalised together in one batched product.

    `dtype` is that of the products: bf16 has digits enough, and is chosen where the machine multiplies it faster.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._update(parameters, group)

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        directions = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            buffer = state["momentum"]
            buffer.lerp_(gradient, 1 - momentum)
            directions.append(whole(torch.lerp(gradient, buffer, momentum)))
        updates = orthogonalize(torch.stack(directions), self.dtype)
        rows, columns = updates.shape[-2:]
        scale = group["lr"] * 0.2 * max(rows, columns) ** 0.5  # Liu et al. 2025, eq. 4: AdamW's update has RMS 0.2
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(cut_like(update.to(parameter.dtype), parameter), alpha=-scale)


def orthogonalize(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The semi-orthogonal matrix nearest to each of (N, rows, columns), by Newton-Schulz in `dtype`.

    Singular values end between about 0.7 and 1.2, except those under a thousandth of the largest, which five steps
    do not lift that far (Jordan et al. 2024).
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrices.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    result: Tensor = x.mT if tall else x
    return result


def build_optimizers(
    named: Iterable[tuple[str, nn.Parameter]],
    matrices: Mapping[str, float],
    config: OptimizerConfig,
    dtype: torch.dtype = torch.float32,
) -> list[torch.optim.Optimizer]:
    """The optimizers for these parameters.

    Args:
        named: trainable parameters by name.
        matrices: names of the weight matrices inside blocks, which Muon may take, and their shares of its rate.
        config: the settings.
        dtype: type of Muon's products, that of the run's other matrix products: on a processor without 16-bit matrix
            instructions bf16 is a hundred times slower than float32.

    Returns:
        Muon (unless `adamw`) and AdamW, each group carrying its peak rate as `peak_lr`.
    """
    for_muon: dict[float, list[nn.Parameter]] = defaultdict(list)
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        if name in matrices and config.kind == "muon":
            for_muon[matrices[name]].append(parameter)
        else:
            (decayed if parameter.ndim >= 2 else plain).append(parameter)
    rate = config.learning_rate if config.embedding_learning_rate is None else config.embedding_learning_rate
    optimizers: list[torch.optim.Optimizer] = []
    if for_muon:
        optimizers.append(
            Muon(
                [{"params": group, "lr": share * config.learning_rate} for share, group in for_muon.items()],
                lr=config.learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                dtype=dtype,
            )
        )
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, config.weight_decay), (plain, 0.0))
        if group
    ]
    if groups:
        optimizers.append(
            torch.optim.AdamW(groups, lr=rate, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
