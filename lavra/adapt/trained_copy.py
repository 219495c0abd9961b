"""Modules trained whole beside an adapter, such as a task's fresh head: PEFT's `modules_to_save`.

The module itself stays unchanged; each adapter has its own copy, in float32, that replaces it.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters
from lavra.base.errors import InputError


class TrainedCopies(nn.Module):
    """The wrapper of a module whose inputs and output are tensors of B rows.

    Attributes:
        base: the module.
        adapters: copies of it, by the name of the adapter.
        state: acting adapters, shared by the whole model.
    """

    def __init__(self, base: nn.Module, state: Adapters) -> None:
        super().__init__()
        self.base, self.adapters, self.state = base, nn.ModuleDict(), state
        self.training = base.training

    def copy(self) -> nn.Module:
        """Copy the module, for training."""
        return deepcopy(self.base).float()

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output of the acting adapter's copy; of the module itself where the adapter has no copy."""
        if self.state.merged:
            return self._call(self._acting(self.state.merged), inputs)
        selections = self.state.selections
        if len(selections) == 1 and selections[0].rows is None:
            return self._call(self._acting(selections[0].names), inputs)
        out = self._call(self.base, inputs)
        for selection in selections:
            acting = self._acting(selection.names)
            if acting is not self.base and selection.rows is not None:
                rows = selection.rows.to(out.device)
                out = out.index_copy(0, rows, self._call(acting, tuple(x.index_select(0, rows) for x in inputs)))
        return out

    def _acting(self, names: tuple[str, ...]) -> nn.Module:
        """The only copy among these adapters', or the module itself."""
        found = [name for name in names if name in self.adapters]
        if len(found) > 1:
            raise InputError(
                f"adapters {', '.join(found)} each have a {type(self.base).__name__} of their own; only one can act"
            )
        return self.adapters[found[0]] if found else self.base

    def _call(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        out: Tensor
        if module is self.base:
            out = module(*inputs)
            return out
        out = module(*(x.float() if x.is_floating_point() else x for x in inputs))
        return out.to(next((x.dtype for x in inputs if x.is_floating_point()), torch.float32))
