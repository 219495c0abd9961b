"""The inner values of blocks, seen from outside: no model has a switch for them.

A hook on a block keeps its output; a wrapper around an attention's last step keeps queries, keys, values and mask, from
which the weights that the fused kernel never shows are computed again.  Both stay on for as long as the watch is open,
for a compiled block keeps the hooks that it was compiled with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lavra.model.attention import Attention
from lavra.model.block import Block
from lavra.model.heads import TaskModel
from lavra.model.masks import Mask

WatchedPlace = tuple[str, int]
"""A block: its stack, `encoder` or `decoder`, and its number from 0."""


@dataclass(frozen=True)
class AttentionInputs:
    """The inputs of an attention's last step.

    Attributes:
        q: (B, T, H, C) queries, turned where positions are rotary.
        k: (B, S, K, C) keys.
        v: (B, S, K, C) values.
        mask: mask of the allowed pairs of query and key.
        scale: scale of the scores.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Mask
    scale: float


def stacks(model: nn.Module) -> dict[str, list[Block]]:
    """The blocks of a model's stacks, by the stack's name."""
    backbone = model.backbone if isinstance(model, TaskModel) else model
    found = {name: getattr(backbone, name, None) for name in ("encoder", "decoder")}
    return {name: list(stack.blocks) for name, stack in found.items() if stack is not None}


class BlockRecorder:
    """A watch that keeps the values of some blocks in the latest pass.

    Args:
        model: any model of `lavra.model`.
        states: blocks whose output is kept.
        attention: blocks whose self-attention is kept.

    Attributes:
        states: (B, T, D) by block.
        attention: inputs of self-attention, by block.
    """

    def __init__(
        self, model: nn.Module, *, states: Iterable[WatchedPlace] = (), attention: Iterable[WatchedPlace] = ()
    ) -> None:
        self.states: dict[WatchedPlace, Tensor] = {}
        self.attention: dict[WatchedPlace, AttentionInputs] = {}
        blocks = stacks(model)
        self._handles: list[RemovableHandle] = []
        self._wrapped: list[Attention] = []
        for stack, layer in states:
            self._handles.append(blocks[stack][layer].register_forward_hook(self._keep_output((stack, layer))))
        for stack, layer in attention:
            self._wrap(blocks[stack][layer].attention, (stack, layer))

    def clear(self) -> None:
        """Forget the latest pass."""
        self.states.clear()
        self.attention.clear()

    def close(self) -> None:
        """Take the hooks off, so that the model is as it was."""
        self.clear()
        for handle in self._handles:
            handle.remove()
        for attention in self._wrapped:
            del attention._attend
        self._handles, self._wrapped = [], []

    def _keep_output(self, place: WatchedPlace) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.states[place] = output

        return torch.compiler.disable(keep)  # type: ignore[no-any-return, no-untyped-call]

    def _wrap(self, attention: Attention, place: WatchedPlace) -> None:
        plain = attention._attend

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def keep(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> None:
            self.attention[place] = AttentionInputs(q, k, v, mask, attention.scale)

        def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
            keep(q, k, v, mask)
            return plain(q, k, v, mask)

        attention._attend = attend  # type: ignore[method-assign]
        self._wrapped.append(attention)
