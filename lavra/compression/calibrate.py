"""Calibration: the inputs of every matrix, gathered from text, and the rounding that suits them.

`Calibrator` is a `MakeMatrix` for `quantize_model`.  Blocks are taken in the order in which they run; the input of
each is the output of the blocks before it, quantized by then (Frantar et al. 2022, section 4, "calibration").  Its
inputs are kept between two blocks, so text is run through each block twice, whatever the depth.  When a block is
entered its Hessians are gathered by forward hooks on its float layers.

The head is rounded over its own inputs.  A tied head serves look-ups too, where all rows' weights count alike; its
larger damping stands for them.  An embedding alone has no such inputs and is rounded to nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from lavra.base.ports import Progress, silent
from lavra.compression.rounding import Compensation, round_compensated
from lavra.compression.samples import ScoredBatch
from lavra.model.block import Block, Context
from lavra.model.build import Model
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.scheme import Scheme
from lavra.quantize.swap import EMBEDDING, HEAD, rounded

_STOP_AT: Final = "the inputs of the first block are known"


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """The settings of rounding by calibration text.

    Attributes:
        compensation: settings of the linear layers.
        tied_damping: damping of a head whose matrix is also the embedding, as a share of the mean diagonal.
        max_tokens: tokens of calibration text.
    """

    compensation: Compensation = field(default_factory=Compensation)
    tied_damping: float = 0.1
    max_tokens: int = 65_536


class _StopHere(Exception):  # noqa: N818 - not an error: it ends a forward pass early
    """Raised from a hook where the rest of the model need not run."""


class Calibrator:
    """A `MakeMatrix` that rounds each layer by its inputs on calibration text.

    Args:
        model: model in floats; `quantize_model` changes it, block by block, and the calibrator follows.
        batches: calibration text, none of it held-out.
        config: settings of the calibration.
        progress: called with the number of finished matrices.
    """

    def __init__(
        self,
        model: Model,
        batches: Sequence[ScoredBatch],
        config: CalibrationConfig | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._model, self._batches = model.eval(), batches
        self._config, self._progress = config or CalibrationConfig(), progress or silent
        self._block = ""  # name of the current block
        self._inputs: list[tuple[Tensor, Context]] = []  # inputs of that block, one for each batch
        self._hessians: dict[str, Tensor] = {}
        self._done = 0
        self._total = sum(isinstance(module, nn.Linear) for block in model.blocks for module in block.modules())

    @torch.no_grad()
    def __call__(self, name: str, weight: Tensor, scheme: Scheme) -> QuantizedMatrix:
        """Make the quantized matrix of a weight, for the module of that name."""
        self._done += 1
        self._progress("round matrices", self._done, max(self._total, self._done))
        if name in (EMBEDDING, HEAD):
            return self._end(name, weight, scheme)
        block = _block_of(name)
        if block != self._block:
            self._enter(block)
        return _matrix(weight, self._hessians.pop(name), scheme, self._config.compensation)

    def _end(self, name: str, weight: Tensor, scheme: Scheme) -> QuantizedMatrix:
        head = self._model.head
        tied = head is not None and head.weight is None
        if head is None or (name == EMBEDDING and not tied):
            return rounded(name, weight, scheme)
        self._inputs, self._hessians = [], {}
        found = _Hessian(weight.shape[1])
        for batch in self._batches:
            hidden = batch.hidden(self._model)
            found.add(self._model.head_hidden(hidden[batch.scored.to(hidden.device)]))
        how = self._config.compensation
        if tied:
            how = Compensation(
                damping=self._config.tied_damping, order_by_diagonal=how.order_by_diagonal, sweeps=how.sweeps
            )
        return _matrix(weight, found.value, scheme, how)

    def _enter(self, name: str) -> None:
        """Find the inputs of the block of that name, and the Hessians of its layers."""
        block = self._model.get_submodule(name)
        assert isinstance(block, Block)
        if _follows(name, self._block):
            before = self._model.get_submodule(self._block)
            self._inputs = [(before(x, context), context) for x, context in self._inputs]
        else:
            self._inputs = [_first_input(self._model, block, batch) for batch in self._batches]
        self._block = name
        self._hessians = _gather(block, name, self._inputs)


class _Product:
    """X'X of some inputs; layers in a row with the same inputs (queries, keys, values) share it."""

    def __init__(self) -> None:
        self._x: Tensor | None = None
        self._found = torch.zeros(0)

    def of(self, x: Tensor) -> Tensor:
        """(..., K) -> (K, K) float64, on the CPU."""
        if x is not self._x:
            flat = x.detach().reshape(-1, x.shape[-1]).float()
            self._x, self._found = x, (flat.T @ flat).double().cpu()
        return self._found


class _Hessian:
    """X'X of all added inputs, over their number."""

    def __init__(self, size: int, product: _Product | None = None) -> None:
        self._sum = torch.zeros(size, size, dtype=torch.float64)
        self._count = 0
        self._product = product or _Product()

    def add(self, x: Tensor) -> None:
        """Add (..., K) inputs."""
        self._sum += self._product.of(x)
        self._count += x.shape[:-1].numel()

    @property
    def value(self) -> Tensor:
        """(K, K) float64."""
        return self._sum / max(1, self._count)


def _gather(block: Block, name: str, inputs: Sequence[tuple[Tensor, Context]]) -> dict[str, Tensor]:
    """The Hessian of every linear layer of a block, by the layer's name in the model."""
    layers = {f"{name}.{inner}": module for inner, module in block.named_modules() if isinstance(module, nn.Linear)}
    product = _Product()
    found = {layer: _Hessian(module.in_features, product) for layer, module in layers.items()}

    def hook_for(layer: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def look(module: nn.Module, given: tuple[Any, ...]) -> None:
            found[layer].add(given[0])

        return look

    hooks = [module.register_forward_pre_hook(hook_for(layer)) for layer, module in layers.items()]
    try:
        for x, context in inputs:
            block(x, context)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: one.value for layer, one in found.items()}


def _first_input(model: Model, block: Block, batch: ScoredBatch) -> tuple[Tensor, Context]:
    """The input of a stack's first block for a batch, from the modules before it."""
    seen: list[tuple[Tensor, Context]] = []

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append((given[0], given[1]))
        raise _StopHere(_STOP_AT)

    hook = block.register_forward_pre_hook(look)
    try:
        batch.hidden(model)
    except _StopHere:
        pass
    finally:
        hook.remove()
    return seen[0]


def _matrix(weight: Tensor, hessian: Tensor, scheme: Scheme, how: Compensation) -> QuantizedMatrix:
    made = QuantizedMatrix(weight.shape[0], weight.shape[1], scheme)
    made.dtype = weight.dtype
    made.set(*round_compensated(weight, hessian.to(weight.device), scheme, how))
    return made


def _block_of(name: str) -> str:
    """The block in a name: `decoder.blocks.3` of `decoder.blocks.3.attention.query`."""
    parts = name.split(".")
    return ".".join(parts[: parts.index("blocks") + 2])


def _follows(name: str, before: str) -> bool:
    """Whether a block comes right after another one in the same stack."""
    stack, _, number = name.rpartition(".")
    return before == f"{stack}.{int(number) - 1}"
